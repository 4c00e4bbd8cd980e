"""The methods that begin in C, where there is an engine in C.

Facts. ``_engine/native`` has ``receive_some`` and ``send_all`` as methods of :class:`~.fields.StreamFields`, ``recv``
and ``send`` of :class:`~.fields.SocketFields`. They do the common case, and hand everything else to the methods in
Python, under the same names with an underscore. An exception that is raised in C leaves no line in a traceback.

Decision. The classes are written in Python, whole; if there is an engine in C, these methods make way here. What a call
ends with, if not well, is raised by functions of the same names, so that a traceback names the call."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from trio.lowlevel import enable_ki_protection

from .._errors import RioInternalError
from .._trio import GLOBAL_RUN_CONTEXT, SHIELDED_CHECKPOINT
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


def begin_in_c(kind: Any, *names: str, raise_for: Callable[[OSError], NoReturn] | None = None) -> None:
    """Let these methods of a class that has its fields from C begin in C, if there is an engine in C.

    ``raise_for`` raises what the class raises for an error of the socket; ``None``: the error itself.
    """
    if native is None:
        return
    for name in names:
        method = vars(kind)[name]
        setattr(kind, f"_{name}", method)
        delattr(kind, name)
        native.setup(**{f"end_{name}": _end_of(method, raise_for), f"{name}_text": _text_of(method)})


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
    )
