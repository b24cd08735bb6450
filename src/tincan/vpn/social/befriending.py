"""How two become friends, over a link that a phrase has authenticated. Pure; `tincan.vpn.social.meeting` drives it.

::

    card(keys, nonce)     <->     card(keys, nonce)
    proof(signature)      <->     proof(signature)      over both cards, and the channel
    answer(yes)           <->     answer(yes)           when the user has said so
    kept                  <->     kept                  it is in the file

The phrase says who is at the other end. The proof says that whoever it is
has the private key: else somebody could hand in another one's public keys as
his own. It is bound to the channel (RFC 5056), or he could carry Bob's proof
from another channel, in which Bob takes him for somebody else. Nothing is kept
before both users have agreed.
"""

from __future__ import annotations

import enum
import logging
from typing import Annotated, Final

import msgspec

from tincan.errors import AuthenticationFailed, PeerRefused, ProtocolError
from tincan.identity import KEY, SIGNATURE, Identity, PublicIdentity

logger = logging.getLogger(__name__)

MAX_FRAME: Final = 1024
_LABEL: Final = b"tin-can friend 1"
_NONCE: Final = 32

_Key = Annotated[bytes, msgspec.Meta(min_length=KEY, max_length=KEY)]


class Card(msgspec.Struct, frozen=True, tag="card", tag_field="kind"):
    """Somebody's public keys, and a number that nobody has seen before."""

    signing: _Key
    agreeing: _Key
    nonce: Annotated[bytes, msgspec.Meta(min_length=_NONCE, max_length=_NONCE)]


class Proof(msgspec.Struct, frozen=True, tag="proof", tag_field="kind"):
    """A signature over the channel's binding, the signer's card and then the other one's."""

    signature: Annotated[bytes, msgspec.Meta(min_length=SIGNATURE, max_length=SIGNATURE)]


class Answer(msgspec.Struct, frozen=True, tag="answer", tag_field="kind"):
    """What the user has said."""

    yes: bool


class Kept(msgspec.Struct, frozen=True, tag="kept", tag_field="kind"):
    """The friend is in the file."""


_decoder = msgspec.msgpack.Decoder(Card | Proof | Answer | Kept)
_encoder = msgspec.msgpack.Encoder()


class State(enum.Enum):
    """How far the other one has come."""

    GREETED = "its card is awaited"
    SHOWN = "its proof is awaited"
    PROVEN = "its answer is awaited"
    AGREED = "it has agreed"
    KEPT = "it has kept us"


class Befriending:
    """One side. Call `receive` with each frame, and send what `data_to_send` returns after each call.

    ``binding``: what both ends of this channel, and of no other one, know to be the same.
    """

    def __init__(self, identity: Identity, nonce: bytes, binding: bytes) -> None:
        self.state = State.GREETED
        self.peer: PublicIdentity | None = None
        """Who the other one is, once it has proven that; until then not to be believed."""
        self._identity = identity
        self._binding = binding
        self._card = Card(identity.public.signing, identity.public.agreeing, nonce)
        self._theirs: Card | None = None
        self._answered: bool | None = None
        self._out: list[bytes] = [_encoder.encode(self._card)]

    def data_to_send(self) -> list[bytes]:
        """Return the frames to send now."""
        out, self._out = self._out, []
        return out

    def receive(self, frame: bytes) -> None:
        """Take a frame. Raises `PeerRefused` for a no, `AuthenticationFailed` for a false proof, `ProtocolError`."""
        try:
            if len(frame) > MAX_FRAME:
                raise ValueError("too long")
            said = _decoder.decode(frame)
        except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
            raise ProtocolError("The other can said something that cannot be read; update the older one.") from None
        match (self.state, said):
            case (State.GREETED, Card()):
                self._take_card(said)
            case (State.SHOWN, Proof()):
                self._take_proof(said)
            case (State.PROVEN, Answer(yes=True)):
                self._become(State.AGREED)
            case (State.PROVEN, Answer(yes=False)):
                raise PeerRefused("The other one said no; neither of you has kept anything.")
            case (State.AGREED, Kept()) if self._answered:
                self._become(State.KEPT)
            case _:
                raise ProtocolError("The other can said something out of turn; update the older one.")

    def answer(self, yes: bool) -> None:
        """Say what the user has said, once `peer` is known."""
        if self.peer is None or self._answered is not None:
            raise RuntimeError("there is nothing to answer")
        self._answered = yes
        self._out.append(_encoder.encode(Answer(yes)))

    def keep(self) -> None:
        """Say that the friend is in the file, once both have agreed."""
        if self.state is not State.AGREED or not self._answered:
            raise RuntimeError("not both have agreed")
        self._out.append(_encoder.encode(Kept()))

    def _take_card(self, card: Card) -> None:
        if card.signing == self._card.signing or card.agreeing == self._card.agreeing:
            # Also what somebody in between would do who only hands back what he gets.
            raise AuthenticationFailed("The other one shows your own keys: this is the same user's tin-can.")
        self._theirs = card
        self._out.append(_encoder.encode(Proof(self._identity.sign(to_sign(self._binding, self._card, card)))))
        self._become(State.SHOWN)

    def _take_proof(self, proof: Proof) -> None:
        assert self._theirs is not None  # noqa: S101 - our own states, no input
        public = PublicIdentity(self._theirs.signing, self._theirs.agreeing)
        if not public.verify(proof.signature, to_sign(self._binding, self._theirs, self._card)):
            raise AuthenticationFailed("The other one has shown keys that are not its own. Do not trust it.")
        try:
            self._identity.secret_with(public)
        except ValueError:
            raise AuthenticationFailed("The other one has shown a key that is none. Do not trust it.") from None
        self.peer = public
        self._become(State.PROVEN)

    def _become(self, state: State) -> None:
        logger.debug("befriending: %s -> %s", self.state.value, state.value)
        self.state = state


def to_sign(binding: bytes, signer: Card, other: Card) -> bytes:
    """Return what a proof is a signature of."""
    cards = [part for c in (signer, other) for part in (c.signing, c.agreeing, c.nonce)]
    return b"".join((_LABEL, *cards, binding))  # all but the last have one length
