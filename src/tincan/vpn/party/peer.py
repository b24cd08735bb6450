"""One peer as `tincan.vpn.party.peers` knows it: its state, the link to it, and what is said of that. Pure."""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tincan.vpn.module.methods import Candidate, Description
from tincan.vpn.party.messages import Answer, Call, Message, More, Offer
from tincan.vpn.party.states import NEXT, PeerNews, PeerState, Say

FIRST_RESEND: Final = 1.0
CALL_AFTER: Final = 3.0
"""Seconds that the other end gets to make its offer by itself."""

MAX_OLD: Final = 8
"""Earlier runs of one peer that are remembered, so that what is still under way of them is passed over."""

MAX_TOLD: Final = 40
"""Candidates of one end that are told to the other."""


@dataclass
class Peer:
    """What is known of a peer."""

    uid: str
    controlling: bool
    """Whether our end is."""

    state: PeerState = PeerState.AWAY
    session: bytes | None = None
    old: collections.deque[bytes] = field(default_factory=lambda: collections.deque(maxlen=MAX_OLD))
    heard_at: float = 0.0
    away_after: float = 100.0
    link: int | None = None
    standing: bool = False
    """The link carries packets, maybe while another attempt is made."""
    attempt: int = 0
    """The newest offer: ours when controlling, else the peer's."""
    ticket: int = 0
    restarting: bool = False
    ours: Description | None = None
    theirs: Description | None = None
    more: More | None = None
    """Candidates that came before the description was given to the module."""
    deadline: float | None = None
    resend: float = FIRST_RESEND
    give_up: float = 0.0
    tries: int = 0
    asked_for: float = float("-inf")
    """Until then packets want to go there."""
    path: str | None = None
    rtt: float | None = None
    reason: str | None = None

    # -- its times ------------------------------------------------------------------------

    @property
    def silent_at(self) -> float:
        """When it is away if nothing is heard of it until then. One whose link stands may be silent for ever."""
        there = self.state is not PeerState.AWAY and not self.standing
        return self.heard_at + self.away_after if there else float("inf")

    def times(self) -> list[float]:
        """Return when something is due."""
        return [at for at in (self.silent_at, self.deadline) if at is not None and at != float("inf")]

    def first_try(self, now: float) -> float:
        """Return when to begin: the controlling end at once, the other one if nothing comes of that."""
        return now if self.controlling else now + CALL_AFTER

    # -- its state and link --------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether a link is being set up."""
        return self.state in (PeerState.MAKING, PeerState.OFFERING, PeerState.CONNECTING)

    @property
    def awaits_answer(self) -> bool:
        """Whether our offer is out, and not answered."""
        return self.controlling and self.state is PeerState.OFFERING

    def prepare(self, ticket: int, give_up: float) -> None:
        """Begin an attempt."""
        self.ticket, self.ours = ticket, None
        self.give_up = self.deadline = give_up
        self.resend = FIRST_RESEND
        if self.controlling:
            self.theirs = self.more = None

    def stand(self) -> None:
        """An attempt has succeeded."""
        self.restarting, self.deadline, self.tries, self.resend = False, None, 0, FIRST_RESEND
        self.standing, self.reason = True, None

    def turn(self, state: PeerState, reason: str | None = None) -> list[PeerNews]:
        """Change the state: the one door. Return what there is to tell."""
        if state is self.state:
            return []
        assert state in NEXT[self.state], f"{self.state} -> {state}"  # noqa: S101 - our own table
        self.state = state
        if reason is not None or state is PeerState.ONLINE:
            self.reason = reason
        return [self.news()]

    def news(self) -> PeerNews:
        """Return how it stands."""
        return PeerNews(self.uid, self.state, self.path, self.rtt, self.reason, self.standing)

    def forget_link(self) -> int | None:
        """Forget the link; return its number at the module, where it is to be taken down."""
        link = self.link
        self.link = self.ours = self.theirs = self.more = self.path = self.rtt = None
        self.standing = self.restarting = False
        self.ticket, self.deadline, self.resend = 0, None, FIRST_RESEND
        return link

    def merge(self, ufrag: str, candidates: tuple[Candidate, ...], complete: bool) -> bool:
        """Add candidates to our description; return whether that changed it."""
        if self.ours is None or self.ours.ufrag != ufrag:
            return False
        known = self.ours.candidates
        merged = tuple(dict.fromkeys((*known, *candidates)))[:MAX_TOLD]
        complete = complete or self.ours.complete
        if merged == known and self.ours.complete == complete:
            return False
        self.ours = msgspec.structs.replace(self.ours, candidates=merged, complete=complete)
        return True

    # -- what is said to it about the link; nothing before it was heard of ----------------

    def call(self, session: bytes, *, restart: bool) -> list[Say]:
        """Ask for an offer. ``session``: our own, here and below."""
        return [] if self.session is None else self._say(Call(session, self.session, self.attempt, restart))

    def offer(self, session: bytes) -> list[Say]:
        """Offer our end."""
        if self.session is None or self.ours is None:
            return []
        return self._say(Offer(session, self.session, self.attempt, self.restarting, self.ours))

    def answer(self, session: bytes) -> list[Say]:
        """Answer the peer's offer with our end."""
        if self.session is None or self.ours is None:
            return []
        return self._say(Answer(session, self.session, self.attempt, self.ours))

    def tell_more(self, session: bytes) -> list[Say]:
        """Tell all candidates that our end has found by now."""
        ours = self.ours
        if self.session is None or ours is None:
            return []
        return self._say(More(session, self.session, self.attempt, ours.ufrag, ours.candidates, ours.complete))

    def _say(self, message: Message) -> list[Say]:
        return [Say(self.uid, message)]
