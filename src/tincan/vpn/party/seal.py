"""Letters: messages that only a circle can read, each signed by its sender. Pure but for the keys that HPKE draws.

A *circle* is whoever shares a secret of 32 random bytes: a group, or two
friends. Published constructions only:

* topic and key of a day: HKDF-Expand with SHA-256 (RFC 5869) of the secret, so
  that whoever carries letters sees topics that change daily and that he can
  neither link to a circle nor to each other;
* a letter: ChaCha20-Poly1305 (RFC 8439) under the key of the day, a random
  nonce of 96 bits (a day sees far fewer than the 2^32 letters for which that
  is safe), the topic as associated data, padded to a power of two;
* inside, the sender's Ed25519 signature (RFC 8032) over topic, sender,
  recipient, time, number and body: members cannot speak for each other;
* for one recipient, the body is sealed to it by HPKE (RFC 9180, base mode,
  X25519, HKDF-SHA256, ChaCha20-Poly1305). The sender is part of its ``info``,
  so nobody can take a body out and send it as his own;
* `ReplayGuard` for what is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tincan.vpn.party.keys import Keys, PublicKeys, verified
from tincan.vpn.party.line import MAX_MESSAGE
from tincan.vpn.party.replay import WINDOW, ReplayGuard

DAY: Final = 86_400
OVERLAP: Final = 3_600
"""Seconds around midnight (UTC) in which both days' topics are heard: clocks differ."""

SECRET_BYTES: Final = 32
SMALLEST: Final = 512
"""Bytes of the shortest letter on the line."""

MAX_PAYLOAD: Final = MAX_MESSAGE - 512
"""Bytes that fit into a letter."""

MAX_AHEAD: Final = 16

_NONCE: Final = 12
_TAG: Final = 16
_LABEL: Final = b"tin-can/1 party letter"

_suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)

_Key = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]


class _Letter(msgspec.Struct, frozen=True, array_like=True):
    """What is inside the seal."""

    sender: _Key
    to: Annotated[bytes, msgspec.Meta(max_length=32)]
    """The recipient's signing key; empty: everybody in the circle."""

    written: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """Milliseconds since the epoch."""

    number: Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
    body: bytes
    signature: Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]


@dataclass(frozen=True)
class Letter:
    """A letter that was opened: authentic, and new."""

    circle: str
    sender: bytes
    """The Ed25519 key that signed it. Whether its owner belongs to the circle is for the reader to know."""

    private: bool
    """For us alone."""

    payload: bytes


@dataclass(frozen=True)
class _Day:
    circle: str
    key: bytes


class Letters:
    """Seals and opens letters of some circles. Times are seconds since the epoch."""

    def __init__(self, keys: Keys, random: Callable[[int], bytes]) -> None:
        self._keys = keys
        self.public = keys.public
        self._random = random
        self._circles: dict[str, bytes] = {}
        self._guard = ReplayGuard()
        self.ahead: dict[bytes, float] = {}
        """Senders whose clocks are so far ahead of ours, in seconds, that their letters are refused. Those who
        are behind cannot be told from somebody who repeats old letters."""
        self._heard: tuple[frozenset[int], dict[str, _Day]] = (frozenset(), {})

    def set_circles(self, circles: Mapping[str, bytes]) -> None:
        """Say which circles there are, by a name of one's own, and their secrets."""
        if circles == self._circles:
            return
        self._circles = dict(circles)
        self._heard = (frozenset(), {})

    def topics(self, now: float) -> frozenset[str]:
        """Return the topics to be on."""
        return frozenset(self._days(now))

    def seal(self, circle: str, payload: bytes, now: float, to: PublicKeys | None = None) -> tuple[str, bytes]:
        """Return the topic to send to, and the letter. `ValueError` for a payload that is too long."""
        if len(payload) > MAX_PAYLOAD:
            raise ValueError("payload too long for a letter")
        secret, day = self._circles[circle], int(now) // DAY
        topic = topic_of(secret, day)
        number, written, sender = self._random(16), int(now * 1000), self.public.sign
        recipient = b""
        if to is not None:
            recipient = to.sign
            info = _info(topic, sender, recipient, number)
            payload = _suite.encrypt(payload, X25519PublicKey.from_public_bytes(to.box), info)
        signature = self._keys.signer.sign(_to_sign(topic, sender, recipient, written, number, payload))
        plain = msgspec.msgpack.encode(_Letter(sender, recipient, written, number, payload, signature))
        nonce = self._random(_NONCE)
        sealed = ChaCha20Poly1305(_key_of(secret, day)).encrypt(nonce, _pad(plain), topic.encode())
        return topic, nonce + sealed

    def open(self, topic: str, message: bytes, now: float) -> Letter | None:
        """Return what is in a letter; None for anything else, of which a line may be full."""
        day = self._days(now).get(topic)
        if day is None or not _NONCE + _TAG < len(message) <= MAX_MESSAGE:
            return None
        try:
            padded = ChaCha20Poly1305(day.key).decrypt(message[:_NONCE], message[_NONCE:], topic.encode())
            letter = msgspec.msgpack.decode(_unpad(padded), type=_Letter)
        except (InvalidTag, ValueError, RecursionError):  # msgspec's errors are ValueErrors
            return None
        if letter.sender == self.public.sign or letter.to not in (b"", self.public.sign):
            return None
        signed = _to_sign(topic, letter.sender, letter.to, letter.written, letter.number, letter.body)
        if not verified(letter.sender, letter.signature, signed):
            return None
        if letter.written / 1000 > now + WINDOW and len(self.ahead) < MAX_AHEAD:
            self.ahead.setdefault(letter.sender, letter.written / 1000 - now)
        if not self._guard.admit(letter.sender, letter.number, letter.written / 1000, now):
            return None
        payload = letter.body
        if letter.to:
            info = _info(topic, letter.sender, letter.to, letter.number)
            try:
                payload = _suite.decrypt(payload, self._keys.opener, info)
            except (InvalidTag, ValueError):
                return None
        return Letter(day.circle, letter.sender, bool(letter.to), payload)

    def _days(self, now: float) -> dict[str, _Day]:
        days = frozenset(int(max(0.0, now + shift)) // DAY for shift in (-OVERLAP, 0, OVERLAP))
        if self._heard[0] != days:
            found = {
                topic_of(secret, day): _Day(name, _key_of(secret, day))
                for name, secret in self._circles.items()
                for day in days
            }
            self._heard = (days, found)
        return self._heard[1]


def topic_of(secret: bytes, day: int) -> str:
    """Return the topic of a circle on a day (counted from the epoch)."""
    return _expand(secret, b"tin-can/1 party topic", day, 16).hex()


def _key_of(secret: bytes, day: int) -> bytes:
    return _expand(secret, b"tin-can/1 party key", day, 32)


def _expand(secret: bytes, label: bytes, day: int, length: int) -> bytes:
    return HKDFExpand(SHA256(), length, label + day.to_bytes(8, "big")).derive(secret)


def _info(topic: str, sender: bytes, recipient: bytes, number: bytes) -> bytes:
    return _LABEL + topic.encode() + sender + recipient + number


def _to_sign(topic: str, sender: bytes, to: bytes, written: int, number: bytes, body: bytes) -> bytes:
    return _LABEL + msgspec.msgpack.encode((topic, sender, to, written, number, body))


def _pad(plain: bytes) -> bytes:
    """Pad so that the letter on the line has a power of two of bytes (padding of ISO/IEC 7816-4)."""
    size = SMALLEST
    while size - _NONCE - _TAG < len(plain) + 1:
        size *= 2
    return (plain + b"\x80").ljust(min(size, MAX_MESSAGE) - _NONCE - _TAG, b"\0")


def _unpad(padded: bytes) -> bytes:
    plain, mark, zeros = padded.rpartition(b"\x80")
    if not mark or zeros.strip(b"\0"):
        raise ValueError("not padded")
    return plain
