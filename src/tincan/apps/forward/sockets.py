"""A TCP or Unix socket as the local end of a forwarded connection.

Reading pauses while there is no room in the multiplexer, and the peer gets
credit back only for what the system has taken, so what waits to be written
here is at most one window. It waits in one buffer of bytes, whatever the size
of the frames it came in: asyncio's own queue would hold an object for each.
Both directions end by themselves, and a reset stays a reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import sys
from collections.abc import Callable
from typing import cast

from tincan.apps.forward.mux import AHEAD
from tincan.apps.forward.wire import Wire

_LINGER_ZERO = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
"""SO_LINGER on, for no time: closing sends RST instead of FIN."""

_buffer = memoryview(bytearray(AHEAD))
"""What is read from any socket, until it is copied in the same turn of the loop."""

_ONE_READ = 64 * 1024
"""Bytes that are read although there is no room: Windows' loop has them before it can be paused."""

_ONE_WRITE = 256 * 1024
"""Bytes that asyncio is given of what waits; credit goes back when it has written them."""


class SocketEnd(asyncio.BufferedProtocol):
    """One local socket. It reads nothing until `accepted`.

    ``made``: called once it is connected. ``opened``: once data may flow.
    ``gone``: once, at its end, with the reason if there is one to tell.
    """

    def __init__(
        self,
        *,
        opened: Callable[[SocketEnd], None],
        gone: Callable[[SocketEnd, str], None],
        made: Callable[[SocketEnd], None] | None = None,
    ) -> None:
        self._made = made
        self._opened = opened
        self._gone = gone
        self._stash = bytearray()  # read, but there was no room for it
        self._backlog = bytearray()  # from the peer, and not given to asyncio yet
        self._transport: asyncio.Transport | None = None
        self._wire: Wire | None = None
        self._unread = 0
        self._paused = True
        self._local_ended = False
        self._peer_ended = False
        self._reason = ""

    @property
    def wire(self) -> Wire | None:
        """The connection that it belongs to."""
        return self._wire

    def join(self, wire: Wire) -> None:
        """Belong to a connection, which may still have to be accepted."""
        self._wire = wire

    # What the session tells

    def accepted(self, text: str) -> None:
        """See `End.accepted`."""
        self._opened(self)
        self.writable()

    def data(self, payload: memoryview) -> None:
        """See `End.data`."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._unread += len(payload)
        if self._backlog or transport.get_write_buffer_size():
            self._backlog += payload
        else:
            transport.write(bytes(payload))  # newer Pythons keep what they cannot write, without copying it
        self._settle()

    def writable(self) -> None:
        """See `End.writable`."""
        wire, transport = self._wire, self._transport
        if wire is None or transport is None:
            return
        if self._stash:
            count = min(wire.room(), len(self._stash))
            wire.send(bytes(self._stash[:count]))
            del self._stash[:count]
            if self._local_ended and not self._stash:
                wire.send_eof()
        if self._paused and not self._local_ended and wire.room():
            self._paused = False
            transport.resume_reading()

    def ended(self) -> None:
        """See `End.ended`."""
        self._peer_ended = True
        self._flush()

    def lost(self, text: str) -> None:
        """See `End.lost`: reset the local socket too."""
        self._reason = text
        self._wire_is_dead()
        transport = self._transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            if sock is not None and sock.family != getattr(socket, "AF_UNIX", None):
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
            transport.abort()

    # What the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.BaseProtocol`."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.pause_reading()
        self._transport.set_write_buffer_limits(0)  # so that `resume_writing` comes when all is written
        if self._made is not None:
            self._made(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """See `asyncio.BufferedProtocol`: as much as may be sent."""
        room = self._wire.room() if self._wire is not None else 0
        return _buffer[: room or _ONE_READ]

    def buffer_updated(self, nbytes: int) -> None:
        """See `asyncio.BufferedProtocol`."""
        wire, transport = self._wire, self._transport
        if wire is None or transport is None:
            return
        count = min(nbytes, wire.room())
        wire.send(bytes(_buffer[:count]))
        self._stash += _buffer[count:nbytes]
        if not self._paused and not wire.room():
            self._paused = True
            transport.pause_reading()

    def eof_received(self) -> bool:
        """See `asyncio.BufferedProtocol`: the other direction stays open unless it has ended too."""
        self._local_ended = True
        if self._wire is not None and not self._stash:
            self._wire.send_eof()
        return not self._peer_ended or bool(self._backlog)

    def pause_writing(self) -> None:
        """See `asyncio.BaseProtocol`. The peer's credit does the pausing."""

    def resume_writing(self) -> None:
        """See `asyncio.BaseProtocol`: all that asyncio was given has been written."""
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.BaseProtocol`."""
        if self._wire is not None and exc is None:
            self._settle()
        self._transport = None
        self._wire_is_dead()
        self._gone(self, self._reason)

    def _flush(self) -> None:
        """Give asyncio the next piece of what waits, and after the last one the end."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        while self._backlog and not transport.get_write_buffer_size():
            transport.write(bytes(self._backlog[:_ONE_WRITE]))
            del self._backlog[:_ONE_WRITE]
        self._settle()
        if not self._peer_ended or self._backlog:
            return
        if self._local_ended:
            transport.close()  # once what it was given is written
        elif transport.can_write_eof():
            with contextlib.suppress(OSError):  # it has just been reset; connection_lost follows
                transport.write_eof()

    def _settle(self) -> None:
        """Give credit for what has left this process."""
        if self._transport is None or self._wire is None:
            return
        left = self._transport.get_write_buffer_size() + len(self._backlog)
        done, self._unread = self._unread - left, left
        if done > 0:
            self._wire.consumed(done)

    def _wire_is_dead(self) -> None:
        if self._wire is not None:
            self._wire.hang_up()
