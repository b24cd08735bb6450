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

import random
from collections.abc import Callable, Iterable
from typing import Final

from tincan.vpn.module.methods import Candidate, Description
from tincan.vpn.module.states import State
from tincan.vpn.party.early import Early
from tincan.vpn.party.greetings import Greetings
from tincan.vpn.party.messages import Answer, Bye, Call, Hang, Hello, Message, More, Offer
from tincan.vpn.party.peer import CALL_AFTER, FIRST_RESEND, Peer
from tincan.vpn.party.states import Add, Connect, Effect, Make, PeerNews, PeerState, Policy, Say, Trim

LAST_RESEND: Final = 8.0
FIRST_BACKOFF: Final = 2.0
LAST_BACKOFF: Final = 60.0


class Peers:
    """The core. ``card`` is asked whenever hello is said."""

    def __init__(
        self, uid: str, session: bytes, policy: Policy, chance: random.Random, card: Callable[[], bytes] = bytes
    ) -> None:
        self.uid = uid
        self.session = session
        self.policy = policy
        self._chance = chance
        self._greetings = Greetings(session, policy.hello_every, chance, card)
        self._peers: dict[str, Peer] = {}
        self._links: dict[int, Peer] = {}
        self._early = Early()
        self._tickets = 0
        self._effects: list[Effect] = []

    # -- in and out ----------------------------------------------------------------------

    def effects(self) -> list[Effect]:
        """Return what is to be done, once."""
        found, self._effects = self._effects, []
        return found

    def next_deadline(self) -> float | None:
        """Return when `tick` wants to be called."""
        sources: tuple[Greetings | Peer, ...] = (self._greetings, *self._peers.values())
        return min((at for source in sources for at in source.times()), default=None)

    def states(self) -> dict[str, PeerNews]:
        """Return how it stands with every peer."""
        return {uid: peer.news() for uid, peer in self._peers.items()}

    @property
    def on_demand(self) -> bool:
        """Whether links are made only where packets want them."""
        here = sum(peer.state is not PeerState.AWAY for peer in self._peers.values())
        return self.policy.on_demand and here > self.policy.on_demand_above

    def start(self, now: float) -> None:
        """Begin to say hello."""
        self._greetings.started = True
        self.announce(now)

    def announce(self, now: float) -> None:
        """Say hello, and ask all to answer."""
        if not self._greetings.started:
            return
        self._greetings.announce(now)
        for peer in self._peers.values():
            if peer.deadline is not None and peer.state in (PeerState.OFFERING, PeerState.ONLINE):
                peer.deadline = min(peer.deadline, now)  # what was said before may not have left this machine
        self.tick(now)

    def leave(self, now: float) -> None:
        """Say goodbye."""
        self._greetings.stop()
        self._effects.append(Say(None, Bye(self.session)))

    def set_peers(self, uids: Iterable[str], now: float) -> None:
        """Say who may be linked."""
        wanted = set(uids) - {self.uid}
        for uid in self._peers.keys() - wanted:
            peer = self._peers[uid]
            self._drop(peer)
            self._turn(peer, PeerState.AWAY, "It is no member any more.")
            del self._peers[uid]
            self._greetings.forget(uid)
        for uid in sorted(wanted - self._peers.keys()):
            self._peers[uid] = Peer(uid, self.uid < uid)

    def tick(self, now: float) -> None:
        """Do what is due."""
        self._effects += self._greetings.due(now, len(self._peers))
        for peer in list(self._peers.values()):
            if now >= peer.silent_at:
                self._gone(peer, "It was not heard of any more.")
            elif peer.deadline is not None and now >= peer.deadline:
                self._due(peer, now)

    # -- what happens at the module ------------------------------------------------------

    def wants(self, make: Make) -> bool:
        """Whether this is still to be made: others may have come in between."""
        peer = self._peers.get(make.peer)
        return peer is not None and peer.ticket == make.ticket and peer.state is PeerState.MAKING

    def made(self, uid: str, ticket: int, link: int, description: Description, now: float) -> None:
        """Take our end of a link, which the module was asked for."""
        early = self._early.take(link)
        peer = self._peers.get(uid)
        if peer is None or peer.ticket != ticket or peer.state is not PeerState.MAKING:
            if peer is None or peer.link != link:
                self._effects.append(Trim(link))
            return
        peer.link, peer.ours = link, description
        self._links[link] = peer
        for found in early:
            peer.merge(*found)
        if peer.controlling:
            self._turn(peer, PeerState.OFFERING)
            self._effects += peer.offer(self.session)
            peer.deadline = min(peer.give_up, now + self._spread(peer.resend))
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
            self._early.put(link, ufrag, candidates, complete)
            return
        telling = (PeerState.OFFERING, PeerState.CONNECTING)
        if peer.merge(ufrag, candidates, complete) and peer.state in telling:
            self._effects += peer.tell_more(self.session)

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
                peer.deadline = peer.first_try(now)  # there are so few members now that all get links
            if message.reply:
                self._greetings.reply_later(peer.uid, now, len(self._peers))
            return
        if message.to != self.session:
            return
        match message:
            case Call():
                self._called(peer, message, now)
            case Offer():
                self._offered(peer, message, now)
            case Answer(description=theirs, attempt=peer.attempt) if peer.awaits_answer:
                peer.theirs = theirs
                self._connect(peer, now)
            case More(attempt=peer.attempt):
                self._take_more(peer, message)
            case Hang(attempt=peer.attempt) if peer.state is PeerState.ONLINE:
                self._drop(peer)
                self._turn(peer, PeerState.HERE, "Nothing went over the link.")

    def _notice(self, peer: Peer, session: bytes, now: float) -> None:
        """Take note that a peer, or another run of it, is there."""
        peer.heard_at = now
        if session != peer.session:
            if peer.session is not None:
                peer.old.append(peer.session)
                self._gone(peer, "It was started anew.")
            peer.session, peer.attempt, peer.tries = session, 0, 0
            self._greetings.reply_later(peer.uid, now, len(self._peers))
        if peer.state is PeerState.AWAY:
            self._turn(peer, PeerState.HERE)
            if self._wanted(peer, now):
                peer.deadline = peer.first_try(now)

    def _called(self, peer: Peer, call: Call, now: float) -> None:
        if not peer.controlling:
            return
        if call.restart and peer.link is not None:
            making = peer.state is PeerState.MAKING  # then nobody can have seen this attempt
            if call.attempt == peer.attempt and not making and (peer.standing or peer.state is PeerState.CONNECTING):
                self._restart(peer, now)
        elif peer.state is PeerState.HERE:
            self._begin(peer, now)
        elif peer.state is PeerState.OFFERING:
            self._effects += peer.offer(self.session)
        elif call.attempt >= peer.attempt and peer.state in (PeerState.ONLINE, PeerState.CONNECTING):
            self._drop(peer)  # the peer has no link of that attempt any more
            self._turn(peer, PeerState.HERE, "It has lost the link.")
            self._begin(peer, now)

    def _offered(self, peer: Peer, offer: Offer, now: float) -> None:
        if peer.controlling or offer.attempt < peer.attempt:
            return
        if offer.attempt == peer.attempt:
            if peer.ours is not None and peer.state in (PeerState.CONNECTING, PeerState.ONLINE):
                self._effects += peer.answer(self.session)  # the answer was lost
            return
        if peer.state is PeerState.MAKING:
            return  # one at a time: it is said again until it is answered
        if not offer.restart:
            self._drop(peer)
        elif peer.link is not None:
            peer.restarting = True
        peer.attempt, peer.theirs, peer.more = offer.attempt, offer.description, None
        self._make(peer, now)

    def _take_more(self, peer: Peer, more: More) -> None:
        if peer.state in (PeerState.CONNECTING, PeerState.ONLINE) and peer.link is not None:
            self._effects.append(Add(peer.link, more.ufrag, more.candidates, more.complete))
        elif peer.state in (PeerState.MAKING, PeerState.OFFERING):
            peer.more = more

    # -- one link ------------------------------------------------------------------------

    def _wanted(self, peer: Peer, now: float) -> bool:
        return now < peer.asked_for or not self.on_demand

    def _begin(self, peer: Peer, now: float) -> None:
        """Make a link, or call for one."""
        if not peer.controlling:
            self._effects += peer.call(self.session, restart=False)
            peer.deadline = now + self._spread(peer.resend)
            peer.resend = min(peer.resend * 2, LAST_BACKOFF)
        elif sum(other.busy for other in self._peers.values()) >= self.policy.setups:
            peer.deadline = now + self._spread(1.0)
        else:
            peer.attempt += 1
            self._make(peer, now)

    def _make(self, peer: Peer, now: float) -> None:
        self._tickets += 1
        peer.prepare(self._tickets, now + self.policy.patience)
        self._turn(peer, PeerState.MAKING)
        link = peer.link if peer.restarting else None
        self._effects.append(Make(peer.uid, peer.ticket, peer.controlling, link))

    def _connect(self, peer: Peer, now: float) -> None:
        """Both descriptions are here."""
        if peer.link is None or peer.theirs is None:
            return
        self._turn(peer, PeerState.CONNECTING)
        if not peer.controlling:
            self._effects += peer.answer(self.session)
        self._effects.append(Connect(peer.uid, peer.link, peer.theirs))
        if peer.more is not None:
            more, peer.more = peer.more, None
            self._effects.append(Add(peer.link, more.ufrag, more.candidates, more.complete))
        peer.resend = FIRST_RESEND
        peer.deadline = min(peer.give_up, now + self._spread(peer.resend))

    def _online(self, peer: Peer, path: str | None, rtt: float | None, now: float) -> None:
        peer.path, peer.rtt = path, rtt
        if peer.state is PeerState.CONNECTING:
            peer.stand()
            self._turn(peer, PeerState.ONLINE)
        elif peer.standing:
            self._effects.append(peer.news())  # another path of the same link

    def _offline(self, peer: Peer, reason: str | None, now: float) -> None:
        was, peer.standing = peer.standing, False
        peer.reason = reason
        if was:
            self._effects.append(peer.news())
        if peer.state is PeerState.ONLINE and was:
            peer.heard_at = now  # time enough for the next try
            self._restart(peer, now)

    def _restart(self, peer: Peer, now: float) -> None:
        """Begin a link anew, beside the one in use."""
        if peer.controlling:
            peer.restarting = True
            peer.attempt += 1
            self._make(peer, now)
        else:
            self._effects += peer.call(self.session, restart=True)
            peer.give_up = now + self.policy.patience
            peer.resend = FIRST_RESEND
            peer.deadline = now + self._spread(peer.resend)

    def _due(self, peer: Peer, now: float) -> None:
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
                self._effects += peer.offer(self.session)
            case PeerState.CONNECTING:
                self._effects += peer.tell_more(self.session)
            case PeerState.ONLINE:
                self._effects += peer.call(self.session, restart=True)

    def _fail(self, peer: Peer, reason: str, now: float) -> None:
        """Give an attempt up; try again later."""
        self._drop(peer)
        if peer.state is PeerState.AWAY:
            return
        self._turn(peer, PeerState.HERE, reason)
        wait = min(FIRST_BACKOFF * 2**peer.tries, LAST_BACKOFF)
        peer.tries = min(peer.tries + 1, 16)
        peer.deadline = now + self._spread(wait) + (0 if peer.controlling else CALL_AFTER)

    def _drop(self, peer: Peer) -> None:
        """Forget the link, and have it taken down."""
        link = peer.forget_link()
        if link is not None:
            self._links.pop(link, None)
            self._effects.append(Trim(link))

    def _gone(self, peer: Peer, reason: str) -> None:
        self._drop(peer)
        self._turn(peer, PeerState.AWAY, reason)

    def _turn(self, peer: Peer, state: PeerState, reason: str | None = None) -> None:
        self._effects += peer.turn(state, reason)

    def _spread(self, seconds: float) -> float:
        """Return about so many seconds: not all do the same at once."""
        return seconds * (0.8 + 0.4 * self._chance.random())
