"""What letters from the group mean: who is a member, what holds now, and who has to be told of it. Pure.

Letters go to the circle of an epoch. On the newest one members find each
other. On earlier ones we only listen: whoever still says hello there was away
when somebody was banned, and is handed the newer statement with its secret,
sealed for him alone, by any member who has it. A banned one is handed the
statement without the secret, and so learns why nobody answers. docs/net.md
section 4.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

import msgspec

from tincan.errors import AuthenticationFailed
from tincan.vpn.group.certificate import Certificate, Statement, check, read
from tincan.vpn.group.state import GroupState, Random
from tincan.vpn.party.keys import PublicKeys, uid_of
from tincan.vpn.party.messages import Hello, Message, encode
from tincan.vpn.party.seal import Letter

TELL_AGAIN: Final = (0.0, 1.0, 3.0, 7.0)
"""Seconds after a ban at which the others are told, until they are heard on the new circle."""

ANSWER_WITHIN: Final = 1.0
"""Seconds over which members spread who tells a newcomer from an earlier epoch: the first one suffices."""

ANSWER_EVERY: Final = 5.0


class Rotate(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="rotate"):
    """A newer statement, and the secret of its epoch; empty for those that it bans."""

    statement: Annotated[bytes, msgspec.Meta(max_length=14 * 1024)]
    secret: Annotated[bytes, msgspec.Meta(max_length=32)]


class Left(msgspec.Struct, frozen=True, array_like=True, tag_field="kind", tag="left"):
    """I leave the group for good."""


_decoder: msgspec.msgpack.Decoder[Message | Rotate | Left] = msgspec.msgpack.Decoder(Message | Rotate | Left)
_encoder = msgspec.msgpack.Encoder()


# -- effects ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Send:
    """Send a letter to a circle; ``to`` one, or to all."""

    circle: str
    payload: bytes
    to: PublicKeys | None


@dataclass(frozen=True)
class Pass:
    """A member said this to us, about links."""

    uid: str
    message: Message


@dataclass(frozen=True)
class PeersChanged:
    """`Membership.peers` has changed. The state is to be saved."""


@dataclass(frozen=True)
class Rotated:
    """There is a newer statement and secret: `Membership.circles` has changed. The state is to be saved."""

    banned: tuple[str, ...]
    """Names of those who are no members any more."""


@dataclass(frozen=True)
class WeAreBanned:
    """The group does not want us any more."""


@dataclass(frozen=True)
class WeHaveRunOut:
    """Our certificate is good no more."""


@dataclass(frozen=True)
class MemberLeft:
    """A member has left for good; if we are the admin, it is to be banned, so that its place is free."""

    uid: str
    name: str


@dataclass(frozen=True)
class Odd:
    """Somebody tried something that is not right; one sentence."""

    text: str


Effect: TypeAlias = Send | Pass | PeersChanged | Rotated | WeAreBanned | WeHaveRunOut | MemberLeft | Odd


@dataclass
class _Telling:
    """Somebody who is to be told of the newest statement."""

    keys: PublicKeys
    circle: str
    banned: bool
    times: list[float]


class Membership:
    """The core. Times are seconds of the wall clock."""

    def __init__(self, state: GroupState, chance: random.Random) -> None:
        self.state = state
        self._chance = chance
        self._effects: list[Effect] = []
        self._telling: dict[str, _Telling] = {}
        self._answered: dict[str, float] = {}
        self._odd: set[str] = set()
        self._peers: dict[str, Certificate] = {}
        self._own = state.certificate()
        self._statement = state.holds()
        self._runs_out: float = self._own.expires
        """When the first certificate does, of members that are taken for good."""

    # -- what is so ------------------------------------------------------------------

    @property
    def circle(self) -> str:
        """The circle to speak in."""
        return str(self._statement.epoch)

    @property
    def statement(self) -> Statement:
        """What holds now."""
        return self._statement

    def circles(self) -> dict[str, bytes]:
        """Return the circles to listen to, and their secrets."""
        return {str(epoch): secret for epoch, secret in self.state.secrets.items()}

    def peers(self) -> dict[str, Certificate]:
        """Return the other members, by uid."""
        return dict(self._peers)

    def card(self) -> bytes:
        """Return what goes with our hello."""
        return self.state.card

    def effects(self) -> list[Effect]:
        """Return what is to be done, once."""
        found, self._effects = self._effects, []
        return found

    def next_deadline(self) -> float:
        """Return when `tick` wants to be called."""
        return min((telling.times[0] for telling in self._telling.values()), default=self._runs_out)

    # -- what happens ----------------------------------------------------------------

    def start(self, now: float) -> None:
        """Look at who is known from before."""
        self._look(now)

    def heard(self, letter: Letter, now: float) -> None:
        """Take a letter."""
        try:
            message = _decoder.decode(letter.payload)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        try:
            self._take(letter, message, now)
        except AuthenticationFailed as exc:
            if str(exc) not in self._odd and len(self._odd) < 64:
                self._odd.add(str(exc))  # told once: whoever does this can do it a thousand times
                self._effects.append(Odd(str(exc)))

    def ban(self, name: str, now: float, draw: Random) -> Certificate:
        """Ban a member, as the admin; see `GroupState.ban`."""
        before = self.circle
        certificate = self.state.ban(name, draw)
        self._rotated(now)
        others = [(c.keys, False) for c in self._peers.values()]
        for keys, banned in [*others, (certificate.keys, True)]:
            self._telling[keys.uid] = _Telling(keys, before, banned, [now + wait for wait in TELL_AGAIN])
        self.tick(now)
        return certificate

    def leave(self) -> None:
        """Tell all that we leave for good."""
        self._effects.append(Send(self.circle, _encoder.encode(Left()), None))

    def reload(self, state: GroupState, now: float) -> None:
        """Take a state that another process of ours has changed, beside what was learnt here meanwhile."""
        state.merge(self.state)
        self.state = state
        if state.holds().epoch != self._statement.epoch:
            self._rotated(now)
        self._look(now)

    def tick(self, now: float) -> None:
        """Tell those whose time has come; forget those whose certificates have run out."""
        if now >= self._runs_out:
            self._look(now)
        for uid, telling in list(self._telling.items()):
            while telling.times and telling.times[0] <= now:
                telling.times.pop(0)
                secret = b"" if telling.banned else self.state.secrets[self._statement.epoch]
                payload = _encoder.encode(Rotate(self.state.statement, secret))
                self._effects.append(Send(telling.circle, payload, telling.keys))
            if not telling.times:
                del self._telling[uid]

    # -- inside ------------------------------------------------------------------------

    def _take(self, letter: Letter, message: Message | Rotate | Left, now: float) -> None:
        if isinstance(message, Rotate):
            if letter.private:
                self._adopt(message, now)
        elif letter.circle != self.circle:
            if isinstance(message, Hello):
                self._greeted_from_before(letter, message, now)
        elif isinstance(message, Hello):
            self._greeted(letter, message, now)
        elif (peer := self._peers.get(uid_of(letter.sender))) is not None:
            if isinstance(message, Left):
                self._effects.append(MemberLeft(peer.uid, peer.name))
            else:
                self._effects.append(Pass(peer.uid, message))

    def _greeted(self, letter: Letter, hello: Hello, now: float) -> None:
        certificate = self.state.meet(hello.card, letter.sender, now)
        uid = certificate.uid
        self._telling.pop(uid, None)
        known = read(Certificate, self.state.members[uid].card, self.state.group)
        check(known, self._statement, now)
        gone = self._peers.keys() - self.state.members.keys()  # it has the name or address of these now
        if gone or self._peers.get(uid) != known:
            self._peers = {u: c for u, c in self._peers.items() if u not in gone} | {uid: known}
            self._runs_out = min(self._runs_out, known.expires)
            self._effects.append(PeersChanged())
        self._effects.append(Pass(uid, hello))

    def _greeted_from_before(self, letter: Letter, hello: Hello, now: float) -> None:
        certificate = read(Certificate, hello.card, self.state.group)
        if certificate.sign != letter.sender:
            raise AuthenticationFailed("Somebody shows a certificate that is another's.")
        uid, banned = certificate.uid, certificate.serial in self._statement.banned
        if not banned:
            check(certificate, self._statement, now)
        if uid in self._telling or now < self._answered.get(uid, 0.0) + ANSWER_EVERY:
            return
        if len(self._answered) > 4096:
            self._answered.clear()
        self._answered[uid] = now
        wait = self._chance.random() * (ANSWER_WITHIN if not self.state.admin else 0.0)
        self._telling[uid] = _Telling(certificate.keys, letter.circle, banned, [now + wait])
        self.tick(now)

    def _adopt(self, rotate: Rotate, now: float) -> None:
        after = self.state.adopt(rotate.statement, rotate.secret)
        if after is None:
            return
        if self._own.serial in after.banned:
            self._effects.append(WeAreBanned())
            return
        self._rotated(now)

    def _rotated(self, now: float) -> None:
        """The state has a newer statement."""
        self._statement = self.state.holds()
        self._telling.clear()
        gone = {c.serial: c.name for c in self._peers.values() if c.serial in self._statement.banned}
        self._look(now)
        self._effects.append(Rotated(tuple(gone.values())))

    def _look(self, now: float) -> None:
        """Find out who is a member now."""
        if now >= self._own.expires:
            self._effects.append(WeHaveRunOut())
        found = {}
        for uid, certificate in self.state.certificates().items():
            try:
                check(certificate, self._statement, now)
            except AuthenticationFailed:
                continue
            if uid != self._own.uid:
                found[uid] = certificate
        ends = [c.expires for c in (self._own, *found.values()) if c.expires > now]
        self._runs_out = min(ends, default=float("inf"))
        if found != self._peers:
            self._peers = found
            self._effects.append(PeersChanged())


def payload_of(message: Message) -> bytes:
    """Return a message about links as the payload of a letter."""
    return encode(message)
