"""The gate: every TCP connection passes it before the HTTP server sees a byte.

Limits on frames come too late for somebody who opens thousands of connections
and says nothing on them, or half a request. So a socket must be allowed by the
limits of its address, and it is closed when its time is over, unless it has
become a WebSocket (`Gate.passed`) by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from tincan.switchboard.limits import Limiter, address_key


class Gate(asyncio.Protocol):
    """Stands between one transport and its HTTP protocol, and forwards everything.

    ``limiter`` is None behind a proxy, where all sockets come from one address.
    ``time_allowed`` is in seconds.
    """

    def __init__(self, make: Callable[[], asyncio.Protocol], limiter: Limiter | None, time_allowed: float) -> None:
        self._make = make
        self._time_allowed = time_allowed
        self._limiter = limiter
        self._inner: asyncio.Protocol | None = None
        self._address = ""
        self._deadline: asyncio.TimerHandle | None = None
        self._on_lost: Callable[[], None] | None = None

    def passed(self, on_lost: Callable[[], None] | None = None) -> None:
        """Lift the deadline: this connection has become a WebSocket, or a stream that ends with ``on_lost``."""
        self._on_lost = on_lost
        if self._deadline is not None:
            self._deadline.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the connection in, or cut it."""
        # Not an isinstance: uvloop's transports have another base.
        transport = cast(asyncio.Transport, transport)
        loop = asyncio.get_running_loop()
        if self._limiter is not None:
            self._address = peer_address(transport)
            if not self._limiter.enter_socket(self._address, loop.time()):
                # No answer: it would cost more than the question did.
                transport.abort()
                return
        self._deadline = loop.call_later(self._time_allowed, transport.abort)
        self._inner = self._make()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give back what was taken."""
        if self._on_lost is not None:
            self._on_lost()
        self.passed()
        if self._inner is not None:
            if self._limiter is not None:
                self._limiter.leave_socket(self._address)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Forward."""
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Forward."""
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Forward."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Forward."""
        if self._inner is not None:
            self._inner.resume_writing()


def peer_address(transport: asyncio.Transport) -> str:
    """Return the `address_key` of the other end of ``transport``."""
    peer = transport.get_extra_info("peername")
    return address_key(peer[0] if peer else "")
