"""The methods that begin in C, where there is an engine in C.

Facts. ``_engine/native`` has ``receive_some`` and ``send_all`` as methods of :class:`~.fields.StreamFields`,
``recv``, ``send``, ``accept``, ``recvfrom`` and ``sendto`` of :class:`~.fields.SocketFields`. They do the common
case, and hand everything else to the methods in Python, under the same names with an underscore. An exception that is
raised in C leaves no line in a traceback.

Decision. The classes are written in Python, whole; if there is an engine in C, these methods make way here. What a call
ends with, if not well, is raised by functions of the same names, so that a traceback names the call."""

from __future__ import annotations

import inspect
import socket
from types import FunctionType
from typing import TYPE_CHECKING, Any

import outcome
from trio.lowlevel import enable_ki_protection

from .._errors import RioInternalError
from .._trio import GLOBAL_RUN_CONTEXT, SHIELDED_CHECKPOINT, reschedule_all
from ..rio.errors import status_from_errno
from ..rio.types import MSG_PART, RIO_MSG_DEFER
from .fields import native
from .requests import (
    CONTEXT_MASK,
    DONE,
    FREE,
    GENERATION,
    SEND_NOW_BYTES_MAX,
    SLOT_MASK,
    TRANSITIONS,
    WAITED,
    Step,
    raise_aborted,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def _end_of(method: Callable[..., object], raise_for: Callable[[OSError], NoReturn] | None) -> Callable[[Any], None]:
    """A function of this method's name that raises what a call was resumed with, or returns if it ended well."""

    def end(woken: Any) -> None:
        try:
            woken.unwrap()
        except OSError as error:
            if raise_for is None:
                raise
            raise_for(error)

    end.__code__ = end.__code__.replace(co_name=method.__name__, co_qualname=method.__qualname__)
    return enable_ki_protection(end)


def _text_of(method: Callable[..., object]) -> str:
    """The docstring of a method of C, with its signature, as CPython reads it."""
    signature = inspect.signature(method)
    parameters = [parameter.replace(annotation=parameter.empty) for parameter in signature.parameters.values()]
    names = str(signature.replace(parameters=parameters, return_annotation=signature.empty)).replace(
        "(self", "($self", 1
    )
    return f"{method.__name__}{names}\n--\n\n{inspect.getdoc(method)}"


def _named(function: Callable[..., Any], method: Callable[..., object]) -> Callable[..., Any]:
    """A copy of a function that a traceback shows under the name of the method."""
    code = function.__code__.replace(co_name=method.__name__, co_qualname=method.__qualname__)
    copy = FunctionType(code, function.__globals__, method.__name__, function.__defaults__, function.__closure__)
    return enable_ki_protection(copy)


def begin_in_c(
    kind: Any, raise_for: Callable[[OSError], NoReturn] | None = None, **waits: Callable[..., Any] | None
) -> None:
    """Let methods of a class that has its fields from C begin in C, if there is an engine in C.

    Args:
      kind: the class.
      raise_for: raises what the class raises for an error of the socket; ``None``: the error itself.
      waits: by the names of the methods, ``async`` functions that go on with a call of the object (the first argument)
        whose plain call of the stdlib's socket (the second) would block; the third is the call's own argument.
        ``None``: the method goes on, from its beginning.
    """
    if native is None:
        return
    for name, wait in waits.items():
        method = vars(kind)[name]
        setattr(kind, f"_{name}", method)
        delattr(kind, name)
        native.setup(**{f"end_{name}": _end_of(method, raise_for), f"{name}_text": _text_of(method)})
        if wait is not None:
            native.setup(**{f"wait_{name}": _named(wait, method)})


if native is not None:
    native.setup(
        run_context=GLOBAL_RUN_CONTEXT,
        shielded_checkpoint=SHIELDED_CHECKPOINT,
        # C takes three steps of the table, and knows the states that they lead to from here alone.
        waited_state=TRANSITIONS[FREE][Step.POST_AND_WAIT],
        done_state=TRANSITIONS[WAITED][Step.COMPLETE],
        free_state=TRANSITIONS[DONE][Step.TAKE],
        raise_aborted=raise_aborted,
        status_from_errno=status_from_errno,
        internal_error=RioInternalError,
        defer_flag=RIO_MSG_DEFER,
        part_flag=MSG_PART,
        slot_mask=SLOT_MASK,
        generation=GENERATION,
        context_mask=CONTEXT_MASK,
        send_now_bytes_max=SEND_NOW_BYTES_MAX,
        error_outcome=outcome.Error,
        stdlib_socket=socket.socket,
        reschedule_all=reschedule_all,
    )
