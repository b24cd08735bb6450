"""Two words on both screens that agree only if nobody is in the middle. Pure.

The construction is the numeric comparison of Bluetooth's Secure Simple
Pairing (Core Specification 5.4, volume 2, part H, section 7.2.1), with the
fingerprints of both DTLS certificates in the place of the public keys; its
three messages are those of Laur and Nyberg, "Efficient mutual data
authentication using manually authenticated strings" (CANS 2006), which has
the proof. ZRTP's hash commitment (RFC 6189 section 4.4.1) is of the same kind.
Over the encrypted channel::

    offering side                                   answering side
      commit(HMAC-SHA-256(No; label, Fo, Fa))  ----------->
                                               <-----------   nonce(Na)
      reveal(No)                               ----------->   checks the commitment

    words = HKDF-SHA-256(key material No | Na, info label, Fo, Fa), 16 bytes, modulo 1,296 squared

Na and No are 32 random bytes, Fo and Fa the certificates' SHA-256 as each
side sees them: its own, and the one that DTLS checked the other's against.

Somebody who replaced both descriptions has two links with fingerprints of his
own, and must choose his nonce on each before he learns the honest one: the
offering side's is hidden by its commitment until he has sent his, and his own
commitment binds him before the answering side's is sent. So the two pairs are
independent, and equal once in 1,679,616 tries, each of which the users would
see. HMAC under a key of fixed length hides (it is pseudorandom) and binds
(SHA-256 is collision resistant).
"""

from __future__ import annotations

import hmac
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tincan.errors import AuthenticationFailed
from tincan.meet.phrase import words

NONCE: Final = 32
LABEL: Final = b"tin-can/1 static words "

_Bytes = Annotated[bytes, msgspec.Meta(min_length=NONCE, max_length=NONCE)]

_CHEATED: Final = (
    "The other side did not keep to the comparison of words, so the string was cut. "
    "Somebody may be in the middle: make a new offer, and send it another way."
)


class Commit(msgspec.Struct, frozen=True, tag="commit", tag_field="kind"):
    """The offering side is bound to a nonce that it does not show yet."""

    commitment: _Bytes


class Nonce(msgspec.Struct, frozen=True, tag="nonce", tag_field="kind"):
    """The answering side's nonce."""

    nonce: _Bytes


class Reveal(msgspec.Struct, frozen=True, tag="reveal", tag_field="kind"):
    """The nonce of the commitment."""

    nonce: _Bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Commit | Nonce | Reveal)


class WordPair:
    """One side of the comparison. Send what `data_to_send` returns, `receive` until `pair` is there.

    ``nonce``: 32 fresh random bytes. `receive` raises `AuthenticationFailed`;
    it is over then.
    """

    def __init__(self, *, offers: bool, offering: bytes, answering: bytes, nonce: bytes) -> None:
        """``offering``, ``answering``: the fingerprints of the two sides."""
        if len(nonce) != NONCE or len(offering) != len(answering):
            raise ValueError("a nonce has 32 bytes, and fingerprints are of one kind")
        self.pair: str | None = None
        self._offers = offers
        self._bound = LABEL + offering + answering
        self._nonce = nonce
        self._commitment: bytes | None = None
        self._over = False
        self._out: list[bytes] = []
        if offers:
            self._out.append(_encoder.encode(Commit(commitment_to(nonce, self._bound))))

    def data_to_send(self) -> list[bytes]:
        """Return the messages to send now, in order."""
        out, self._out = self._out, []
        return out

    def receive(self, message: bytes) -> None:
        """Take the peer's next message."""
        try:
            frame = _decoder.decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            frame = None
        match frame:
            case Commit() if not self._offers and self._commitment is None and not self._over:
                self._commitment = frame.commitment
                self._out.append(_encoder.encode(Nonce(self._nonce)))
            case Nonce() if self._offers and not self._over:
                self._over = True
                self._out.append(_encoder.encode(Reveal(self._nonce)))
                self.pair = word_pair(self._nonce, frame.nonce, self._bound)
            case Reveal() if self._commitment is not None and not self._over:
                self._over = True
                if not hmac.compare_digest(commitment_to(frame.nonce, self._bound), self._commitment):
                    raise AuthenticationFailed(_CHEATED)
                self.pair = word_pair(frame.nonce, self._nonce, self._bound)
            case _:
                self._over = True
                raise AuthenticationFailed(_CHEATED)


def commitment_to(nonce: bytes, bound: bytes) -> bytes:
    """Return what binds the offering side to its nonce."""
    return hmac.digest(nonce, bound, "sha256")


def word_pair(offering: bytes, answering: bytes, bound: bytes) -> str:
    """Return the two words for two nonces, such as ``guitar banana``."""
    # 128 bits modulo 1,296 squared: no pair is likelier than another by more than 2**-107.
    number = int.from_bytes(HKDF(SHA256(), 16, salt=None, info=bound).derive(offering + answering), "big")
    count = len(words())
    return f"{words()[number // count % count]} {words()[number % count]}"
