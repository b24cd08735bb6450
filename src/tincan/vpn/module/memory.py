"""Modules without a tap or a network, for tests of controllers; they work in virtual time.

    network = MemoryNetwork()
    alice, bob = network.module("alice"), network.module("bob")

Two links become one, and online, ``network.delay`` seconds after both ends
were connected with each other's description, one of them controlling. What a
controller did to a module can be looked at (``alice.peers``,
``alice.injected``, ...). A test makes things happen with `MemoryModule.want`,
`MemoryModule.change_network` and `MemoryNetwork.cut`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tincan.vpn.module.events import (
    CandidatesFound,
    Event,
    LinkChanged,
    MessageCame,
    NetworkChanged,
    PacketUnrouted,
)
from tincan.vpn.module.interface import NO_SUCH_LINK, WRONG_STATE, Module, ModuleError
from tincan.vpn.module.listeners import Listeners
from tincan.vpn.module.methods import (
    AddCandidates,
    Candidate,
    ConnectLink,
    CreateLink,
    Description,
    GetState,
    Identity,
    IgnoreInterfaces,
    InjectPacket,
    LinkMade,
    LinkState,
    ModuleState,
    Nothing,
    RestartLink,
    SendMessage,
    SetAddresses,
    SetMode,
    SetPeer,
    SetTranslation,
    Statistics,
    TrimLink,
    Trimmed,
    fingerprint_text,
)
from tincan.vpn.module.states import State


@dataclass
class _Attempt:
    """One description of one end, and what it was connected with."""

    ours: Description
    controlling: bool
    theirs: Description | None = None
    told: list[Candidate] = field(default_factory=list)


@dataclass
class _End:
    """One end of a link."""

    number: int
    peer: str
    attempt: _Attempt
    """The newest one."""

    state: State = State.NEW
    reason: str | None = None
    other: tuple[MemoryModule, _End] | None = None


class MemoryNetwork:
    """What the modules of one test have between them. ``delay``: seconds that a link takes to be made."""

    def __init__(self, delay: float = 0.1) -> None:
        self.delay = delay
        self.modules: list[MemoryModule] = []
        self.broken: set[frozenset[str]] = set()
        """Pairs of modules, by name, between which no path works."""

        self._made = 0

    def module(self, name: str) -> MemoryModule:
        """Make a module."""
        made = MemoryModule(self, name)
        self.modules.append(made)
        return made

    def cut(self, a: MemoryModule, b: MemoryModule) -> None:
        """Lose every link between two modules; later ones fail until `mend`."""
        self.broken.add(frozenset((a.name, b.name)))
        for end in list(a.ends.values()):
            if end.other is not None and end.other[0] is b:
                a.drop(end, State.OFFLINE, "The peer went silent.")

    def mend(self, a: MemoryModule, b: MemoryModule) -> None:
        """Let new links between two modules come about again."""
        self.broken.discard(frozenset((a.name, b.name)))

    def describe(self, module: MemoryModule) -> Description:
        """Make up a description."""
        self._made += 1
        candidate = Candidate("host", "192.0.2.1", 1024 + self._made % 60000, "1", 2130706431)
        return Description(f"ufrag{self._made}", f"password{self._made:016}", module.fingerprint, (candidate,), False)

    def match(self, module: MemoryModule, end: _End) -> None:
        """Make one link of two ends that were connected with each other, after a while."""
        for other in self.modules:
            for theirs in other.ends.values():
                ours = end.attempt
                if theirs is not end and theirs.attempt.theirs is not None and ours.theirs is not None:
                    met = theirs.attempt.ours.ufrag == ours.theirs.ufrag
                    if met and theirs.attempt.theirs.ufrag == ours.ours.ufrag:
                        loop = asyncio.get_running_loop()
                        loop.call_later(self.delay, self._join, (module, end, ours), (other, theirs, theirs.attempt))

    def _join(self, a: tuple[MemoryModule, _End, _Attempt], b: tuple[MemoryModule, _End, _Attempt]) -> None:
        if any(m.ends.get(e.number) is not e or e.attempt is not attempt for m, e, attempt in (a, b)):
            return  # trimmed or restarted meanwhile
        (am, ae, aa), (bm, be, ba) = a, b
        if aa.controlling is ba.controlling:
            am.drop(ae, State.FAILED, "Both ends are controlling, or none is.")
            bm.drop(be, State.FAILED, "Both ends are controlling, or none is.")
        elif frozenset((am.name, bm.name)) in self.broken:
            am.drop(ae, State.FAILED, "No network path works.")
            bm.drop(be, State.FAILED, "No network path works.")
        else:
            ae.other, be.other = (bm, be), (am, ae)
            am.turn(ae, State.ONLINE)
            bm.turn(be, State.ONLINE)


class MemoryModule(Module):
    """A module in memory."""

    def __init__(self, network: MemoryNetwork, name: str) -> None:
        self.name = name
        self.fingerprint = fingerprint_text(hashlib.sha256(name.encode()).digest())
        self.ends: dict[int, _End] = {}
        self.addresses = SetAddresses()
        self.mode = SetMode("ip")
        self.translation = SetTranslation(None)
        self.ignored: tuple[str, ...] = ()
        self.peers: dict[str, tuple[str, ...]] = {}
        self.injected: list[bytes] = []
        self.created: list[CreateLink] = []
        self._network = network
        self._last = 0
        self._listeners = Listeners()
        self._does: dict[type[msgspec.Struct], Callable[[Any], msgspec.Struct]] = {
            Nothing: self._identity,
            SetAddresses: self._keep("addresses"),
            SetMode: self._keep("mode"),
            SetTranslation: self._keep("translation"),
            IgnoreInterfaces: self._ignore,
            CreateLink: self._create,
            ConnectLink: self._connect,
            AddCandidates: self._add,
            RestartLink: self._restart,
            TrimLink: self._trim,
            SetPeer: self._set_peer,
            GetState: self._state,
            InjectPacket: self._inject,
            SendMessage: self._send,
        }

    async def ask(self, method: str, params: msgspec.Struct) -> Any:
        """See `Module.ask`."""
        await asyncio.sleep(0)
        return self._does[type(params)](params)

    def events(self) -> contextlib.AbstractAsyncContextManager[AsyncIterator[Event]]:
        """See `Module.events`."""
        return self._listeners.listen()

    # -- for tests -----------------------------------------------------------------

    def want(self, destination: str, packet: bytes = b"\x45" + bytes(19), peer: str | None = None) -> None:
        """Have a packet come from the tap that no link is there for."""
        self.tell(PacketUnrouted(packet, destination, peer))

    def change_network(self) -> None:
        """Have this machine change its uplink."""
        self.tell(NetworkChanged())

    def stop(self) -> None:
        """End the module: every listener ends, every link is lost to its peer."""
        for end in list(self.ends.values()):
            self._remove(end, State.OFFLINE, "The peer went silent.")
        self._listeners.end()

    # -- inside --------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        """Tell an event to all who listen."""
        self._listeners.tell(event)

    def turn(self, end: _End, state: State, reason: str | None = None) -> None:
        """Change a link's state, and say so."""
        end.state, end.reason = state, reason
        path = "lan" if state == State.ONLINE else None
        self.tell(LinkChanged(end.number, end.peer, state, path, 0.001 if path else None, reason))

    def drop(self, end: _End, state: State, reason: str) -> None:
        """Lose a link at both ends."""
        other, end.other = end.other, None
        self.turn(end, state, reason)
        if other is not None:
            other[1].other = None
            other[0].turn(other[1], state, reason)

    def _remove(self, end: _End, state: State, reason: str) -> None:
        del self.ends[end.number]
        other = end.other
        if other is not None and other[1].other is not None:
            other[1].other = None
            other[0].turn(other[1], state, reason)

    def _end(self, number: int) -> _End:
        if number not in self.ends:
            raise ModuleError(NO_SUCH_LINK, f"There is no link {number}.")
        return self.ends[number]

    def _attempt(self, controlling: bool) -> _Attempt:
        return _Attempt(self._network.describe(self), controlling)

    def _made(self, end: _End) -> LinkMade:
        ours = end.attempt.ours
        loop = asyncio.get_running_loop()
        loop.call_soon(self.tell, CandidatesFound(end.number, ours.ufrag, (), True))
        return LinkMade(end.number, ours)

    def _identity(self, _: Nothing) -> Identity:
        addresses = tuple(a for a in (self.addresses.ip4, self.addresses.ip6) if a)
        mtu = self.addresses.mtu or 1280
        return Identity("memory", self.fingerprint, "memory0", "02:00:00:00:00:01", self.mode.mode, addresses, mtu)

    def _keep(self, name: str) -> Callable[[Any], msgspec.Struct]:
        def keep(params: msgspec.Struct) -> Nothing:
            setattr(self, name, params)
            return Nothing()

        return keep

    def _ignore(self, params: IgnoreInterfaces) -> Nothing:
        self.ignored = params.names
        return Nothing()

    def _create(self, params: CreateLink) -> LinkMade:
        self.created.append(params)
        self._last += 1
        end = _End(self._last, params.peer, self._attempt(params.controlling))
        self.ends[end.number] = end
        return self._made(end)

    def _connect(self, params: ConnectLink) -> Nothing:
        end = self._end(params.link)
        if end.attempt.theirs is not None:
            raise ModuleError(WRONG_STATE, f"Link {end.number} has been connected; restart it, or make another.")
        end.attempt.theirs = params.description
        if end.state != State.ONLINE:
            self.turn(end, State.CONNECTING)
        self._network.match(self, end)
        return Nothing()

    def _add(self, params: AddCandidates) -> Nothing:
        self._end(params.link).attempt.told.extend(params.candidates)
        return Nothing()

    def _restart(self, params: RestartLink) -> LinkMade:
        end = self._end(params.link)
        controlling = end.attempt.controlling if params.controlling is None else params.controlling
        end.attempt = self._attempt(controlling)
        return self._made(end)

    def _trim(self, params: TrimLink) -> Trimmed:
        found = [e for e in self.ends.values() if e.number == params.link or e.peer == params.peer]
        for end in found:
            self._remove(end, State.OFFLINE, "The peer took the link down.")
        return Trimmed(len(found))

    def _set_peer(self, params: SetPeer) -> Nothing:
        self.peers[params.peer] = params.addresses
        return Nothing()

    def _state(self, params: GetState) -> ModuleState:
        counted = Statistics() if params.statistics else None
        return ModuleState(
            tuple(
                LinkState(e.number, e.peer, e.state, "lan" if e.other else None, reason=e.reason, statistics=counted)
                for e in self.ends.values()
                if params.peer in (None, e.peer)
            )
        )

    def _inject(self, params: InjectPacket) -> Nothing:
        self.injected.append(params.packet)
        return Nothing()

    def _send(self, params: SendMessage) -> Nothing:
        end = self._end(params.link)
        if end.other is None:
            raise ModuleError(WRONG_STATE, f"Link {end.number} is not online.")
        module, theirs = end.other
        module.tell(MessageCame(theirs.number, theirs.peer, params.data))
        return Nothing()
