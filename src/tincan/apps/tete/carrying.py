"""Bytes both ways on a connection, and how it ends.

Between two of ours each direction ends by itself with TLS's close_notify.
Whoever has sent its own, and has passed on everything up to the peer's, ends
TCP too (FIN), and a failure on the way resets it; so both leave only when both
are done. A FIN that comes earlier says that the peer has left, and one without
a close_notify that the connection was cut.

tete knows no end of a direction. At the end of its stdin it stays and goes on
reading, and so does this. To leave, it just ends TCP, and to a close_notify it
answers by leaving.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
from typing import Final

from tincan.apps.copying import copy_in, copy_out
from tincan.apps.ends import Sink, Source
from tincan.apps.tete.security import Connection, Peer
from tincan.errors import IncompleteTransfer
from tincan.link.interface import StreamBroken
from tincan.link.tcp import NO_LINGER
from tincan.tasks import plain_errors, settle

FAREWELL: Final = 2.0
"""Seconds for what is on its way, and for the peer's farewell, when the user wants to leave."""

LOOK: Final = 0.5
"""Seconds to find out whether there is more to send. A file answers at once; a user who types nothing never does."""

_SCRAP: Final = 4096
_NOT_SENT: Final = "The peer left before everything was sent; start both ends again."


class End(enum.Enum):
    """Who ended the connection. The values are tete's words."""

    HERE = "Closed connection"
    THERE = "Peer closed connection"


async def carry(connection: Connection, source: Source, sink: Sink) -> End:
    """Carry bytes until both directions have ended or the peer has left; a cancellation leaves in good order.

    Closes the connection. Raises `IncompleteTransfer` when it broke, or when
    nobody takes the bytes any more.
    """
    ending = _Ending(source)
    carrying = asyncio.create_task(_carry(connection, ending, sink))
    orderly = False
    try:
        try:
            end = await asyncio.shield(carrying)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None:
                task.uncancel()
            ending.end()
            end = End.HERE
            orderly = await _leave(connection, ending, carrying)
        else:
            orderly = True
        return end
    except StreamBroken as exc:
        raise IncompleteTransfer(
            "The connection broke in the middle, so not everything may have arrived. Start both ends again."
        ) from exc
    finally:
        await settle(carrying)
        await hang_up(connection, orderly=orderly)


async def part(connection: Connection) -> None:
    """Leave a connection on which nobody reads or writes any more, so that what was sent before arrives."""
    with contextlib.suppress(TimeoutError, StreamBroken, OSError):
        async with asyncio.timeout(FAREWELL):
            await connection.stream.write_eof()
            connection.sock.shutdown(socket.SHUT_WR)
            await _gone(connection.sock)
    await hang_up(connection, orderly=True)


async def hang_up(connection: Connection, *, orderly: bool) -> None:
    """Close the connection, on which nobody waits any more: what was sent still arrives, or else it is reset.

    The stream alone would end TCP before it resets it, and the peer could take that for a farewell.
    """
    if not orderly:
        with contextlib.suppress(OSError):
            connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
    connection.sock.close()
    await connection.stream.close()


class _Ending:
    """A source that can be ended from outside, without losing what is being written meanwhile."""

    def __init__(self, source: Source) -> None:
        self.passed_on = asyncio.Event()
        """The last of it has been written."""
        self.cut_off = False
        """The peer took no more before everything was written."""
        self._source = source
        self._ended = False
        self._reading: asyncio.Task[object] | None = None
        self._got: asyncio.Future[int] | None = None

    async def more(self, seconds: float) -> bool:
        """Whether there is more of it: being written now, or coming within so many seconds."""
        if self._reading is None:
            return True
        self._got = asyncio.get_running_loop().create_future()
        await asyncio.wait([self._got], timeout=seconds)
        return self._got.done() and self._got.result() > 0

    def end(self) -> None:
        self._ended = True
        if self._reading is not None:
            self._reading.cancel()

    async def read_into(self, buffer: memoryview) -> int:
        if self._ended:
            return 0
        self._reading = asyncio.current_task()
        try:
            count = await self._source.read_into(buffer)
            if self._got is not None and not self._got.done():
                self._got.set_result(count)
            return count
        except asyncio.CancelledError:
            if not self._ended or self._reading is None:
                raise
            self._reading.uncancel()
            return 0
        finally:
            self._reading = None

    def close(self) -> None:
        self._source.close()


async def _carry(connection: Connection, source: _Ending, sink: Sink) -> End:
    with plain_errors():
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(_send(connection, source))
            await _receive(connection, sink)
            if connection.peer is Peer.TETE:
                sending.cancel()
                return End.THERE
            end = End.THERE if sending.done() else End.HERE
            leaving = group.create_task(_gone(connection.sock))
            await asyncio.wait([sending, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                unsent = await source.more(LOOK)
                sending.cancel()
                if unsent:
                    raise IncompleteTransfer(_NOT_SENT)
                return End.THERE
            if source.cut_off:
                raise IncompleteTransfer(_NOT_SENT)
            # Whoever ended the second direction has closed the connection.
            with contextlib.suppress(OSError):  # a peer that is gone is found out below
                connection.sock.shutdown(socket.SHUT_WR)
            await asyncio.wait([leaving])
            return end
    raise AssertionError("a group that fails raises")


async def _send(connection: Connection, source: _Ending) -> None:
    try:
        await copy_in(source, connection.stream)
        if connection.peer is not Peer.TETE:
            await connection.stream.write_eof()
    except StreamBroken as exc:
        # A peer that does not read any more has left, or is gone: whoever reads here finds out which.
        if not isinstance(exc.__cause__, ConnectionError):
            raise
        source.cut_off = connection.peer is not Peer.TETE
    finally:
        source.passed_on.set()


async def _receive(connection: Connection, sink: Sink) -> None:
    try:
        await copy_out(connection.stream, sink)
    except StreamBroken as exc:
        # Without a cause it is the end of TCP alone, which is all the farewell that tete knows.
        if connection.peer is not Peer.TETE or exc.__cause__ is not None:
            raise
        sink.close()


async def _leave(connection: Connection, source: _Ending, carrying: asyncio.Task[End]) -> bool:
    """Send what is being sent, say goodbye and wait for the peer's; return whether there was time for it."""
    try:
        async with asyncio.timeout(FAREWELL):
            await source.passed_on.wait()
            with contextlib.suppress(StreamBroken, OSError):
                await connection.stream.write_eof()
                connection.sock.shutdown(socket.SHUT_WR)
            await asyncio.wait([carrying])
    except TimeoutError:
        return source.passed_on.is_set()
    return True


async def _gone(sock: socket.socket) -> None:
    """Wait for the end of TCP from the peer; raise `StreamBroken` when the connection broke instead."""
    loop = asyncio.get_running_loop()
    try:
        while await loop.sock_recv(sock, _SCRAP):
            pass  # nothing can follow a close_notify
    except OSError as exc:
        raise StreamBroken("The connection to the peer broke.") from exc
