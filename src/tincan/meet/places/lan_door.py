"""The door of a can that waits on the LAN: it serves its own mailbox to whoever names the string code.

What arrives on its ports is nobody's until the handshake says otherwise:
connections are few, have seconds to name the string code, and frames are
bounded. Who was let in has the share and may be about to spend his one guess
on the reply, so a can that takes turns (`tincan.meet.turns`) leaves its door
only when nobody is in. On one machine a second can that waits finds the first
one at the loopback port that both want, and so learns that the line is busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import socket
from typing import Any, Final

from tincan.errors import PeerRefused, TinCanError
from tincan.meet.events import PlaceTrouble
from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed
from tincan.meet.place import Tell
from tincan.meet.places.lan_wire import (
    BUSY,
    GREETING_TIMEOUT,
    LOOPBACK_PORTS,
    greeting,
    lan_tag,
    loopback,
    loopback_port,
    multicast_refused,
    read_frame,
    write_frame,
)

logger = logging.getLogger(__name__)

VISIT_LIMIT: Final = 60.0
"""Seconds that a visitor may stay without saying anything more."""

MAX_VISITORS: Final = 8
"""Connections served at once; a ninth is closed."""

MAX_MESSAGES: Final = 64

PROBE_TIMEOUT: Final = 1.0
"""Seconds that whoever holds one of our loopback ports has to say whether it is the other can."""


class ServedMailbox:
    """The mailbox that an attaching can serves to whoever names the string code."""

    def __init__(self, code: str, tell: Tell) -> None:
        self.task: asyncio.Task[None] | None = None
        self._code = code
        self._tell = tell
        self._servers: list[asyncio.Server] = []
        self._port = 0
        self._sent: list[bytes] = []
        self._visitors: set[asyncio.StreamWriter] = set()
        self._greeted: set[asyncio.StreamWriter] = set()
        self._inside: set[asyncio.StreamWriter] = set()
        self._left = False
        self._peer: asyncio.StreamWriter | None = None
        self._inbox: asyncio.Queue[bytes | TinCanError] = asyncio.Queue(MAX_MESSAGES + 1)

    async def listen(self) -> None:
        """Open the port for the network and one of the loopback ports.

        Raises `PeerRefused` when another can of this machine attaches to the same string.
        """
        await self._listen(sock=_any_socket())
        self._port = self._servers[0].sockets[0].getsockname()[1]
        for n in range(LOOPBACK_PORTS):
            try:
                await self._listen(host=loopback(), port=loopback_port(self._code, n))
                return
            except OSError:  # somebody else's port: the next one, then
                if await _is_attached(loopback(), loopback_port(self._code, n), self._code):
                    raise PeerRefused(BUSY) from None

    async def _listen(self, **where: Any) -> None:
        # Known before it serves: a cancellation while it begins to would else leave a port open.
        server = await asyncio.start_server(self._serve, limit=MAX_MESSAGE + 4, start_serving=False, **where)
        self._servers.append(server)
        await server.start_serving()

    async def announce(self) -> None:
        """Announce the port by mDNS until cancelled; say once when that is refused here."""
        from tincan.meet.places.mdns import announcing  # zeroconf costs 90 ms

        try:
            async with announcing(lan_tag(self._code), self._port):
                await asyncio.Event().wait()
        except OSError as exc:
            self._tell(PlaceTrouble("lan", multicast_refused(exc)))

    # -- Mailbox -----------------------------------------------------------------

    async def send(self, message: bytes) -> None:
        """See `Mailbox.send`. Until a visitor has said something, every greeted one gets the message."""
        if len(message) > MAX_MESSAGE:
            raise ValueError("message too long for a mailbox")
        self._sent.append(message)
        for writer in [self._peer] if self._peer else list(self._greeted):
            with contextlib.suppress(OSError):
                await write_frame(writer, message)

    async def receive(self) -> bytes:
        """See `Mailbox.receive`."""
        item = await self._inbox.get()
        if isinstance(item, TinCanError):
            raise item
        return item

    async def close(self, *, done: bool) -> None:
        """See `Mailbox.close`."""
        if self.task is not None:
            self.task.cancel()
        for server in self._servers:
            server.close()
        for writer in list(self._visitors):
            writer.close()

    def leave(self) -> bool:
        """Let nobody in any more, unless somebody is in; returns whether the door is shut.

        Whoever was let in has our share and may be about to spend his guess on the reply.
        """
        self._left = self._left or not (self._inside or self._peer)
        return self._left

    # -- visitors ------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._visitors) >= MAX_VISITORS:
            writer.close()
            return
        self._visitors.add(writer)
        try:
            await self._greet(reader, writer)
            while True:
                async with asyncio.timeout(None if self._peer is writer else VISIT_LIMIT):
                    message = await read_frame(reader)
                if self._peer is None:
                    self._peer = writer
                if self._peer is not writer:
                    await write_frame(writer, b"busy")
                    return
                if self._inbox.qsize() >= MAX_MESSAGES:
                    raise asyncio.QueueFull  # the last room is for the news that the visitor left
                self._inbox.put_nowait(message)
        except (MailboxClosed, OSError, TimeoutError):
            pass
        except asyncio.QueueFull:
            logger.info("a visitor sent too many messages")
        finally:
            self._visitors.discard(writer)
            self._greeted.discard(writer)
            self._inside.discard(writer)
            writer.close()
            if self._peer is writer:
                with contextlib.suppress(asyncio.QueueFull):
                    self._inbox.put_nowait(MailboxClosed("The other can left."))

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(GREETING_TIMEOUT):
            named = await read_frame(reader)
            if not hmac.compare_digest(named, greeting(self._code)):
                raise MailboxClosed("not for this string")
            if self._peer is not None:
                await write_frame(writer, b"busy")
                raise MailboxClosed("busy")
            if self._left:
                raise MailboxClosed("left")
            self._inside.add(writer)
            await write_frame(writer, b"ok")
            for message in self._sent:  # what `send` adds meanwhile is found here too
                await write_frame(writer, message)
            self._greeted.add(writer)


async def _is_attached(host: str, port: int, code: str) -> bool:
    """Whether a can that attaches to this string listens there."""
    writer = None
    try:
        async with asyncio.timeout(PROBE_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port, limit=MAX_MESSAGE + 4)
            await write_frame(writer, greeting(code))
            return await read_frame(reader) in (b"ok", b"busy")
    except (OSError, TimeoutError, MailboxClosed):
        return False
    finally:
        if writer is not None:
            writer.close()


def _any_socket() -> socket.socket:
    """Return a socket bound to a free port on every address, IPv6 and IPv4 where both exist."""
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))
