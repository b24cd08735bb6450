"""The handshake between two cans, as a core without sockets or clocks.

CPace (draft-irtf-cfrg-cpace, CPACE-X25519-SHA512, initiator-responder with
explicit key confirmation), then sealed envelopes (ChaCha20-Poly1305, RFC 8439,
a key for each direction from HKDF, RFC 5869, counter nonces).

::

    attach                                              tap
      share(Ya)            ------------------------>
                           <------------------------   flight(Yb, Tb, envelope 0: offer)
      answer(Ta, envelope 0: answer) --------------->
      sealed(envelope n)   <----------------------->   sealed(envelope n)

The attaching can leaves its share as soon as it opens the mailbox, so one
round trip is enough once both are there. Confirmation is part of the flight
and of the answer: no envelope is opened before the tag that comes with it, or
before it, has been verified.

Rules that keep a guess at one try:

* a tapping can shows its tag once, an attaching can judges a tag once; a
  `Handshake` is never used again, and `spent` tells that the try is used up,
  after which the caller must not begin another handshake for this phrase;
* everything that binds the run is in CPace's channel identifier: protocol,
  version and string code; the roles are in the associated data.

Driving it: call `receive` for each message, `seal` for each payload, and
after either (also when it raised) send what `data_to_send` returns.
"""

from __future__ import annotations

import enum
import logging
from typing import Annotated, Final

import msgspec
from cpace import CPace, CPaceError, CPaceRole
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tincan.errors import AuthenticationFailed
from tincan.meet.mailbox import MAX_MESSAGE, Side
from tincan.meet.phrase import StringKeys

logger = logging.getLogger(__name__)

VERSION: Final = 1
MAX_PAYLOAD: Final = MAX_MESSAGE - 512
"""Bytes in one sealed payload, so that tag, share and framing fit the mailbox's message."""

MAX_ENVELOPES: Final = 64
"""Envelopes of one direction; a mailbox takes no more messages than that anyway."""

_ShareBytes = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
_TagBytes = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
_Envelope = Annotated[bytes, msgspec.Meta(min_length=16, max_length=MAX_MESSAGE)]


class Share(msgspec.Struct, frozen=True, tag="share", tag_field="kind"):
    """The attaching can's first message: its version and its CPace share."""

    version: int
    share: _ShareBytes


class Flight(msgspec.Struct, frozen=True, tag="flight", tag_field="kind"):
    """The tapping can's reply: share, confirmation tag and first envelope at once."""

    version: int
    share: _ShareBytes
    tag: _TagBytes
    envelope: _Envelope


class Answer(msgspec.Struct, frozen=True, tag="answer", tag_field="kind"):
    """The attaching can's confirmation tag and first envelope."""

    tag: _TagBytes
    envelope: _Envelope


class Sealed(msgspec.Struct, frozen=True, tag="sealed", tag_field="kind"):
    """A further envelope."""

    envelope: _Envelope


class Refusal(msgspec.Struct, frozen=True, tag="refusal", tag_field="kind"):
    """The handshake failed at the sender's. Not authenticated: it can only end things."""


_decoder = msgspec.msgpack.Decoder(Share | Flight | Answer | Sealed | Refusal)
_encoder = msgspec.msgpack.Encoder()


class State(enum.Enum):
    """Where a handshake is. The table `_NEXT` says what may follow."""

    WAITING = "waiting for the peer's share"
    READY = "keys derived, flight not sent"
    COMMITTED = "flight sent, peer not confirmed"
    CONFIRMED = "peer confirmed"
    FAILED = "failed"


_NEXT: Final = {
    State.WAITING: {State.READY, State.CONFIRMED, State.FAILED},
    State.READY: {State.COMMITTED, State.FAILED},
    State.COMMITTED: {State.CONFIRMED, State.FAILED},
    State.CONFIRMED: {State.FAILED},
    State.FAILED: set[State](),
}

_WRONG = (
    "The other can does not know the same phrase, or somebody is guessing. "
    "This line is dead: agree on a new phrase and try again."
)
_DAMAGED = (
    "What came from the other can was damaged or forged on the way, so the string was not tied. "
    "Try again; if it happens again, use another switchboard."
)
_REFUSED = (
    "The other can could not confirm the phrase: it was mistyped, or somebody is in between. "
    "Agree on a new phrase and try again."
)


class Handshake:
    """One side of one handshake. See the module for the rules."""

    def __init__(self, side: Side, keys: StringKeys) -> None:
        self.state = State.WAITING
        self._side = side
        self._out: list[bytes] = []
        self._sent_envelopes = 0
        self._opened_envelopes = 0
        self._spent = False
        self._answered = False
        self._seal_key: ChaCha20Poly1305 | None = None
        self._open_key: ChaCha20Poly1305 | None = None
        self._pace = CPace.start(
            role=CPaceRole.INITIATOR if side is Side.ATTACH else CPaceRole.RESPONDER,
            prs=keys.password,
            sid=b"",
            ci=b"tin-can/%d " % VERSION + keys.code.encode(),
            ad=_associated(side),
        )
        if side is Side.ATTACH:
            self._put(Share(VERSION, self._pace.public_share))

    @property
    def spent(self) -> bool:
        """Whether a stranger may have had his one guess at the phrase from this side."""
        return self._spent

    @property
    def confirmed(self) -> bool:
        """Whether the peer has proved that it knows the phrase."""
        return self.state is State.CONFIRMED

    def data_to_send(self) -> list[bytes]:
        """Return the messages to put into the mailbox now, in order."""
        out, self._out = self._out, []
        return out

    def receive(self, message: bytes) -> bytes | None:
        """Take one message of the peer; return the payload it carried, if any.

        Raises `AuthenticationFailed` on anything but what must come next; the
        handshake is then over, and `data_to_send` holds the refusal.
        """
        try:
            frame = _decoder.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise self._fail(_DAMAGED) from None
        if isinstance(frame, Refusal):
            raise self._fail(_REFUSED, tell=False)
        match (self._side, self.state, frame):
            case (Side.TAP, State.WAITING, Share()):
                self._derive(frame.version, frame.share)
                self._become(State.READY)
                return None
            case (Side.ATTACH, State.WAITING, Flight()):
                self._spent = True
                self._derive(frame.version, frame.share)
                self._confirm(frame.tag)
                return self._open(frame.envelope)
            case (Side.TAP, State.COMMITTED, Answer()):
                self._confirm(frame.tag)
                return self._open(frame.envelope)
            case (_, State.CONFIRMED, Sealed()):
                return self._open(frame.envelope)
        raise self._fail(_DAMAGED)

    def seal(self, payload: bytes) -> None:
        """Queue a payload for the peer, at most `MAX_PAYLOAD` bytes.

        The tapping can's first one makes its flight, the attaching can's first
        one its answer. Only valid once the keys are there (READY and later for
        the tapping can, CONFIRMED for the attaching one).
        """
        if len(payload) > MAX_PAYLOAD:
            raise ValueError("payload too long for an envelope")
        if self._side is Side.TAP and self.state is State.READY:
            self._spent = True
            self._put(Flight(VERSION, self._pace.public_share, self._pace.tag(), self._envelope(payload)))
            self._become(State.COMMITTED)
        elif self._side is Side.ATTACH and self.state is State.CONFIRMED and not self._answered:
            self._answered = True
            self._put(Answer(self._pace.tag(), self._envelope(payload)))
        elif self.state is State.CONFIRMED or self.state is State.COMMITTED:
            self._put(Sealed(self._envelope(payload)))
        else:
            raise RuntimeError(f"nothing can be sealed while {self.state.value}")

    def _derive(self, version: int, share: bytes) -> None:
        if version != VERSION:
            raise self._fail(
                f"The other can speaks version {version} of the handshake and this one version {VERSION}; "
                "update the older one."
            )
        try:
            self._pace.derive(share, _associated(self._side.other))
        except CPaceError:
            raise self._fail(_DAMAGED) from None
        isk = self._pace.isk
        self._seal_key = ChaCha20Poly1305(_direction_key(isk, self._side))
        self._open_key = ChaCha20Poly1305(_direction_key(isk, self._side.other))

    def _confirm(self, tag: bytes) -> None:
        if not self._pace.verify(tag):
            raise self._fail(_WRONG)
        self._become(State.CONFIRMED)

    def _envelope(self, payload: bytes) -> bytes:
        assert self._seal_key is not None  # noqa: S101 - our own states, no input
        if self._sent_envelopes >= MAX_ENVELOPES:
            raise RuntimeError("too many envelopes")
        nonce = self._sent_envelopes.to_bytes(12, "big")
        self._sent_envelopes += 1
        return self._seal_key.encrypt(nonce, payload, None)

    def _open(self, envelope: bytes) -> bytes:
        # The nonce is the number of this envelope in its direction, so one
        # that is replayed, reordered or left out does not open.
        assert self._open_key is not None  # noqa: S101 - our own states, no input
        nonce = self._opened_envelopes.to_bytes(12, "big")
        try:
            payload = self._open_key.decrypt(nonce, envelope, None)
        except InvalidTag:
            raise self._fail(_DAMAGED) from None
        self._opened_envelopes += 1
        return payload

    def _put(self, frame: msgspec.Struct) -> None:
        self._out.append(_encoder.encode(frame))

    def _fail(self, text: str, *, tell: bool = True) -> AuthenticationFailed:
        if tell and self.state is not State.FAILED:
            self._put(Refusal())
        self._become(State.FAILED)
        return AuthenticationFailed(text)

    def _become(self, state: State) -> None:
        if state is self.state is State.FAILED:
            return
        if state not in _NEXT[self.state]:
            raise RuntimeError(f"{self.state} cannot become {state}")
        logger.debug("handshake %s: %s -> %s", self._side.value, self.state.value, state.value)
        self.state = state


def _associated(side: Side) -> bytes:
    return b"tin-can/%d %s" % (VERSION, side.value.encode())


def _direction_key(isk: bytes, sender: Side) -> bytes:
    info = b"tin-can/%d envelopes of %s" % (VERSION, sender.value.encode())
    return HKDF(SHA512(), 32, salt=None, info=info).derive(isk)
