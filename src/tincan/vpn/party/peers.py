"""Presence and links: the pure core of `tincan.vpn.party.links`.

Of two peers the one with the smaller uid is *controlling* and the only one to
make offers, so offers never cross. The other one may `Call` for one. Nothing
that is said is sure to arrive: offers are said again until they are answered,
an offer that comes twice is answered twice, and candidates are told as a
whole each time. Every attempt ends: online, or given up at its deadline and
begun again later.

Call the methods with the time, then do what `effects` returns, in order, and
call `tick` at `next_deadline`.
"""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from tincan.vpn.module.methods import Candidate, Description
from tincan.vpn.module.states import State
from tincan.vpn.party.messages import Answer, Bye, Call, Hang, Hello, Message, More, Offer
from tincan.vpn.party.states import (
    NEXT,
    Add,
    Connect,
    Effect,
    Make,
    PeerNews,
    PeerState,
    Policy,
    Say,
    Trim,
)

FIRST_HELLOS: Final = (0.0, 2.0, 6.0)
"""Seconds after the start when hello is said to all with a wish for answers: the first may be lost."""

FEW: Final = 16
"""In a group that is not larger, answers are asked for more than once: each asking makes one letter of everybody."""

FIRST_RESEND: Final = 1.0
LAST_RESEND: Final = 8.0
CALL_AFTER: Final = 3.0
"""Seconds that the other end gets to make its offer by itself."""

FIRST_BACKOFF: Final = 2.0
LAST_BACKOFF: Final = 60.0
MAX_OLD: Final = 8
"""Earlier runs of one peer that are remembered, so that what is still under way of them is passed over."""

MAX_EARLY: Final = 64


@dataclass
class _Peer:
    uid: str
    controlling: bool
    """Whether our end is."""

    state: PeerState = PeerState.AWAY
    session: bytes | None = None
    old: collections.deque[bytes] = field(default_factory=lambda: collections.deque(maxlen=MAX_OLD))
    heard_at: float = 0.0
    away_after: float = 100.0
    answered_at: float = float("-inf")
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


class Peers:
    """The core. ``card`` is asked whenever hello is said."""

    def __init__(
        self, uid: str, session: bytes, policy: Policy, chance: random.Random, card: Callable[[], bytes] = bytes
    ) -> None:
        self.uid = uid
        self.session = session
        self.policy = policy
        self._chance = chance
        self._card = card
        self._peers: dict[str, _Peer] = {}
        self._links: dict[int, _Peer] = {}
        self._early: dict[int, list[tuple[str, tuple[Candidate, ...], bool]]] = {}
        self._tickets = 0
        self._effects: list[Effect] = []
        self._hellos: list[float] = []
        self._replies: dict[str, float] = {}
        self._started = False

    # -- in and out ----------------------------------------------------------------------

    def effects(self) -> list[Effect]:
        """Return what is to be done, once."""
        found, self._effects = self._effects, []
        return found

    def next_deadline(self) -> float | None:
        """Return when `tick` wants to be called."""
        times = [*self._hellos, *self._replies.values()]
        for peer in self._peers.values():
            if peer.deadline is not None:
                times.append(peer.deadline)
            if peer.state is not PeerState.AWAY and not peer.standing:
                times.append(peer.heard_at + peer.away_after)
        return min(times, default=None)

    def states(self) -> dict[str, PeerNews]:
        """Return how it stands with every peer."""
        return {uid: self._news(peer) for uid, peer in self._peers.items()}

    @property
    def on_demand(self) -> bool:
        """Whether links are made only where packets want them."""
        here = sum(peer.state is not PeerState.AWAY for peer in self._peers.values())
        return self.policy.on_demand and here > self.policy.on_demand_above

    def start(self, now: float) -> None:
        """Begin to say hello."""
        self._started = True
        self.announce(now)

    def announce(self, now: float) -> None:
        """Say hello, and ask all to answer."""
        if not self._started:
            return
        self._hellos = [now + wait for wait in FIRST_HELLOS]
        for peer in self._peers.values():
            if peer.deadline is not None and peer.state in (PeerState.OFFERING, PeerState.ONLINE):
                peer.deadline = min(peer.deadline, now)  # what was said before may not have left this machine
        self.tick(now)

    def leave(self, now: float) -> None:
        """Say goodbye."""
        self._started = False
        self._hellos = []
        self._effects.append(Say(None, Bye(self.session)))

    def set_peers(self, uids: Iterable[str], now: float) -> None:
        """Say who may be linked."""
        wanted = set(uids) - {self.uid}
        for uid in self._peers.keys() - wanted:
            peer = self._peers[uid]
            self._drop(peer)
            self._turn(peer, PeerState.AWAY, "It is no member any more.")
            del self._peers[uid]
            self._replies.pop(uid, None)
        for uid in sorted(wanted - self._peers.keys()):
            self._peers[uid] = _Peer(uid, self.uid < uid)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._tick_hellos(now)
        for peer in list(self._peers.values()):
            if peer.state is not PeerState.AWAY and not peer.standing and now >= peer.heard_at + peer.away_after:
                self._gone(peer, "It was not heard of any more.")
            elif peer.deadline is not None and now >= peer.deadline:
                self._due(peer, now)

    # -- what happens at the module ------------------------------------------------------

    def made(self, uid: str, ticket: int, link: int, description: Description, now: float) -> None:
        """Take our end of a link, which the module was asked for."""
        peer = self._peers.get(uid)
        if peer is None or peer.ticket != ticket or peer.state is not PeerState.MAKING:
            if peer is None or peer.link != link:
                self._effects.append(Trim(link))
            return
        peer.link, peer.ours = link, description
        self._links[link] = peer
        for ufrag, candidates, complete in self._early.pop(link, []):
            self._merge(peer, ufrag, candidates, complete)
        if peer.controlling:
            self._turn(peer, PeerState.OFFERING)
            self._offer(peer, now)
        else:
            self._connect(peer, now)

    def refused(self, uid: str, ticket: int, reason: str, now: float) -> None:
        """The module could not make our end."""
        peer = self._peers.get(uid)
        if peer is not None and peer.ticket == ticket and peer.state is PeerState.MAKING:
            self._fail(peer, reason, now)

    def found(self, link: int, ufrag: str, candidates: tuple[Candidate, ...], complete: bool, now: float) -> None:
        """Our end of a link has found more candidates."""
        peer = self._links.get(link)
        if peer is None or (peer.ours is None and peer.state is PeerState.MAKING):
            if len(self._early) < MAX_EARLY or link in self._early:
                early = self._early.setdefault(link, [])
                if len(early) < MAX_EARLY:
                    early.append((ufrag, candidates, complete))
            return
        if self._merge(peer, ufrag, candidates, complete) and peer.state in (
            PeerState.OFFERING,
            PeerState.CONNECTING,
        ):
            self._tell_more(peer)

    def link_changed(
        self, link: int, state: State, path: str | None, rtt: float | None, reason: str | None, now: float
    ) -> None:
        """A link's state or path has changed."""
        peer = self._links.get(link)
        if peer is None:
            return
        match state:
            case "online":
                self._online(peer, path, rtt, now)
            case "offline":
                self._offline(peer, reason, now)
            case "failed":
                self._fail(peer, reason or "There is no path to it.", now)

    def network_changed(self, now: float) -> None:
        """Begin every link anew, beside the one in use, and tell all where we are."""
        for peer in self._peers.values():
            if peer.link is not None and peer.state is not PeerState.HERE:
                self._restart(peer, now)
        self.announce(now)

    def packet(self, uid: str, now: float) -> None:
        """A packet wants to go to a peer that there is no link to; the module keeps it for a while."""
        peer = self._peers.get(uid)
        if peer is None or peer.state is PeerState.AWAY or peer.standing:
            return
        peer.asked_for = now + self.policy.asked_for
        if peer.state is PeerState.HERE and peer.deadline is None:
            self._begin(peer, now)

    def idle(self, uid: str, now: float) -> None:
        """Nothing goes over the link any more: take it down if links are made on demand."""
        peer = self._peers.get(uid)
        if peer is not None and peer.state is PeerState.ONLINE and self.on_demand and peer.session is not None:
            self._effects.append(Say(uid, Hang(self.session, peer.session, peer.attempt)))
            self._drop(peer)
            self._turn(peer, PeerState.HERE, "Nothing went over the link.")

    # -- what peers say ------------------------------------------------------------------

    def heard(self, uid: str, message: Message, now: float) -> None:
        """Take what a peer said."""
        peer = self._peers.get(uid)
        if peer is None or message.session in peer.old:
            return
        if isinstance(message, Bye):
            if message.session == peer.session:
                self._gone(peer, "It said goodbye.")
            return
        self._notice(peer, message.session, now)
        if isinstance(message, Hello):
            peer.away_after = 3.2 * message.every + 10
            if peer.state is PeerState.HERE and peer.deadline is None and self._wanted(peer, now):
                peer.deadline = self._soon(peer, now)  # there are so few members now that all get links
            if message.reply:
                self._reply_later(peer, now)
            return
        if message.to != self.session:
            return
        match message:
            case Call():
                self._called(peer, message, now)
            case Offer():
                self._offered(peer, message, now)
            case Answer():
                self._answered(peer, message, now)
            case More():
                self._take_more(peer, message)
            case Hang():
                if message.attempt == peer.attempt and peer.state is PeerState.ONLINE:
                    self._drop(peer)
                    self._turn(peer, PeerState.HERE, "Nothing went over the link.")

    def _notice(self, peer: _Peer, session: bytes, now: float) -> None:
        """Take note that a peer, or another run of it, is there."""
        peer.heard_at = now
        if session != peer.session:
            if peer.session is not None:
                peer.old.append(peer.session)
                self._gone(peer, "It was started anew.")
            peer.session, peer.attempt, peer.tries = session, 0, 0
            self._reply_later(peer, now)
        if peer.state is PeerState.AWAY:
            self._turn(peer, PeerState.HERE)
            if self._wanted(peer, now):
                peer.deadline = self._soon(peer, now)

    def _called(self, peer: _Peer, call: Call, now: float) -> None:
        if not peer.controlling:
            return
        if call.restart and peer.link is not None:
            if call.attempt == peer.attempt and (peer.standing or peer.state is PeerState.CONNECTING):
                self._restart(peer, now)
        elif peer.state is PeerState.HERE:
            self._begin(peer, now)
        elif peer.state is PeerState.OFFERING:
            self._say_offer(peer)
        elif call.attempt >= peer.attempt and peer.state in (PeerState.ONLINE, PeerState.CONNECTING):
            self._drop(peer)  # the peer has no link of that attempt any more
            self._turn(peer, PeerState.HERE, "It has lost the link.")
            self._begin(peer, now)

    def _offered(self, peer: _Peer, offer: Offer, now: float) -> None:
        if peer.controlling or offer.attempt < peer.attempt:
            return
        if offer.attempt == peer.attempt:
            if peer.ours is not None and peer.state in (PeerState.CONNECTING, PeerState.ONLINE):
                self._say_answer(peer)  # the answer was lost
            return
        if not offer.restart:
            self._drop(peer)
        elif peer.link is not None:
            peer.restarting = True
        peer.attempt, peer.theirs, peer.more = offer.attempt, offer.description, None
        self._make(peer, now)

    def _answered(self, peer: _Peer, answer: Answer, now: float) -> None:
        if peer.controlling and peer.state is PeerState.OFFERING and answer.attempt == peer.attempt:
            peer.theirs = answer.description
            self._connect(peer, now)

    def _take_more(self, peer: _Peer, more: More) -> None:
        if more.attempt != peer.attempt:
            return
        if peer.state in (PeerState.CONNECTING, PeerState.ONLINE) and peer.link is not None:
            self._effects.append(Add(peer.link, more.ufrag, more.candidates, more.complete))
        elif peer.state in (PeerState.MAKING, PeerState.OFFERING):
            peer.more = more

    # -- one link ------------------------------------------------------------------------

    @staticmethod
    def _soon(peer: _Peer, now: float) -> float:
        """Return when to begin: the controlling end at once, the other one if nothing comes of that."""
        return now if peer.controlling else now + CALL_AFTER

    def _wanted(self, peer: _Peer, now: float) -> bool:
        return now < peer.asked_for or not self.on_demand

    def _begin(self, peer: _Peer, now: float) -> None:
        """Make a link, or call for one."""
        if not peer.controlling:
            self._say_call(peer, restart=False)
            peer.deadline = now + self._spread(peer.resend)
            peer.resend = min(peer.resend * 2, LAST_BACKOFF)
        elif self._setups() >= self.policy.setups:
            peer.deadline = now + self._spread(1.0)
        else:
            peer.attempt += 1
            self._make(peer, now)

    def _setups(self) -> int:
        busy = (PeerState.MAKING, PeerState.OFFERING, PeerState.CONNECTING)
        return sum(peer.state in busy for peer in self._peers.values())

    def _make(self, peer: _Peer, now: float) -> None:
        self._tickets += 1
        peer.ticket, peer.ours = self._tickets, None
        peer.give_up = now + self.policy.patience
        peer.deadline = peer.give_up
        peer.resend = FIRST_RESEND
        if peer.controlling:
            peer.theirs = peer.more = None
        self._turn(peer, PeerState.MAKING)
        link = peer.link if peer.restarting else None
        self._effects.append(Make(peer.uid, peer.ticket, peer.controlling, link))

    def _offer(self, peer: _Peer, now: float) -> None:
        self._say_offer(peer)
        peer.deadline = min(peer.give_up, now + self._spread(peer.resend))

    def _connect(self, peer: _Peer, now: float) -> None:
        """Both descriptions are here."""
        if peer.link is None or peer.theirs is None:
            return
        self._turn(peer, PeerState.CONNECTING)
        if not peer.controlling:
            self._say_answer(peer)
        self._effects.append(Connect(peer.uid, peer.link, peer.theirs))
        if peer.more is not None:
            more, peer.more = peer.more, None
            self._effects.append(Add(peer.link, more.ufrag, more.candidates, more.complete))
        peer.resend = FIRST_RESEND
        peer.deadline = min(peer.give_up, now + self._spread(peer.resend))

    def _online(self, peer: _Peer, path: str | None, rtt: float | None, now: float) -> None:
        peer.path, peer.rtt = path, rtt
        if peer.state is PeerState.CONNECTING:
            peer.restarting, peer.deadline, peer.tries, peer.resend = False, None, 0, FIRST_RESEND
            peer.standing, peer.reason = True, None
            self._turn(peer, PeerState.ONLINE)
        elif peer.standing:
            self._effects.append(self._news(peer))  # another path of the same link

    def _offline(self, peer: _Peer, reason: str | None, now: float) -> None:
        was, peer.standing = peer.standing, False
        peer.reason = reason
        if was:
            self._effects.append(self._news(peer))
        if peer.state is PeerState.ONLINE and was:
            peer.heard_at = now  # time enough for the next try
            self._restart(peer, now)

    def _restart(self, peer: _Peer, now: float) -> None:
        """Begin a link anew, beside the one in use."""
        if peer.controlling:
            peer.restarting = True
            peer.attempt += 1
            self._make(peer, now)
        else:
            self._say_call(peer, restart=True)
            peer.give_up = now + self.policy.patience
            peer.resend = FIRST_RESEND
            peer.deadline = now + self._spread(peer.resend)

    def _due(self, peer: _Peer, now: float) -> None:
        """A peer's deadline has come."""
        peer.deadline = None
        if peer.state is PeerState.HERE:
            if self._wanted(peer, now):
                self._begin(peer, now)
            return
        if now >= peer.give_up:
            if peer.standing:  # a restart that came to nothing; the link in use stands all the same
                peer.restarting = False
                self._turn(peer, PeerState.ONLINE)
                return
            self._fail(peer, "It did not answer." if peer.theirs is None else "There is no path to it.", now)
            return
        peer.resend = min(peer.resend * 2, LAST_RESEND)
        peer.deadline = min(peer.give_up, now + self._spread(peer.resend))
        match peer.state:
            case PeerState.OFFERING:
                self._say_offer(peer)
            case PeerState.CONNECTING:
                self._tell_more(peer)
            case PeerState.ONLINE:
                self._say_call(peer, restart=True)

    def _fail(self, peer: _Peer, reason: str, now: float) -> None:
        """Give an attempt up; try again later."""
        self._drop(peer)
        if peer.state is PeerState.AWAY:
            return
        self._turn(peer, PeerState.HERE, reason)
        wait = min(FIRST_BACKOFF * 2**peer.tries, LAST_BACKOFF)
        peer.tries = min(peer.tries + 1, 16)
        peer.deadline = now + self._spread(wait) + (0 if peer.controlling else CALL_AFTER)

    def _drop(self, peer: _Peer) -> None:
        """Forget the link, and have it taken down."""
        if peer.link is not None:
            self._links.pop(peer.link, None)
            self._effects.append(Trim(peer.link))
        peer.link = peer.ours = peer.theirs = peer.more = peer.path = peer.rtt = None
        peer.standing = peer.restarting = False
        peer.ticket, peer.deadline, peer.resend = 0, None, FIRST_RESEND

    def _gone(self, peer: _Peer, reason: str) -> None:
        self._drop(peer)
        if peer.state is not PeerState.AWAY:
            self._turn(peer, PeerState.AWAY, reason)

    # -- saying --------------------------------------------------------------------------

    def _tick_hellos(self, now: float) -> None:
        due = [at for at in self._hellos if at <= now]
        if due:
            self._hellos = [at for at in self._hellos if at > now]
            every = max(self.policy.hello_every, float(len(self._peers)))
            left = len(self._hellos)  # the last one of a row is the first of the regular ones
            wishes = left == len(FIRST_HELLOS) - 1 or (left > 0 and len(self._peers) <= FEW)
            self._say_hello(None, reply=wishes, every=every)
            if not self._hellos:
                self._hellos = [now + self._spread(every)]
        for uid in [uid for uid, at in self._replies.items() if at <= now]:
            del self._replies[uid]
            self._peers[uid].answered_at = now
            self._say_hello(uid, reply=False, every=max(self.policy.hello_every, float(len(self._peers))))

    def _say_hello(self, to: str | None, *, reply: bool, every: float) -> None:
        self._effects.append(Say(to, Hello(self.session, reply, min(every * 1.2, 3600.0), self._card())))

    def _reply_later(self, peer: _Peer, now: float) -> None:
        """Answer a hello, once a second at most; in a large group not all at once."""
        if self._started and peer.uid not in self._replies:
            wait = self._chance.random() * min(3.0, 0.02 * len(self._peers))
            self._replies[peer.uid] = max(now, peer.answered_at + 1.0) + wait

    def _say_call(self, peer: _Peer, *, restart: bool) -> None:
        if peer.session is not None:
            self._effects.append(Say(peer.uid, Call(self.session, peer.session, peer.attempt, restart)))

    def _say_offer(self, peer: _Peer) -> None:
        if peer.session is not None and peer.ours is not None:
            offer = Offer(self.session, peer.session, peer.attempt, peer.restarting, peer.ours)
            self._effects.append(Say(peer.uid, offer))

    def _say_answer(self, peer: _Peer) -> None:
        if peer.session is not None and peer.ours is not None:
            self._effects.append(Say(peer.uid, Answer(self.session, peer.session, peer.attempt, peer.ours)))

    def _tell_more(self, peer: _Peer) -> None:
        ours = peer.ours
        if ours is not None and peer.session is not None:
            more = More(self.session, peer.session, peer.attempt, ours.ufrag, ours.candidates, ours.complete)
            self._effects.append(Say(peer.uid, more))

    # -- small things --------------------------------------------------------------------

    def _merge(self, peer: _Peer, ufrag: str, candidates: tuple[Candidate, ...], complete: bool) -> bool:
        """Add candidates to our description; return whether that changed it."""
        if peer.ours is None or peer.ours.ufrag != ufrag:
            return False
        known = peer.ours.candidates
        merged = tuple(dict.fromkeys((*known, *candidates)))[:40]
        if merged == known and peer.ours.complete == (complete or peer.ours.complete):
            return False
        peer.ours = msgspec.structs.replace(peer.ours, candidates=merged, complete=peer.ours.complete or complete)
        return True

    def _turn(self, peer: _Peer, state: PeerState, reason: str | None = None) -> None:
        """Change a peer's state: the one door."""
        if state is peer.state:
            return
        assert state in NEXT[peer.state], f"{peer.state} -> {state}"  # noqa: S101 - our own table
        peer.state = state
        if reason is not None or state is PeerState.ONLINE:
            peer.reason = reason
        self._effects.append(self._news(peer))

    def _news(self, peer: _Peer) -> PeerNews:
        return PeerNews(peer.uid, peer.state, peer.path, peer.rtt, peer.reason, peer.standing)

    def _spread(self, seconds: float) -> float:
        """Return about so many seconds: not all do the same at once."""
        return seconds * (0.8 + 0.4 * self._chance.random())
