"""The states of a peer, and what the core of a controller asks for and tells. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from tincan.vpn.module.methods import Candidate, Description
from tincan.vpn.party.messages import Message


class PeerState(enum.Enum):
    """How it stands with one peer."""

    AWAY = "away"
    """Not heard of lately."""
    HERE = "here"
    """There, and no link to it: not wanted, not its turn, or after a failure until the next try."""
    MAKING = "making"
    """The module has been asked for our end of a link."""
    OFFERING = "offering"
    """Our offer is out."""
    CONNECTING = "connecting"
    """Both descriptions are known to the module."""
    ONLINE = "online"


_ANY: Final = frozenset(PeerState)
NEXT: Final[Mapping[PeerState, frozenset[PeerState]]] = {
    PeerState.AWAY: frozenset({PeerState.HERE}),
    PeerState.HERE: frozenset({PeerState.AWAY, PeerState.MAKING}),
    PeerState.MAKING: _ANY,
    PeerState.OFFERING: _ANY,
    PeerState.CONNECTING: _ANY - {PeerState.OFFERING},
    PeerState.ONLINE: frozenset({PeerState.AWAY, PeerState.HERE, PeerState.MAKING}),
}
"""From which state to which. A restart goes through MAKING and OFFERING as the first link does, while the old
one still carries packets."""


@dataclass(frozen=True)
class Policy:
    """How links are made. Times are seconds."""

    hello_every: float = 30.0
    on_demand_above: int = 32
    """With more peers present than this, a link is made when a packet wants it."""

    idle: float = 600.0
    """A link made on demand is taken down when nothing went over it for so long."""

    setups: int = 12
    """Links that are being set up at a time."""

    patience: float = 30.0
    """An attempt that is not online by then has failed."""

    asked_for: float = 10.0
    """A packet wants its link for so long: the module keeps packets no longer."""

    on_demand: bool = True
    """False: a link to everybody, however many (switch mode)."""


# -- effects: what the shell is to do, in order ------------------------------------------


@dataclass(frozen=True)
class Say:
    """Say it on the party line, to one peer or (None) to all."""

    to: str | None
    message: Message


@dataclass(frozen=True)
class Make:
    """Create our end of a link, or (``link``) begin that one anew; answer with `made` or `refused`."""

    peer: str
    ticket: int
    controlling: bool
    link: int | None


@dataclass(frozen=True)
class Connect:
    """Give the module the peer's description."""

    peer: str
    link: int
    description: Description


@dataclass(frozen=True)
class Add:
    """Give the module more candidates of the peer."""

    link: int
    ufrag: str
    candidates: tuple[Candidate, ...]
    complete: bool


@dataclass(frozen=True)
class Trim:
    """Take a link down."""

    link: int


@dataclass(frozen=True)
class PeerNews:
    """How it stands with a peer has changed; for whoever uses the controller."""

    peer: str
    state: PeerState
    path: str | None = None
    rtt: float | None = None
    reason: str | None = None
    standing: bool = False
    """There is a link that carries packets, whatever is being made beside it."""


Effect: TypeAlias = Say | Make | Connect | Add | Trim | PeerNews
