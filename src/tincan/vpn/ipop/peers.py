"""What the dialect knows of other nodes: the link to each, its addresses, and when it was last heard of."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from tincan.link.description import Description
from tincan.vpn.module.methods import CreateLink, Statistics
from tincan.vpn.module.states import State

PATIENCE: Final = 1.5
"""Seconds that an end waits for candidates that come late (servers that do not answer take 5 s) before the peer is
told of it. It is told once: this dialect has no way to say more later."""


class Phase(enum.Enum):
    """How far our end of a link is."""

    OPENING = "opening"
    """The module has been asked to begin it."""

    GATHERING = "gathering"
    """It looks for candidates."""

    TOLD = "told"
    """The peer has been told of it."""


NEXT: Final = {
    Phase.OPENING: (Phase.GATHERING,),
    Phase.GATHERING: (Phase.TOLD,),
    Phase.TOLD: (),
}
"""What may follow what; a link ends by being forgotten."""


@dataclass
class Link:
    """A link of ours to a peer."""

    uid: str
    ticket: int
    params: CreateLink
    overlay: int
    """1: the peer is told by XMPP; 0: our own controller is, and passes it on."""

    fingerprint: bytes
    since: float
    phase: Phase = Phase.OPENING
    number: int | None = None
    ours: Description | None = None
    theirs: Description | None = None
    state: State = State.NEW
    deadline: float | None = None

    def turn(self, phase: Phase) -> None:
        """Go on to another phase: the one door for it."""
        if phase not in NEXT[self.phase]:
            raise AssertionError(f"{self.phase} -> {phase}")
        self.phase = phase

    @property
    def dead(self) -> bool:
        """Whether nothing will come of this link any more."""
        return self.state in (State.OFFLINE, State.FAILED)


@dataclass
class Rate:
    """Bytes a second, from counters that are looked at now and then."""

    at: float = 0.0
    sent: int = 0
    received: int = 0
    known: bool = False

    def measure(self, counted: Statistics, now: float) -> tuple[int, int]:
        """Return the rates out and in since the last look."""
        seconds = now - self.at
        fresh = self.known and seconds > 0
        rates = (
            max(0, int((counted.bytes_out - self.sent) / seconds)) if fresh else 0,
            max(0, int((counted.bytes_in - self.received) / seconds)) if fresh else 0,
        )
        self.at, self.sent, self.received, self.known = now, counted.bytes_out, counted.bytes_in, True
        return rates


@dataclass
class Peer:
    """Another node, as far as it is known."""

    uid: str
    heard: float | None = None
    present: bool = False
    ip4: str = ""
    ip6: str = ""
    """As the controller gave them, once: the first mapping stands."""

    link: Link | None = None
    status: str = ""
    """The last ``con_stat``."""

    asked: bool = False
    """Whether the controller has heard a ``con_req`` of it: v14's ends at a ``send_msg`` of who has not asked."""

    shown: bool = False
    """Whether the last ``peer_state`` told of a link: then the next one is owed, or controllers trim it for ever."""

    rate: Rate = field(default_factory=Rate)
