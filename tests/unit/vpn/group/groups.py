"""Groups for tests: states, and memberships that write letters to each other through a room in memory."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tincan.vpn.group.join import Inviter, Joiner, Thanks, encode
from tincan.vpn.group.membership import (
    Effect,
    Membership,
    Pass,
    PeersChanged,
    Rotated,
    Send,
    WeAreBanned,
    payload_of,
)
from tincan.vpn.group.state import GroupState, create
from tincan.vpn.party.keys import PublicKeys
from tincan.vpn.party.messages import Hello
from tincan.vpn.party.seal import Letters

NOW = 1_800_000_000.0


def admin_state(chance: random.Random, **options: object) -> GroupState:
    return create("lan", "alice", NOW, chance.randbytes, **options)  # type: ignore[arg-type]


def invited(admin: GroupState, name: str, chance: random.Random, now: float = NOW) -> GroupState:
    """Have somebody join by the protocol of `join`, both sides at once."""
    inviter = Inviter(admin, ("wss://can.example",), chance.randbytes)
    joiner = Joiner(name, chance.randbytes)

    def admit(keys: PublicKeys, wanted: str) -> tuple[bytes, GroupState]:
        return admin.admit(keys, wanted, now), admin

    joiner.invited(inviter.begin())
    welcome = inviter.receive(joiner.request(), admit)
    assert welcome is not None
    state = joiner.welcomed(welcome, "lan", now)
    assert inviter.receive(encode(Thanks()), admit) is None
    assert inviter.done
    return state


@dataclass
class Seat:
    """A member at the table: its core, its letters, and what came of it."""

    name: str
    core: Membership
    letters: Letters
    session: bytes
    rotations: list[tuple[str, ...]] = field(default_factory=list)
    passed: list[tuple[str, object]] = field(default_factory=list)
    changed: int = 0
    banned: bool = False
    others: list[Effect] = field(default_factory=list)

    def peers(self) -> set[str]:
        return {certificate.name for certificate in self.core.peers().values()}


class Table:
    """Members in one room; ``step`` carries letters, of which some are lost, repeated or late."""

    def __init__(self, *names: str, seed: int = 3, loss: float = 0.0) -> None:
        self.chance = random.Random(seed)
        self.loss = loss
        self.now = NOW
        self.seats: dict[str, Seat] = {}
        self.under_way: list[tuple[float, str, str, bytes]] = []
        self.seen: list[bytes] = []
        admin = admin_state(self.chance)
        states = [admin, *(invited(admin, name, self.chance) for name in names)]
        self.states = {state.certificate().name: state for state in states}
        for name in self.states:
            self.sit(name)

    def sit(self, name: str, state: GroupState | None = None) -> Seat:
        """Start a member, or start it anew."""
        state = state or self.states[name]
        core = Membership(state, self.chance)
        letters = Letters(state.keys, self.chance.randbytes)
        seat = self.seats[name] = Seat(name, core, letters, self.chance.randbytes(8))
        letters.set_circles(core.circles())
        core.start(self.now)
        self.do(seat)
        self.hello(seat)
        return seat

    def hello(self, seat: Seat) -> None:
        payload = payload_of(Hello(seat.session, True, 30.0, seat.core.card()))
        self.post(seat, *seat.letters.seal(seat.core.circle, payload, self.now))

    def post(self, seat: Seat | None, topic: str, message: bytes) -> None:
        self.seen.append(message)
        if self.chance.random() >= self.loss:
            late = self.chance.random() * (1.0 if self.loss else 0.0)
            self.under_way.append((self.now + late, "" if seat is None else seat.name, topic, message))

    def do(self, seat: Seat) -> None:
        for effect in seat.core.effects():
            match effect:
                case Send(circle, payload, to):
                    if circle in seat.core.circles():
                        self.post(seat, *seat.letters.seal(circle, payload, self.now, to))
                case Pass(uid, message):
                    seat.passed.append((uid, message))
                case PeersChanged():
                    seat.changed += 1
                case Rotated(banned):
                    seat.rotations.append(banned)
                    seat.letters.set_circles(seat.core.circles())
                    self.hello(seat)
                case WeAreBanned():
                    seat.banned = True
                case _:
                    seat.others.append(effect)

    def run(self, seconds: float) -> None:
        """Let time pass, in steps of a tenth of a second; everybody says hello every five."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.1
            due = [letter for letter in self.under_way if letter[0] <= self.now]
            self.under_way = [letter for letter in self.under_way if letter[0] > self.now]
            for _, sender, topic, message in due:
                for seat in list(self.seats.values()):
                    if seat.name != sender and (letter := seat.letters.open(topic, message, self.now)) is not None:
                        seat.core.heard(letter, self.now)
                        self.do(seat)
            for seat in list(self.seats.values()):
                seat.core.tick(self.now)
                self.do(seat)
                if int(self.now * 10) % 50 == 0 and not seat.banned:
                    self.hello(seat)

    def ban(self, name: str) -> None:
        admin = self.seats["alice"]
        admin.core.ban(name, self.now, self.chance.randbytes)
        self.do(admin)
