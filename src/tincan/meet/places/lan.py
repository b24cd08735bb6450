"""The LAN as a place: no server at all (docs/protocol.md section 2).

The attaching can listens on TCP, serves its own mailbox and announces it by
mDNS (RFC 6762, RFC 6763) under a tag that only who knows the string code can
ask for. On the same machine the tapping can also finds it at a loopback port
made from the string code, so that this works where nothing but loopback
exists, and without waiting for mDNS.

What arrives on the port is nobody's until the handshake says otherwise:
connections are few, have seconds to name the string code, and frames are
bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import ipaddress
import logging
import socket
from typing import Any, Final

from tincan.errors import PeerRefused, PlaceUnreachable, TinCanError
from tincan.meet.events import PlaceReady, PlaceTrouble
from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed, Side
from tincan.meet.place import Tell
from tincan.nat.addresses import interfaces, on_lan, usable_remote

logger = logging.getLogger(__name__)

GREETING_TIMEOUT: Final = 5.0
"""Seconds that a connection has to name the string code."""

VISIT_LIMIT: Final = 60.0
"""Seconds that a visitor may stay without saying anything more."""

MAX_VISITORS: Final = 8
"""Connections served at once; a ninth is closed."""

MAX_MESSAGES: Final = 64
LOOPBACK_PORTS: Final = 3
LOOPBACK_RETRY: Final = 0.5
"""Seconds between looks at the loopback ports: a refused connection costs next to nothing."""

ASK_FOR: Final = 3.0
"""Seconds that one mDNS question is repeated before it is asked anew."""


def lan_tag(code: str) -> str:
    """Return the instance name under which a string code is announced."""
    return hashlib.sha256(b"tin-can/1 lan " + code.encode()).hexdigest()[:16]


def loopback_port(code: str, n: int) -> int:
    """Return the n-th loopback port of a string code, in the dynamic range (RFC 6335)."""
    digest = hashlib.sha256(b"tin-can/1 loopback %d " % n + code.encode()).digest()
    return 49152 + int.from_bytes(digest[:4], "big") % 16384


async def write_frame(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Send one frame."""
    writer.write(len(message).to_bytes(4, "big") + message)
    await writer.drain()


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return one frame; raise `MailboxClosed` at the end of the connection or for a bad length."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > MAX_MESSAGE:
            raise MailboxClosed("The other end sent an oversized frame.")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        raise MailboxClosed("The other can left.") from None


class LanPlace:
    """This network and this machine.

    ``before_mdns``: what the tapping can lets pass before it loads mDNS, which takes a tenth of a second of
    the one processor that Python uses; at a switchboard the other can is usually found before that.
    """

    name = "lan"

    def __init__(self, group: asyncio.TaskGroup, tell: Tell, *, before_mdns: asyncio.Task[Any] | None = None) -> None:
        self._group = group
        self._tell = tell
        self._before_mdns = before_mdns

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> ServedMailbox | VisitedMailbox:
        """See `Place.open`."""
        self._tell = tell or self._tell
        if side is Side.TAP:
            return await _find(code, self._tell, self._before_mdns)
        served = ServedMailbox(code, self._tell)
        try:
            await served.listen()
        except OSError as exc:
            await served.close(done=False)
            raise PlaceUnreachable(f"This machine does not let tin-can listen ({exc.strerror}).") from exc
        except asyncio.CancelledError:
            await served.close(done=False)
            raise
        self._tell(PlaceReady(self.name))
        served.task = self._group.create_task(served.announce())
        return served


# -- the attaching can -------------------------------------------------------------


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
        self._peer: asyncio.StreamWriter | None = None
        self._inbox: asyncio.Queue[bytes | TinCanError] = asyncio.Queue(MAX_MESSAGES + 1)

    async def listen(self) -> None:
        """Open the port for the network and one of the loopback ports."""
        await self._listen(sock=_any_socket())
        self._port = self._servers[0].sockets[0].getsockname()[1]
        for n in range(LOOPBACK_PORTS):
            with contextlib.suppress(OSError):  # somebody else's port: the next one, then
                await self._listen(host=_loopback(), port=loopback_port(self._code, n))
                break

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
            self._tell(PlaceTrouble("lan", _multicast_refused(exc)))

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
            writer.close()
            if self._peer is writer:
                with contextlib.suppress(asyncio.QueueFull):
                    self._inbox.put_nowait(MailboxClosed("The other can left."))

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(GREETING_TIMEOUT):
            greeting = await read_frame(reader)
            if not hmac.compare_digest(greeting, _greeting(self._code)):
                raise MailboxClosed("not for this string")
            if self._peer is not None:
                await write_frame(writer, b"busy")
                raise MailboxClosed("busy")
            await write_frame(writer, b"ok")
            for message in self._sent:  # what `send` adds meanwhile is found here too
                await write_frame(writer, message)
            self._greeted.add(writer)


# -- the tapping can ---------------------------------------------------------------


class VisitedMailbox:
    """The mailbox that another can serves, over one TCP connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, message: bytes) -> None:
        """See `Mailbox.send`."""
        if len(message) > MAX_MESSAGE:
            raise ValueError("message too long for a mailbox")
        with contextlib.suppress(OSError):  # told by receive
            await write_frame(self._writer, message)

    async def receive(self) -> bytes:
        """See `Mailbox.receive`."""
        message = await read_frame(self._reader)
        if message == b"busy":
            raise PeerRefused(_BUSY)
        return message

    async def close(self, *, done: bool) -> None:
        """See `Mailbox.close`."""
        self._writer.close()


_Found = asyncio.Queue[VisitedMailbox | PeerRefused]
_BUSY = "The line is busy: somebody else is already on that string."


async def _find(code: str, tell: Tell, before_mdns: asyncio.Task[Any] | None) -> VisitedMailbox:
    """Return the mailbox of the attaching can, from the first of its addresses that answers."""
    found: _Found = asyncio.Queue()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_look_on_loopback(code, found)),
            group.create_task(_look_by_mdns(code, found, tell, before_mdns)),
        ]
        tell(PlaceReady("lan"))
        mailbox = await found.get()
        for task in tasks:
            task.cancel()
    while not found.empty():
        late = found.get_nowait()
        if isinstance(late, VisitedMailbox):
            await late.close(done=False)
    if isinstance(mailbox, PeerRefused):
        raise mailbox
    return mailbox


async def _look_on_loopback(code: str, found: _Found) -> None:
    host = _loopback()
    while True:
        for n in range(LOOPBACK_PORTS):
            if await _visit(host, loopback_port(code, n), code, found):
                return
        await asyncio.sleep(LOOPBACK_RETRY)


async def _look_by_mdns(code: str, found: _Found, tell: Tell, before: asyncio.Task[Any] | None) -> None:
    if before is not None:
        await asyncio.wait([before])
    await asyncio.to_thread(__import__, "tincan.meet.places.mdns")  # 90 ms that the switchboard need not wait for
    from tincan.meet.places.mdns import asking

    try:
        async with asking(lan_tag(code), ASK_FOR) as answers:
            async for addresses, port in answers:
                here = interfaces()
                for host in addresses:
                    # Anybody on the network may answer: it must not send us elsewhere, or to ourselves.
                    near = usable_remote(host, loopback=False) and on_lan(ipaddress.ip_address(host), here)
                    if near and await _visit(host, port, code, found):
                        return
    except OSError as exc:
        tell(PlaceTrouble("lan", _multicast_refused(exc)))


async def _visit(host: str, port: int, code: str, found: _Found) -> bool:
    writer = None
    try:
        async with asyncio.timeout(GREETING_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port, limit=MAX_MESSAGE + 4)
            await write_frame(writer, _greeting(code))
            answer = await read_frame(reader)
            if answer == b"busy":
                await found.put(PeerRefused(_BUSY))
            if answer != b"ok":
                raise MailboxClosed("not ours, or busy")
        await found.put(VisitedMailbox(reader, writer))
    except (OSError, TimeoutError, MailboxClosed):
        if writer is not None:
            writer.close()
        return False
    except asyncio.CancelledError:
        if writer is not None:
            writer.close()
        raise
    return True


def _greeting(code: str) -> bytes:
    return b"tin-can/1 " + code.encode()


def _loopback() -> str:
    return "127.0.0.1" if any(str(i.address) == "127.0.0.1" for i in interfaces()) else "::1"


def _any_socket() -> socket.socket:
    """Return a socket bound to a free port on every address, IPv6 and IPv4 where both exist."""
    if socket.has_dualstack_ipv6():
        with contextlib.suppress(OSError):
            return socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", 0))


def _multicast_refused(exc: OSError) -> str:
    reason = exc.strerror or str(exc) or "no reason given"
    return f"This network refuses multicast ({reason}), so cans on other machines of the LAN are not found by it."


__all__ = ["LanPlace", "ServedMailbox", "VisitedMailbox", "lan_tag", "loopback_port"]
