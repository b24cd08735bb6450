"""The half of a controller that group and social networks share: presence, and a link to each peer.

It drives a TinCan module through its API alone, and speaks to the peers over
a line that the caller seals: `Links` is handed what an authenticated peer
said (`heard`) and says things by a function. What is decided stands in the
pure `tincan.vpn.party.peers`; here it is done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from tincan.errors import TinCanError, WorldError
from tincan.vpn.module.events import CandidatesFound, Event, LinkChanged, NetworkChanged, PacketUnrouted
from tincan.vpn.module.interface import Module, ModuleError
from tincan.vpn.module.methods import Server
from tincan.vpn.party.messages import Message
from tincan.vpn.party.peers import Peers
from tincan.vpn.party.states import Add, Connect, Effect, Make, PeerNews, PeerState, Policy, Say, Trim

logger = logging.getLogger(__name__)

IDLE_CHECK: Final = 60.0
"""Seconds between looks at how much went over links that were made on demand."""

MAX_PENDING: Final = 4096
"""Effects not done yet: more would mean that the module answers nothing any more."""

MAX_BACKLOG: Final = MAX_PENDING // 4
"""With so many effects not done yet no more is taken from peers: one that floods us must not end the network."""

SayTo = Callable[[str | None, Message], Awaitable[None]]
"""Seals a message for one peer, or for all, and sends it. Loses it rather than raise or wait for long."""

Tell = Callable[[PeerNews], None]


@dataclass(frozen=True)
class LinkSettings:
    """What links are made with."""

    servers: tuple[Server, ...] = ()
    relay_only: bool = False


NO_SERVERS: Final = LinkSettings()
DEFAULT_POLICY: Final = Policy()


class Links:
    """Keeps links to peers. `run` it in a task group; all else may be called before and meanwhile.

    ``uid``: our own name, as `set_peers` has those of the others; of two ends
    the one with the smaller name is controlling. ``session``: 8 random bytes.
    """

    def __init__(
        self,
        module: Module,
        uid: str,
        session: bytes,
        say: SayTo,
        tell: Tell,
        *,
        card: Callable[[], bytes] = bytes,
        settings: LinkSettings = NO_SERVERS,
        policy: Policy = DEFAULT_POLICY,
        on_network_change: Callable[[], None] = lambda: None,
        chance: random.Random | None = None,
    ) -> None:
        self.settings = settings
        self._module = module
        self._say = say
        self._tell = tell
        self._on_network_change = on_network_change
        self._core = Peers(uid, session, policy, chance or random.SystemRandom(), card)
        self._pending: asyncio.Queue[Effect | None] = asyncio.Queue(MAX_PENDING)
        self._addresses: dict[str, tuple[str, ...]] = {}
        self._told: dict[str, tuple[str, ...]] = {}
        self._woken = asyncio.Event()
        self._idle: dict[int, tuple[int, float]] = {}

    # -- what the controller says --------------------------------------------------------

    def set_peers(self, peers: Mapping[str, Iterable[str]]) -> None:
        """Say who may be linked, and which addresses (or networks) are whose. Links to others are taken down."""
        self._addresses = {uid: tuple(addresses) for uid, addresses in peers.items()}
        self._core.set_peers(self._addresses.keys(), self._now())
        if self._pending.empty():
            self._pending.put_nowait(None)  # the addresses have to be told
        self._wake()

    def heard(self, peer: str, message: Message) -> None:
        """Take what a peer said, whose identity has been proven. Strangers to `set_peers` are passed over.

        So are letters that come faster than the module does what they ask for: they may be lost anyway.
        """
        if self._pending.qsize() >= MAX_BACKLOG:
            return
        self._core.heard(peer, message, self._now())
        self._wake()

    def announce(self) -> None:
        """Say hello to all, and ask for an answer: the line was lost, or something on our card is new."""
        self._core.announce(self._now())
        self._wake()

    def states(self) -> dict[str, PeerNews]:
        """Return how it stands with each peer."""
        return self._core.states()

    async def leave(self) -> None:
        """Say goodbye on the line; `run` is to be cancelled after that."""
        self._core.leave(self._now())
        for effect in self._core.effects():
            if isinstance(effect, Say):
                await self._say(effect.to, effect.message)

    async def run(self) -> None:
        """Work until cancelled; raises `tincan.vpn.module.client.ModuleGone` when the module ends."""
        async with self._module.events() as events, asyncio.TaskGroup() as group:
            group.create_task(self._do(), name="links: effects")
            group.create_task(self._watch_clock(), name="links: clock")
            group.create_task(self._watch_idle(), name="links: idle")
            self._core.start(self._now())
            self._wake()
            async for event in events:
                self._take(event)
                self._wake()
            raise WorldError("The TinCan module (linkd) has ended.")

    # -- inside ------------------------------------------------------------------------

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _wake(self) -> None:
        try:
            for effect in self._core.effects():
                self._pending.put_nowait(effect)
        except asyncio.QueueFull:
            raise WorldError("The TinCan module (linkd) does nothing any more.") from None
        self._woken.set()

    async def _watch_clock(self) -> None:
        while True:
            self._woken.clear()
            deadline = self._core.next_deadline()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._woken.wait()
                    continue
            self._core.tick(self._now())
            self._wake()

    def _take(self, event: Event) -> None:
        now = self._now()
        match event:
            case CandidatesFound():
                self._core.found(event.link, event.ufrag, event.candidates, event.complete, now)
            case LinkChanged():
                self._core.link_changed(event.link, event.state, event.path, event.rtt, event.reason, now)
            case PacketUnrouted(peer=str(peer)):
                self._core.packet(peer, now)
            case NetworkChanged():
                self._on_network_change()
                self._core.network_changed(now)

    async def _do(self) -> None:
        while True:
            effect = await self._pending.get()
            try:
                await self._tell_addresses()
                if effect is not None:
                    await self._do_one(effect)
            except ModuleError as exc:
                # The link may have gone meanwhile: the core hears of that by an event, or by its deadline.
                logger.info("the module refused: %s", exc)
            self._wake()

    async def _tell_addresses(self) -> None:
        for uid in [*self._told, *self._addresses]:  # who has an address no more, first
            wanted = self._addresses.get(uid, ())
            if self._told.get(uid, ()) != wanted:
                self._told[uid] = wanted
                try:
                    await self._module.set_peer(uid, wanted)
                except ModuleError as exc:  # there are too many; all others get theirs
                    logger.warning("the module takes no addresses of %s: %s", uid, exc)
        for uid in [uid for uid, told in self._told.items() if not told]:
            del self._told[uid]

    async def _do_one(self, effect: Effect) -> None:
        match effect:
            case Say(to, message):
                await self._say(to, message)
            case Make():
                if self._core.wants(effect):
                    await self._make(effect)
            case Connect(_, link, description):
                await self._module.connect_link(link, description)
            case Add(link, ufrag, candidates, complete):
                await self._module.add_candidates(link, candidates, complete=complete, ufrag=ufrag)
            case Trim(link):
                self._idle.pop(link, None)
                await self._module.trim_link(link)
            case PeerNews():
                self._tell(effect)

    async def _make(self, make: Make) -> None:
        try:
            if make.link is None:
                made = await self._module.create_link(
                    make.peer,
                    controlling=make.controlling,
                    servers=self.settings.servers,
                    relay_only=self.settings.relay_only,
                )
            else:
                made = await self._module.restart_link(make.link, servers=self.settings.servers)
        except TinCanError as exc:
            self._core.refused(make.peer, make.ticket, str(exc), self._now())
            if not isinstance(exc, ModuleError):
                raise
            return
        self._core.made(make.peer, make.ticket, made.link, made.description, self._now())

    async def _watch_idle(self) -> None:
        """Take links down that were made on demand and carry nothing any more."""
        while True:
            await asyncio.sleep(IDLE_CHECK)
            if not self._core.on_demand:
                self._idle.clear()
                continue
            now = self._now()
            for link in await self._module.state(statistics=True):
                counted = link.statistics
                if link.state != "online" or counted is None:
                    continue
                total = counted.bytes_in + counted.bytes_out
                before, since = self._idle.get(link.link, (-1, now))
                if total != before:
                    self._idle[link.link] = (total, now)
                elif now - since >= self._core.policy.idle:
                    self._idle.pop(link.link, None)
                    self._core.idle(link.peer, now)
            self._wake()


__all__ = ["LinkSettings", "Links", "Module", "PeerNews", "PeerState", "Policy"]
