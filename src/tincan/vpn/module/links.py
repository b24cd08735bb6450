"""The links of one module: each with the strand in use, and perhaps the next one beside it.

A restart makes a new strand, with sockets, credentials and keys of its own,
while packets go on by the old one. When it is up the peer's addresses move to
it in the data plane, and the old one is taken down a little later, since the
peer may be a round trip behind. So TCP on top sees a moment of loss at most.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from typing import Final

from tincan.errors import AuthenticationFailed, NoPath, TinCanError
from tincan.link.interface import CloseReason
from tincan.tasks import settle
from tincan.vpn.module.counters import add
from tincan.vpn.module.events import CandidatesFound, Event, MessageCame
from tincan.vpn.module.link import Link, Running
from tincan.vpn.module.methods import Candidate, Description, LinkState
from tincan.vpn.module.states import Happening, follow
from tincan.vpn.module.strand import Strand, Told, Wanted
from tincan.vpn.path.plane import DataPlane, LinkKeys, Network, UdpTransport

logger = logging.getLogger(__name__)

HANDOVER: Final = 2.0
"""Seconds that the old strand is still listened to after the new one is up."""

NUMBERS: Final = 65536
"""Of links in the data plane."""

_ENDED: Final = {
    CloseReason.LOCAL: "The link was taken down.",
    CloseReason.PEER: "The other end took the link down.",
    CloseReason.LOST: "The peer went silent, or the path died.",
    CloseReason.BROKEN: "The peer broke the protocol of the link.",
}

_NO_PATH: Final = "No network path to the peer works. A TURN server (servers) or another network may help."
_ANOTHER: Final = (
    "Whoever answered has another certificate than the peer's description says; somebody may be in the middle."
)


class Links:
    """All links of a module, on one data plane. ``tell`` gets events; tasks run in ``group``."""

    def __init__(self, plane: DataPlane, group: asyncio.TaskGroup, tell: Callable[[Event], None]) -> None:
        self._plane = plane
        self._group = group
        self._tell = tell
        self._links: dict[int, Link] = {}
        self._numbers = itertools.count(1)
        self._next_plane = 0
        self._peers: dict[str, tuple[Network, ...]] = {}
        self._working: set[Running] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self.on_used: Callable[[], object] = lambda: None
        """Called when another strand is in use: `used` has changed."""

    async def use(self, plane: DataPlane) -> None:
        """Go over to another data plane; without links, what was left of earlier ones is waited for."""
        await self.close()
        self._plane = plane

    def __len__(self) -> int:
        return len(self._links)

    def __iter__(self) -> Iterator[Link]:
        return iter(tuple(self._links.values()))

    def get(self, number: int) -> Link | None:
        """Return a link."""
        return self._links.get(number)

    def of_peer(self, peer: str) -> list[Link]:
        """Return the links to a peer."""
        return [link for link in self._links.values() if link.peer == peer]

    def used(self) -> dict[int, str]:
        """Return the data plane's numbers of the strands in use, and whose they are."""
        return {link.used.plane: link.peer for link in self._links.values() if link.used is not None}

    def by_plane(self, plane: int) -> Link | None:
        """Return the link that uses a number in the data plane."""
        return next(
            (link for link in self._links.values() if link.used is not None and link.used.plane == plane), None
        )

    # -- what controllers want -----------------------------------------------------------

    async def create(self, peer: str, wanted: Wanted) -> tuple[Link, Description]:
        """Make a link."""
        link = Link(next(self._numbers), peer, wanted, since=time.monotonic())
        self._links[link.number] = link
        try:
            description = await self._begin(link)
        except BaseException:
            self._links.pop(link.number, None)
            raise
        return link, description

    async def restart(self, link: Link, wanted: Wanted) -> Description:
        """Make another strand of a link; one that was being made is given up."""
        link.wanted = wanted
        if link.next is not None:
            given_up, link.next = link.next, None
            self._retire(given_up)
        return await self._begin(link)

    def connect(self, link: Link, remote: Description) -> bool:
        """Connect the strand being made; False where there is none that waits for that."""
        if link.next is None or link.next.strand.is_connected:
            return False
        link.next.strand.connect(remote)
        self._turn(link, Happening.CONNECTED)
        return True

    async def trim(self, link: Link) -> None:
        """Take a link down; its strands close by themselves."""
        self._links.pop(link.number, None)
        for running in (link.next, link.used):
            if running is not None:
                self._retire(running)
        link.next = link.used = None
        await self._readdress(link.peer)
        self.on_used()

    def give_up(self, link: Link, reason: str) -> None:
        """Take the strand in use for lost, since nothing goes by it any more."""
        if link.used is not None:
            running, link.used = link.used, None
            self._retire(running)
            self._turn(link, Happening.WAS_LOST, reason)
            self.on_used()

    async def set_peer(self, peer: str, addresses: tuple[Network, ...]) -> None:
        """Say which addresses a peer has."""
        if addresses:
            self._peers[peer] = addresses
        else:
            self._peers.pop(peer, None)
        await self._readdress(peer)

    @property
    def peers(self) -> dict[str, tuple[Network, ...]]:
        """Who has which addresses."""
        return self._peers

    async def states(self, peer: str | None, *, statistics: bool) -> tuple[LinkState, ...]:
        """Say how the links are."""
        counted = await self._plane.statistics() if statistics else {}
        now = time.monotonic()
        return tuple(
            link.described(now, counted if statistics else None)
            for link in self._links.values()
            if peer in (None, link.peer)
        )

    async def close(self) -> None:
        """Take every link down and wait for that."""
        self._links.clear()
        await settle(*self._leaving)
        await asyncio.gather(*(self._end(running) for running in self._working))

    # -- strands ------------------------------------------------------------------------

    async def _begin(self, link: Link) -> Description:
        plane = self._unused_plane()
        strand = Strand(link.wanted, self._told(link, plane))
        try:
            description = await strand.gather()
            if self._links.get(link.number) is not link or link.next is not None:
                raise NoPath("The link was taken down or restarted meanwhile.")
        except BaseException:
            await strand.close()
            raise
        link.next = Running(strand, plane)
        self._working.add(link.next)
        link.next.task = self._group.create_task(self._run(link, link.next), name=f"link {link.number}")
        return description

    def _told(self, link: Link, plane: int) -> Told:
        def candidates(found: tuple[Candidate, ...], complete: bool) -> None:
            if link.next is not None and link.next.plane == plane:
                self._tell(CandidatesFound(link.number, link.next.strand.ufrag, found, complete))

        def message(data: bytes) -> None:
            if self._links.get(link.number) is link:
                self._tell(MessageCame(link.number, link.peer, data))

        return Told(
            candidates=candidates,
            up=lambda keys: self._up(link, plane, keys),
            route=lambda: self._route(link, plane),
            message=message,
            packet=lambda packet: self._plane.received(plane, packet),
        )

    async def _run(self, link: Link, running: Running) -> None:
        """Let a strand live; whatever ends it, the link knows. One that was retired says nothing any more."""
        try:
            happening, reason = await _outcome(running.strand)
            if link.used is running:  # whatever it was: packets went by it
                link.used = None
                self._turn(link, Happening.WAS_LOST, reason)
                await self._count(link, running)
                self.on_used()
            elif link.next is running:
                link.next = None
                self._turn(link, happening, reason)
        finally:
            try:
                await self._plane.remove_link(running.plane)
            finally:
                await running.strand.close()
                self._working.discard(running)

    async def _up(self, link: Link, plane: int, keys: LinkKeys) -> None:
        """Put a strand that came up to use."""
        running = link.next
        if running is None or running.plane != plane:
            raise NoPath("The link was taken down or restarted meanwhile.")
        running.route = running.strand.link.ice.route
        transport = running.strand.transport()
        try:
            await self._plane.add_link(plane, transport, keys, self._peers.get(link.peer, ()))
        finally:
            if isinstance(transport, UdpTransport):
                transport.socket.close()
        if link.next is not running:
            await self._plane.remove_link(plane)
            await self._readdress(link.peer)
            raise NoPath("The link was taken down or restarted meanwhile.")
        before, link.used, link.next = link.used, running, None
        self._turn(link, Happening.CAME_UP)
        self.on_used()
        await self._readdress(link.peer)
        if before is not None:
            await self._count(link, before)
            self._leave(self._group.create_task(self._hand_over(before), name="handing over"))

    async def _hand_over(self, before: Running) -> None:
        await asyncio.sleep(HANDOVER)
        await self._end(before)

    def _route(self, link: Link, plane: int) -> None:
        """Another pair may be in use: tell the data plane where packets go now."""
        running = link.used
        if running is not None and running.plane == plane and running.strand.link.ice.route != running.route:
            self._leave(self._group.create_task(self._move(link, running), name="another route"))

    async def _move(self, link: Link, running: Running) -> None:
        running.route = running.strand.link.ice.route
        try:
            transport = running.strand.transport()
        except NoPath:
            return  # it is about to end
        try:
            await self._plane.move_link(running.plane, transport)
        except ValueError:
            return  # it has ended meanwhile
        finally:
            if isinstance(transport, UdpTransport):
                transport.socket.close()
        if link.used is running and running.strand.link.status.path.value != link.path:
            self._tell(link.changed())

    def _retire(self, running: Running) -> None:
        """End a strand that is of no more use."""
        self._leave(self._group.create_task(self._end(running), name="closing a link"))

    async def _end(self, running: Running) -> None:
        # Closed first: what is waited for within aiortc ends better so than by being cancelled.
        try:
            await self._plane.remove_link(running.plane)
        finally:
            await running.strand.close()
            if running.task is not None:
                await settle(running.task)
            self._working.discard(running)

    def _leave(self, task: asyncio.Task[None]) -> None:
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # -- inside -------------------------------------------------------------------------

    async def _readdress(self, peer: str) -> None:
        """Give the addresses of a peer to the link that came up last."""
        up = [link for link in self.of_peer(peer) if link.used is not None]
        if up:
            used = max(up, key=lambda link: link.since).used
            assert used is not None  # noqa: S101 - as it was chosen
            await self._plane.set_peer(used.plane, self._peers.get(peer, ()))

    async def _count(self, link: Link, running: Running) -> None:
        """Keep what a strand has counted that is used no more."""
        counted = await self._plane.statistics(running.plane)
        link.before = add(link.before, counted.get(running.plane))

    def _unused_plane(self) -> int:
        taken = {running.plane for running in self._working}
        while True:
            self._next_plane = (self._next_plane + 1) % NUMBERS
            if self._next_plane not in taken:
                return self._next_plane

    def _turn(self, link: Link, happening: Happening, reason: str | None = None) -> None:
        before = link.state
        link.state = follow(link.number, before, happening)
        link.reason = reason
        if link.state is not before or happening is Happening.CAME_UP:
            link.since = time.monotonic()
        news = link.state is not before or reason is not None or happening is Happening.CAME_UP
        if news and self._links.get(link.number) is link:
            self._tell(link.changed())


async def _outcome(strand: Strand) -> tuple[Happening, str]:
    """Let a strand live, and say how it ended, in a sentence for the controller."""
    try:
        return Happening.WAS_LOST, _ENDED[await strand.run()]
    except AuthenticationFailed:
        return Happening.COULD_NOT, _ANOTHER
    except NoPath:
        return Happening.COULD_NOT, _NO_PATH
    except TinCanError as exc:
        return Happening.COULD_NOT, str(exc)
    except Exception as exc:  # of one link; the others go on
        logger.exception("a link has failed")
        return Happening.COULD_NOT, f"Something went wrong inside the module ({type(exc).__name__})."
