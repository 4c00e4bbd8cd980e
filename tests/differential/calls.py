"""What each step of a program does: a table of async functions of the world and the step."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from .program import Step
from .world import World, reset

Call = Callable[[World, Step], Awaitable[object]]

CALLS: dict[str, Call] = {}

# Stock Trio, asked to wait for the number -1, raises ValueError and goes on thinking that the task waits: the next one
# is told that it is busy, and a notify_closing later ends the run with an internal error.
NEED_A_NUMBER = {"wait_readable", "wait_writable", "notify_closing"}

# What never waits, and is no checkpoint.
PLAIN = {"is_readable", "shutdown", "close", "notify_closing", "dup", "detach", "cancel"}
PLAIN |= {f"peer_{name}" for name in ("send", "reads", "close", "reset", "shutdown", "connect", "accept")}

SENDING = {"send", "sendmsg", "send_all", "peer_send"}
HEARING = {"recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into", "receive_some"}

HOW = {"read": socket.SHUT_RD, "write": socket.SHUT_WR, "both": socket.SHUT_RDWR}


def call(function: Call) -> Call:
    """Put a function into the table, under its name without ``call_``."""
    CALLS[function.__name__.removeprefix("call_")] = function
    return function


def plain(thing: Any) -> Any:
    """The Trio socket of a stream, or the socket itself."""
    return getattr(thing, "socket", thing)


# ----------------------------------------------------------------------------------------------------------
# Trio's sockets
# ----------------------------------------------------------------------------------------------------------


@call
async def call_send(world: World, step: Step) -> object:
    return await world.things[step.on].send(step.data)


@call
async def call_sendmsg(world: World, step: Step) -> object:
    data = step.data
    return await world.things[step.on].sendmsg([data[:1], data[1:]])


@call
async def call_sendto(world: World, step: Step) -> object:
    return await world.things[step.on].sendto(step.data, world.things[step.word].getsockname())


@call
async def call_recv(world: World, step: Step) -> object:
    return world.hear(step.on, await world.things[step.on].recv(step.size))


@call
async def call_peek(world: World, step: Step) -> object:
    return await world.things[step.on].recv(step.size, socket.MSG_PEEK)


@call
async def call_recv_into(world: World, step: Step) -> object:
    buffer = bytearray(step.size)
    count = await world.things[step.on].recv_into(buffer)
    return count, world.hear(step.on, bytes(buffer[:count]))


@call
async def call_recvfrom(world: World, step: Step) -> object:
    data, address = await world.things[step.on].recvfrom(step.size)
    return world.hear(step.on, data), world.name_of(address)


@call
async def call_recvfrom_into(world: World, step: Step) -> object:
    buffer = bytearray(step.size)
    count, address = await world.things[step.on].recvfrom_into(buffer)
    return count, world.hear(step.on, bytes(buffer[:count])), world.name_of(address)


@call
async def call_recvmsg(world: World, step: Step) -> object:
    data, ancillary, flags, address = await world.things[step.on].recvmsg(step.size)
    return world.hear(step.on, data), ancillary, flags, world.name_of(address)


@call
async def call_recvmsg_into(world: World, step: Step) -> object:
    first, second = bytearray(step.size // 2), bytearray(step.size - step.size // 2)
    count, ancillary, flags, address = await world.things[step.on].recvmsg_into([first, second])
    return count, world.hear(step.on, bytes(first + second)[:count]), ancillary, flags, world.name_of(address)


@call
async def call_accept(world: World, step: Step) -> object:
    accepted, address = await world.things[step.on].accept()
    world.add(step.makes, accepted)
    return world.name_of(address)


@call
async def call_connect(world: World, step: Step) -> object:
    sock = world.things[step.on]
    await sock.connect(world.things[step.word].getsockname())
    world.names[sock.getsockname()] = step.on
    return "connected"


@call
async def call_wait_readable(world: World, step: Step) -> object:
    await trio.lowlevel.wait_readable(plain(world.things[step.on]))
    return None


@call
async def call_wait_writable(world: World, step: Step) -> object:
    await trio.lowlevel.wait_writable(plain(world.things[step.on]))
    return None


@call
async def call_is_readable(world: World, step: Step) -> object:
    return plain(world.things[step.on]).is_readable()


@call
async def call_shutdown(world: World, step: Step) -> object:
    return plain(world.things[step.on]).shutdown(HOW[step.word])


@call
async def call_close(world: World, step: Step) -> object:
    return plain(world.things[step.on]).close()


@call
async def call_notify_closing(world: World, step: Step) -> object:
    trio.lowlevel.notify_closing(plain(world.things[step.on]))
    return None


@call
async def call_dup(world: World, step: Step) -> object:
    world.make(step, plain(world.things[step.on]).dup())
    return None


@call
async def call_detach(world: World, step: Step) -> object:
    number = plain(world.things[step.on]).detach()
    world.make(step, trio.socket.from_stdlib_socket(socket.socket(fileno=number)))
    return None


# ----------------------------------------------------------------------------------------------------------
# Streams
# ----------------------------------------------------------------------------------------------------------


@call
async def call_send_all(world: World, step: Step) -> object:
    """Of a socket: as many sends as it takes."""
    thing = world.things[step.on]
    if plain(thing) is not thing:
        return await thing.send_all(step.data)
    rest = memoryview(step.data)
    while rest:
        rest = rest[await thing.send(rest) :]
    return None


@call
async def call_receive_some(world: World, step: Step) -> object:
    return world.hear(step.on, await world.things[step.on].receive_some(step.size or None))


@call
async def call_wait_send_all_might_not_block(world: World, step: Step) -> object:
    return await world.things[step.on].wait_send_all_might_not_block()


@call
async def call_send_eof(world: World, step: Step) -> object:
    return await world.things[step.on].send_eof()


@call
async def call_aclose(world: World, step: Step) -> object:
    return await world.things[step.on].aclose()


# ----------------------------------------------------------------------------------------------------------
# Peers: plain sockets that never block
# ----------------------------------------------------------------------------------------------------------


@call
async def call_peer_send(world: World, step: Step) -> object:
    return world.things[step.on].send(step.data)


@call
async def call_peer_reads(world: World, step: Step) -> object:
    return peer_reads(world, step.on)


def peer_reads(world: World, name: str) -> object:
    """All that a peer can read now, and how it ended; of a narrow link only whether there was anything."""
    peer = world.things[name]
    received: list[bytes] = []
    is_stream = peer.type == socket.SOCK_STREAM
    end = ""
    while True:
        try:
            data = peer.recv(1 << 18)
        except BlockingIOError:
            break
        except OSError as error:
            end = f" then errno {error.errno}"
            break
        if is_stream and not data:
            end = " then the end"
            break
        received.append(data)
    everything = world.hear(name, b"".join(received))
    if name in world.narrow:
        return ("something" if everything else "nothing") + end
    return (repr(everything) if is_stream else repr(received)) + end


@call
async def call_peer_close(world: World, step: Step) -> object:
    return world.things[step.on].close()


@call
async def call_peer_reset(world: World, step: Step) -> object:
    reset(world.things[step.on])
    return None


@call
async def call_peer_shutdown(world: World, step: Step) -> object:
    return world.things[step.on].shutdown(HOW[step.word])


@call
async def call_peer_connect(world: World, step: Step) -> object:
    peer = world.add(step.makes, socket.socket())
    peer.setblocking(False)
    listener = world.things[step.on]
    code = peer.connect_ex(listener.getsockname())
    world.note_address(peer, step.makes)
    return code


@call
async def call_peer_accept(world: World, step: Step) -> object:
    peer, address = world.things[step.on].accept()
    peer.setblocking(False)
    world.add(step.makes, peer)
    return world.name_of(address)
