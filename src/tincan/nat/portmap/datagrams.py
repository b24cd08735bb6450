"""One question to one router over UDP: sent again until answered, by the rules of `retry`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final, TypeVar

from tincan.nat.portmap.mapping import NoMapping
from tincan.nat.portmap.retry import Retries

T = TypeVar("T")

MAX_WAITING: Final = 16
"""Datagrams that wait to be looked at; more are dropped, as a network would."""


class Inbox(asyncio.DatagramProtocol):
    """Keeps what comes in, with the address that it came from."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[tuple[bytes, str] | OSError] = asyncio.Queue(MAX_WAITING)

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:
        """Keep a datagram, if there is room."""
        self._put((data, str(addr[0])))

    def error_received(self, exc: Exception) -> None:
        """Keep an error: the router's machine says that nothing listens there, for example."""
        self._put(exc if isinstance(exc, OSError) else OSError(str(exc)))

    def _put(self, what: tuple[bytes, str] | OSError) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self.queue.put_nowait(what)

    async def get(self) -> tuple[bytes, str]:
        """Return the next datagram; raise the next error."""
        what = await self.queue.get()
        if isinstance(what, OSError):
            raise what
        return what


@contextlib.asynccontextmanager
async def endpoint(inbox: Inbox, **where: Any) -> AsyncIterator[asyncio.DatagramTransport]:
    """Open a UDP socket for as long as the context; ``where`` as for `create_datagram_endpoint`."""
    loop = asyncio.get_running_loop()
    # uvloop would forget the socket of an opening that is cancelled, and never close it.
    opening = asyncio.ensure_future(loop.create_datagram_endpoint(lambda: inbox, **where))
    try:
        transport, _ = await asyncio.shield(opening)
        yield transport
    finally:
        with contextlib.suppress(OSError):
            transport, _ = await opening
            transport.abort()


async def ask(
    local: str,
    remote: tuple[str, int],
    request: bytes,
    parse: Callable[[bytes], T | None],
    waits: Sequence[float],
) -> T:
    """Send a request until ``parse`` makes something of an answer; raise `NoMapping` or `OSError`.

    The socket is connected, and the source is looked at as well: only that router is heard.
    """
    loop, inbox = asyncio.get_running_loop(), Inbox()
    async with endpoint(inbox, local_addr=(local, 0), remote_addr=remote) as transport:
        retries = Retries(waits, loop.time())
        while True:
            if retries.take(loop.time()):
                transport.sendto(request)
            deadline = retries.next_deadline(loop.time())
            if deadline is None:
                raise NoMapping("no answer")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    return await _answer(inbox, remote[0], parse)


async def _answer(inbox: Inbox, source: str, parse: Callable[[bytes], T | None]) -> T:
    while True:
        data, sender = await inbox.get()
        answer = parse(data) if sender == source else None
        if answer is not None:
            return answer
