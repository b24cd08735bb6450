"""The LAN as a place: no server at all (docs/protocol.md section 2).

The attaching can listens on TCP, serves its own mailbox
(`tincan.meet.places.lan_door`) and announces it by mDNS (RFC 6762, RFC 6763)
under a tag that only who knows the string code can ask for. On the same
machine the tapping can also finds it at a loopback port made from the string
code, so that this works where nothing but loopback exists, and without
waiting for mDNS.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from typing import Any, Final

from tincan.errors import PeerRefused, PlaceUnreachable
from tincan.meet.events import PlaceReady, PlaceTrouble
from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed, Side
from tincan.meet.place import Tell
from tincan.meet.places.lan_door import ServedMailbox
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
from tincan.nat.addresses import interfaces, on_lan, usable_remote

LOOPBACK_RETRY: Final = 0.5
"""Seconds between looks at the loopback ports: a refused connection costs next to nothing."""

ASK_FOR: Final = 3.0
"""Seconds that one mDNS question is repeated before it is asked anew."""


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
        self._served: ServedMailbox | None = None

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> ServedMailbox | VisitedMailbox:
        """See `Place.open`."""
        self._tell = tell or self._tell
        if side is Side.TAP:
            return await _find(code, self._tell, self._before())
        served = self._served = ServedMailbox(code, self._tell)
        try:
            await served.listen()
        except OSError as exc:
            await served.close(done=False)
            raise PlaceUnreachable(f"This machine does not let tin-can listen ({exc.strerror}).") from exc
        except (asyncio.CancelledError, PeerRefused):
            await served.close(done=False)
            raise
        self._tell(PlaceReady(self.name))
        served.task = self._group.create_task(served.announce())
        return served

    def leave(self) -> bool:
        """See `tincan.meet.turns.Door`."""
        return self._served is None or self._served.leave()

    def _before(self) -> list[asyncio.Task[Any]]:
        """Return what mDNS waits for; our own announcement, too, lest we find ourselves."""
        announcement = None if self._served is None else self._served.task
        return [task for task in (self._before_mdns, announcement) if task is not None]


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
            raise PeerRefused(BUSY)
        return message

    async def close(self, *, done: bool) -> None:
        """See `Mailbox.close`."""
        self._writer.close()


_Found = asyncio.Queue[VisitedMailbox | PeerRefused]


async def _find(code: str, tell: Tell, before_mdns: list[asyncio.Task[Any]]) -> VisitedMailbox:
    """Return the mailbox of the attaching can, from the first of its addresses that answers."""
    found: _Found = asyncio.Queue()
    taken: list[VisitedMailbox | PeerRefused] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(_look_on_loopback(code, found)),
                group.create_task(_look_by_mdns(code, found, tell, before_mdns)),
            ]
            tell(PlaceReady("lan"))
            taken.append(await found.get())
            for task in tasks:
                task.cancel()
    except BaseException:  # cancelled, when one was found already
        for mailbox in taken:
            await _leave(mailbox)
        raise
    finally:
        while not found.empty():
            await _leave(found.get_nowait())
    (mailbox,) = taken
    if isinstance(mailbox, PeerRefused):
        raise mailbox
    return mailbox


async def _leave(mailbox: VisitedMailbox | PeerRefused) -> None:
    if isinstance(mailbox, VisitedMailbox):
        await mailbox.close(done=False)


async def _look_on_loopback(code: str, found: _Found) -> None:
    host = loopback()
    while True:
        for n in range(LOOPBACK_PORTS):
            if await _visit(host, loopback_port(code, n), code, found):
                return
        await asyncio.sleep(LOOPBACK_RETRY)


async def _look_by_mdns(code: str, found: _Found, tell: Tell, before: list[asyncio.Task[Any]]) -> None:
    if before:
        await asyncio.wait(before)
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
        tell(PlaceTrouble("lan", multicast_refused(exc)))


async def _visit(host: str, port: int, code: str, found: _Found) -> bool:
    writer = None
    try:
        async with asyncio.timeout(GREETING_TIMEOUT):
            reader, writer = await asyncio.open_connection(host, port, limit=MAX_MESSAGE + 4)
            await write_frame(writer, greeting(code))
            answer = await read_frame(reader)
            if answer == b"busy":
                await found.put(PeerRefused(BUSY))
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


__all__ = ["LanPlace", "ServedMailbox", "VisitedMailbox", "lan_tag", "loopback_port", "read_frame", "write_frame"]
