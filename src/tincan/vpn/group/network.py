"""A group network that is up: the shell around `Membership` and `Links`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tincan.errors import TinCanError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble, ServersOffered
from tincan.nat.servers import IceServer
from tincan.tasks import plain_errors, settle
from tincan.vpn.group import store
from tincan.vpn.group.certificate import Certificate
from tincan.vpn.group.control import Question
from tincan.vpn.group.events import GroupEvent, MemberGone, MemberNews, NetworkStatus, NetworkUp, Remark
from tincan.vpn.group.interfaces import overlaps, virtual_interfaces
from tincan.vpn.group.membership import (
    MemberLeft,
    Membership,
    Odd,
    Pass,
    PeersChanged,
    Rotated,
    Send,
    WeAreBanned,
    WeHaveRunOut,
    payload_of,
)
from tincan.vpn.group.soon import Soon
from tincan.vpn.group.statuses import network_status, refusal, warning
from tincan.vpn.module.interface import Module
from tincan.vpn.names.naming import Naming, naming
from tincan.vpn.party.keys import uid_of
from tincan.vpn.party.links import Links, LinkSettings
from tincan.vpn.party.messages import Message
from tincan.vpn.party.places import MakePart, Places, open_places
from tincan.vpn.party.sealed import SealedLine
from tincan.vpn.party.states import PeerNews, Policy

logger = logging.getLogger(__name__)

Tell = Callable[[GroupEvent], None]


@dataclass(frozen=True)
class UpSettings:
    """How a network is brought up."""

    switchboards: tuple[str, ...] = ()
    lan: bool = True
    servers: tuple[IceServer, ...] = ()
    relay_only: bool = False
    allow_dhcp: bool = False
    allow_ra: bool = False
    mtu: int | None = None
    on_demand_above: int = 32
    """With more members present than this, links are made when packets want them (not in switch mode)."""
    names: bool = True
    """Name members for this machine's programs."""
    places: tuple[MakePart, ...] = ()
    """Where to meet besides."""


class GroupNetwork:
    """One group, while it is up.

    ``clock`` is the wall clock; waiting goes by the loop's.
    """

    def __init__(
        self,
        name: str,
        module: Module,
        settings: UpSettings,
        tell: Tell,
        *,
        clock: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ) -> None:
        self.name = name
        self._module = module
        self._settings = settings
        self._tell = tell
        self._clock = clock
        chance = chance or random.SystemRandom()
        state = store.load(name)
        self._own = state.certificate()
        self._membership = Membership(state, chance)
        self._mode = self._membership.statement.mode
        self._interface: str | None = None
        self._leaving = False
        self._online: dict[str, tuple[str | None, bool]] = {}
        self._unkept: str | None = None
        self._saving = Soon(self._save)
        self._calling = Soon(self._name)
        self._woken = asyncio.Event()
        self._over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._naming: Naming | None = None
        self._places: Places | None = None
        self._sealed: SealedLine | None = None
        self._sending: asyncio.Queue[Send] = asyncio.Queue(4096)
        self._links = Links(
            module,
            self._own.uid,
            chance.randbytes(8),
            self._say,
            self._hear_news,
            card=self._membership.card,
            policy=Policy(on_demand=self._mode == "ip", on_demand_above=settings.on_demand_above),
            settings=LinkSettings(relay_only=settings.relay_only),
            on_network_change=self._network_changed,
            chance=chance,
        )

    # -- bringing it up ---------------------------------------------------------------

    async def run(self) -> None:
        """Be up until cancelled, or until `leave`; raises what `refusal` says, at once or when it comes to be so."""
        with plain_errors():
            await self._run()

    async def _run(self) -> None:
        own, settings = self._own, self._settings
        refused = refusal(self._membership.state, self._clock())
        if refused is not None:
            raise refused
        interface = await self._set_up()
        async with contextlib.AsyncExitStack() as stack:
            if settings.names:
                self._naming = await stack.enter_async_context(naming(own.address4.ip, self._remark))
            state = self._membership.state
            boards = settings.switchboards or tuple(state.switchboards)

            def passed_over(name: str) -> bool:
                return name == interface or name in virtual_interfaces()

            self._places = await stack.enter_async_context(
                open_places(boards, settings.lan, settings.servers, self._hear_place, passed_over, settings.places)
            )
            self._links.settings = self._link_settings()
            self._sealed = SealedLine(self._places.line, state.keys, clock=self._clock, tell_ahead=self._hear_clock)
            await self._sealed.set_circles(self._membership.circles())
            self._membership.start(self._clock())
            self._tell(NetworkUp(self.name, interface, own.name, str(own.address4), str(own.address6), self._mode))
            if (soon := warning(state, self._clock())) is not None:
                self._remark(soon)
            self._set_peers()
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._links.run(), name="links"),
                    group.create_task(self._hear(), name="group: letters"),
                    group.create_task(self._watch_clock(), name="group: clock"),
                    group.create_task(self._send(), name="group: sending"),
                    group.create_task(self._sealed.run(), name="group: topics"),
                    group.create_task(self._saving.run(), name="group: file"),
                    group.create_task(self._calling.run(), name="group: names"),
                ]
                self._do()
                try:
                    await self._over
                finally:
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            await self._links.leave()
                    await settle(*tasks)  # before the line is closed: else one of them may tell that in place of why
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(2):
                            await self._places.line.close()
                    self._save()  # when each was heard of last, too

    async def _set_up(self) -> str:
        module, own = self._module, self._own
        if self._mode == "switch" or self._settings.allow_dhcp or self._settings.allow_ra:
            await module.set_mode(self._mode, allow_dhcp=self._settings.allow_dhcp, allow_ra=self._settings.allow_ra)
        await module.set_addresses(str(own.address4), str(own.address6), self._settings.mtu)
        self._interface = (await module.identity()).tap
        await module.ignore_interfaces(sorted(virtual_interfaces() - {self._interface}))
        for sentence in overlaps(self._interface, own.address4.network):
            self._remark(sentence)
        return self._interface

    # -- what others may ask of it ------------------------------------------------------

    async def reply(self, question: Question) -> object:
        """Answer a command of this machine."""
        match question.do:
            case "status":
                return self.status()
            case "ban":
                return self.ban(question.member)
            case "reload":
                self.reload()
            case "leave":
                await self.leave()
        return None

    def status(self) -> NetworkStatus:
        """Return how it is."""
        return network_status(
            self._membership.state,
            self._clock(),
            self._membership.peers(),
            self._links.states(),
            up=True,
            interface=self._interface,
            places=() if self._places is None else self._places.troubles.items(),
        )

    def ban(self, member: str) -> str:
        """Ban a member, as the admin; return its name."""
        with store.changing(self.name) as state:
            self._membership.reload(state, self._clock())
            banned = self._membership.ban(member, self._clock(), os.urandom)
        self._do()
        return banned.name

    def reload(self) -> None:
        """Take note of what another process of ours has changed on the disk."""
        self._membership.reload(store.load(self.name), self._clock())
        self._do()

    async def leave(self) -> None:
        """Leave the group for good: tell the others, forget everything, and end."""
        self._leaving = True  # from now on nothing is written any more
        self._membership.leave()
        self._do()
        for _ in range(50):
            if self._sending.empty():
                break
            await asyncio.sleep(0.02)
        store.remove(self.name)
        self._end(None)

    # -- what happens ---------------------------------------------------------------------

    async def _say(self, to: str | None, message: Message) -> None:
        keys = None
        if to is not None:
            certificate = self._membership.peers().get(to)
            if certificate is None:
                return
            keys = certificate.keys
        if self._sealed is not None:
            await self._sealed.say(self._membership.circle, payload_of(message), keys)

    async def _hear(self) -> None:
        assert self._sealed is not None  # noqa: S101 - made before this task
        while True:
            self._membership.heard(await self._sealed.hear(), self._clock())
            self._do()

    async def _send(self) -> None:
        assert self._sealed is not None  # noqa: S101 - made before this task
        while True:
            send = await self._sending.get()
            if send.circle in self._membership.circles():
                await self._sealed.say(send.circle, send.payload, send.to)

    async def _watch_clock(self) -> None:
        assert self._sealed is not None  # noqa: S101 - made before this task
        while True:
            self._woken.clear()
            await self._sealed.set_circles(self._membership.circles())
            deadline = self._membership.next_deadline()
            wait = min(60.0, max(0.0, deadline - self._clock()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._woken.wait()
            self._membership.tick(self._clock())
            self._do()

    def _do(self) -> None:
        """Do what the core asks for."""
        for effect in self._membership.effects():
            match effect:
                case Send():
                    with contextlib.suppress(asyncio.QueueFull):  # letters may be lost
                        self._sending.put_nowait(effect)
                case Pass(uid, message):
                    self._links.heard(uid, message)
                case PeersChanged():
                    self._set_peers()
                    self._saving.want()
                case Rotated(banned):
                    for name in banned:
                        self._tell(MemberGone(name, banned=True))
                    self._save()
                    if self._sealed is not None:
                        self._sealed.know(self._membership.circles())  # before anything is said there
                    self._links.announce()
                    self._woken.set()
                case WeAreBanned() if not self._leaving:
                    self._save()
                    self._end(refusal(self._membership.state, self._clock()))
                case WeHaveRunOut():
                    self._end(refusal(self._membership.state, self._clock()))
                case MemberLeft(uid, name):
                    self._tell(MemberGone(name, banned=False))
                    if self._membership.state.admin:
                        self._ban_who_left(uid, name)
                case Odd(text):
                    self._remark(text)
        self._woken.set()  # the next deadline may be another one

    def _ban_who_left(self, uid: str, name: str) -> None:
        try:
            self.ban(uid)
        except TinCanError as exc:  # the network goes on with it on the list
            self._remark(f"{name} has left, but could not be taken off the list: {exc}")

    def _set_peers(self) -> None:
        peers = self._membership.peers()
        self._links.set_peers({uid: _addresses(certificate) for uid, certificate in peers.items()})
        self._calling.want()

    def _name(self) -> None:
        """Tell this machine's programs the names of all members."""
        if self._naming is not None:
            known = [self._own, *self._membership.peers().values()]
            self._naming.set({f"{c.name}.{self.name}.can": (c.address4.ip, c.address6.ip) for c in known})

    def _hear_news(self, news: PeerNews) -> None:
        """Tell people what matters to them: who can be reached, and how."""
        certificate = self._membership.peers().get(news.peer)
        before = self._online.get(news.peer, (None, False))
        now = (news.path if news.standing else None, news.standing)
        if certificate is None:
            self._online.pop(news.peer, None)
            return
        if now == before:
            return
        self._online[news.peer] = now
        self._tell(
            MemberNews(
                certificate.name, str(certificate.address4.ip), news.standing, news.path, news.rtt, news.reason
            )
        )

    def _hear_place(self, event: MeetEvent) -> None:
        match event:
            case PlaceReady():
                self._links.announce()
            case PlaceTrouble(text=text):
                self._remark(text)
            case ServersOffered():
                self._links.settings = self._link_settings()

    def _hear_clock(self, sender: bytes, seconds: float) -> None:
        certificate = self._membership.peers().get(uid_of(sender))
        who = "another member" if certificate is None else certificate.name
        self._remark(
            f"The clock of {who} is {seconds / 60:.0f} minutes ahead of this machine's. One of them is wrong, and "
            "members whose clocks are more than five minutes apart do not hear each other."
        )

    def _link_settings(self) -> LinkSettings:
        servers = self._places.servers() if self._places is not None else ()
        return LinkSettings(servers, self._settings.relay_only)

    def _network_changed(self) -> None:
        if self._places is not None:
            self._places.hurry()

    def _save(self) -> None:
        """Write what was learnt, beside what other processes of ours have written meanwhile."""
        if self._leaving:
            return
        try:
            with store.changing(self.name) as kept:
                kept.merge(self._membership.state)
            self._unkept = None
        except TinCanError as exc:
            if not self._over.done() and self._unkept != str(exc):
                self._unkept = str(exc)
                self._remark(f"What was learnt could not be kept: {exc}")

    def _remark(self, text: str) -> None:
        self._tell(Remark(text))

    def _end(self, error: Exception | None) -> None:
        if self._over.done():
            return
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)


def _addresses(certificate: Certificate) -> Iterable[str]:
    return (str(certificate.address4.ip), str(certificate.address6.ip))
