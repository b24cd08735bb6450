"""From a phrase to a link: meeting, then connecting, with everything slow side by side.

`tie_string` is what every command that meets a peer calls. While the string
code is derived (Argon2id, in a thread) and the places are being reached, the
WebRTC stack is loaded in another thread, and candidates are gathered as soon
as it is there. Candidates that come later trickle through the same sealed
line until the link stands; then the place is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tincan.errors import PeerRefused, PlaceUnreachable, ProtocolError, TinCanError, UsageError
from tincan.link.interface import Link
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble, ServersOffered, Waiting
from tincan.meet.mailbox import MailboxClosed, MailboxReset, Side
from tincan.meet.phrase import Phrase, StringKeys, derive, generate
from tincan.meet.watch import NO_PLACE_GRACE
from tincan.nat.servers import IceServer
from tincan.tasks import plain_errors, settle

if TYPE_CHECKING:
    from tincan.link.description import Candidate, Description
    from tincan.link.webrtc import WebRtcLink
    from tincan.meet.meeting import Line
    from tincan.meet.place import Place
    from tincan.meet.places.switchboard import SwitchboardPlace

logger = logging.getLogger(__name__)

NAMEPLATE_TIMEOUT: Final = 2.0
"""Seconds for a switchboard to give a nameplate; then a random one is taken."""

MDNS_LATER: Final = 0.15
"""Seconds by which a tapping can looks on the LAN later than at a switchboard, if it has one."""

MAX_SERVERS: Final = 16


@dataclass(frozen=True)
class Settings:
    """Where to meet and how to connect."""

    switchboards: tuple[str, ...] = ()
    lan: bool = True
    servers: tuple[IceServer, ...] = ()
    relay_only: bool = False
    timeout: float = 600.0
    """Seconds to wait for the peer."""

    grace: float = NO_PLACE_GRACE
    """Seconds that no place at all may be reachable before it is given up."""


class Connected(msgspec.Struct, frozen=True):
    """The string is tied."""

    path: str
    place: str


LinkEvent = MeetEvent | Connected
Tell = Callable[[LinkEvent], None]


@contextlib.asynccontextmanager
async def tie_string(side: Side | None, phrase: Phrase | None, settings: Settings, tell: Tell) -> AsyncIterator[Link]:
    """Meet the other can and yield the link to it; closed at the end.

    ``side`` None: whoever comes first waits, and `SideTaken` tells which side
    this can has come to. ``phrase`` None (attach only): one is generated and
    told by `Waiting`. Raises what `tincan.meet.meeting.meet` and `WebRtcLink.connect` raise.
    """
    if not settings.lan and not settings.switchboards:
        raise UsageError("There is no place to meet: name a switchboard (--switchboard URL) or leave out --no-lan.")
    if phrase is None and side is not Side.ATTACH:
        raise UsageError("Name the phrase that both of you use; only the one who waits can have one made up.")
    with plain_errors():
        async with asyncio.TaskGroup() as group:
            dial = _Dial(side, settings, tell, group)
            try:
                link = await dial.run(phrase)
                try:
                    yield link
                finally:
                    await link.close()
            finally:
                await dial.stop()


class _Dial:
    """One use of `tie_string`."""

    def __init__(self, side: Side | None, settings: Settings, tell: Tell, group: asyncio.TaskGroup) -> None:
        self._side = side
        self._settings = settings
        self._tell = tell
        self._group = group
        self._candidates: list[Candidate] = []
        self._told = 0
        self._news = asyncio.Event()
        self._servers = set(settings.servers)
        self._troubles: dict[str, str] = {}
        self._complete = False
        self._loading = group.create_task(self._load())
        self._asking = [group.create_task(self._ask(server)) for server in settings.servers]
        self._trickling: asyncio.Task[None] | None = None

    async def run(self, phrase: Phrase | None) -> Link:
        """Return the link, once it stands."""
        from tincan.meet.meeting import meet  # loads the cryptography; the stack loads beside it

        boards = self._boards()
        if phrase is None:
            phrase = await self._generate(boards)
        places: list[Place] = list(boards)
        if self._settings.lan:
            from tincan.meet.places.lan import LanPlace

            places.append(LanPlace(self._group, self._hear, before_mdns=self._group.create_task(self._head_start())))
        keys = await self._keys(phrase)
        self._tell(Waiting(keys.code, phrase))
        keeping = self._group.create_task(self._keep_mappings())
        try:
            line = await meet(
                self._side,
                keys,
                places,
                offer=self._offer,
                tell=self._hear,
                group=self._group,
                timeout=self._settings.timeout,
                grace=self._settings.grace,
            )
        finally:
            keeping.cancel()
        try:
            link = await self._connect(line)
        except BaseException:
            await line.close(done=False)
            raise
        # Leaving the place costs a round trip that the first message need not wait for.
        self._group.create_task(line.close(done=True))
        self._tell(Connected(link.status.path.value, line.place))
        return link

    async def stop(self) -> None:
        """End what is still going on beside the link."""
        for task in [*self._asking, self._loading, self._trickling]:
            if task is not None and not task.done():
                await settle(task)
        if self._loading.done() and not self._loading.cancelled() and self._loading.exception() is None:
            await self._loading.result().close()

    # -- phrase and places ------------------------------------------------------------

    async def _keys(self, phrase: Phrase) -> StringKeys:
        if phrase.generated:
            return derive(phrase)
        return await asyncio.to_thread(_derive, phrase)

    def _boards(self) -> list[SwitchboardPlace]:
        if not self._settings.switchboards:
            return []
        from tincan.meet.places.switchboard import SwitchboardPlace

        return [SwitchboardPlace(url, self._group, self._hear) for url in self._settings.switchboards]

    async def _generate(self, boards: Sequence[SwitchboardPlace]) -> Phrase:
        """Ask every switchboard for a nameplate; the first answer counts, else a random one does."""
        nameplate = None
        asking = {self._group.create_task(board.allocate()) for board in boards}
        deadline = asyncio.get_running_loop().time() + NAMEPLATE_TIMEOUT
        while asking and nameplate is None:
            left = deadline - asyncio.get_running_loop().time()
            done, asking = await asyncio.wait(asking, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
            nameplate = next((task.result() for task in done if task.result() is not None), None)
        for task in asking:
            task.cancel()
        return generate(nameplate or secrets.choice(range(100, 1000)), secrets.choice)

    def _hear(self, event: MeetEvent) -> None:
        if isinstance(event, PlaceTrouble):
            if self._troubles.get(event.place) == event.text:
                return  # one mailbox for the nameplate and one for the meeting have the same trouble
            self._troubles[event.place] = event.text
        elif isinstance(event, PlaceReady):
            self._troubles.pop(event.place, None)
        if isinstance(event, ServersOffered):
            fresh = [s for s in event.servers if s not in self._servers]
            for server in fresh[: max(0, MAX_SERVERS - len(self._servers))]:
                self._servers.add(server)
                self._asking.append(self._group.create_task(self._ask(server)))
        # Event classes only: an event may name a place, and Waiting holds the phrase.
        logger.info("%s", type(event).__name__)
        self._tell(event)

    # -- candidates -------------------------------------------------------------------

    async def _head_start(self) -> None:
        """Let the stack be loaded, and a switchboard find the other can, before mDNS takes its time."""
        await asyncio.wait([self._loading])
        if self._settings.switchboards:
            await asyncio.sleep(MDNS_LATER)

    async def _load(self) -> WebRtcLink:
        """Load the stack in a thread, gather host candidates, and ask the servers we know."""
        await asyncio.to_thread(__import__, "tincan.link.webrtc")
        from tincan.link.webrtc import WebRtcLink  # loaded just now

        logger.info("stack loaded")
        link = WebRtcLink(self._side, relay_only=self._settings.relay_only)
        try:
            await link.gather(self._found)
        except BaseException:  # cancelled, most likely: nobody else knows of the sockets that are open by now
            await link.close()
            raise
        logger.info("host candidates gathered")
        return link

    async def _keep_mappings(self) -> None:
        """Keep what STUN told true for as long as nobody comes."""
        link = await asyncio.shield(self._loading)
        await link.ice.keep_asking(self._servers)

    def _found(self, candidate: Candidate) -> None:
        from tincan.link.description import MAX_CANDIDATES

        if len(self._candidates) < MAX_CANDIDATES:
            self._candidates.append(candidate)
            self._news.set()

    async def _describe(self, line: Line) -> bytes:
        from tincan.link.description import encode

        link = await asyncio.shield(self._loading)
        if self._side is None:
            link.take_side(line.side)
        self._told = len(self._candidates)
        self._complete = self._asked_all()
        return encode(link.description(tuple(self._candidates), complete=self._complete))

    async def _offer(self, line: Line) -> bytes:
        offer = await self._describe(line)
        if self._trickling is not None:  # a line that began anew before its flight
            await settle(self._trickling)
        self._trickling = self._group.create_task(self._trickle(line))
        return offer

    async def _trickle(self, line: Line) -> None:
        """Send candidates found after the description, and say when there are no more."""
        from tincan.link.description import MoreCandidates, encode

        with contextlib.suppress(TinCanError):  # a place that is gone carries no more candidates
            while not self._complete:
                self._news.clear()
                fresh = tuple(self._candidates[self._told :])
                self._complete = self._asked_all()
                if fresh or self._complete:
                    self._told += len(fresh)
                    await line.send(encode(MoreCandidates(fresh, self._complete)))
                elif not self._news.is_set():
                    await self._news.wait()

    def _asked_all(self) -> bool:
        return all(task.done() for task in self._asking)

    async def _ask(self, server: IceServer) -> None:
        link = await asyncio.shield(self._loading)
        await link.ask_server(server)
        # The one who trickles looks again, and finds this task done.
        asyncio.get_running_loop().call_soon(self._news.set)

    # -- the link ---------------------------------------------------------------------

    async def _connect(self, line: Line) -> WebRtcLink:
        from tincan.link.description import Description, decode

        link = await asyncio.shield(self._loading)
        remote = decode(line.first)
        if not isinstance(remote, Description):
            raise ProtocolError("The other can sent no offer; update the older one.")
        if line.side is Side.ATTACH:
            await line.send(await self._describe(line))
            self._trickling = self._group.create_task(self._trickle(line))
        hearing = self._group.create_task(self._hear_candidates(line, link, remote))
        connecting = self._group.create_task(link.connect(remote))
        try:
            await asyncio.wait([hearing, connecting], return_when=asyncio.FIRST_COMPLETED)
            if hearing.done() and not connecting.done():
                hearing.result()
            await asyncio.wait([connecting])  # not awaited itself, which would pass a cancellation on to it alone
            connecting.result()
        finally:
            # Before the link is closed: a cancelled dial must not end as a failed one.
            await _stopped(hearing, connecting)
        return link

    async def _hear_candidates(self, line: Line, link: WebRtcLink, remote: Description) -> None:
        """Give the peer's candidates to ICE, those of the description and those that trickle in."""
        from tincan.link.description import (
            MAX_CANDIDATES,
            MoreCandidates,
            acceptable,
            decode,
        )

        batch: Description | MoreCandidates = remote
        room = MAX_CANDIDATES
        while True:
            for candidate in acceptable(batch.candidates[:room], loopback=link.ice.only_loopback):
                await link.ice.add_remote(candidate)
            room -= len(batch.candidates[:room])
            if batch.complete:
                break
            try:
                payload = decode(await line.receive())
            except (MailboxClosed, MailboxReset, PlaceUnreachable, PeerRefused):
                logger.info("the place was left before all candidates were there")
                break
            if isinstance(payload, MoreCandidates):
                batch = payload
        # Until our own servers have answered too, the last pair has not been tried.
        while not self._asked_all():
            await asyncio.wait(self._asking)
        await link.ice.end_of_remote()
        # The peer may still say that it could not confirm us: no use in looking for a path then.
        with contextlib.suppress(MailboxClosed, MailboxReset):
            while True:
                await line.receive()


_deriving = threading.Lock()


def _derive(phrase: Phrase) -> StringKeys:
    """Derive one phrase at a time: OpenSSL's Argon2 fails when another one has all of its threads."""
    with _deriving:
        return derive(phrase)


async def _stopped(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks until they have ended: `asyncio.wait_for` before Python 3.12, in aiortc, may miss it once."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=0.1)
