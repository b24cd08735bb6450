"""The URLs of tin-can's own static link: an offer and an answer without any server. Pure.

``tin-can:1#o=DATA`` and ``tin-can:1#a=DATA``: DATA is URL-safe base64 without
padding of one MessagePack array (`_Packed`) and the first 4 bytes of its
SHA-256, so that a character lost in copying is told as such. It holds what a
session description would say and no more: 300 characters where the classic
form takes thousands, so it fits into a line of a terminal and a QR code.

An answer names the offer that it answers. Nothing in here is secret but the
ICE password, and nothing is authentic: that is the business of
`tincan.apps.dialects.word_pair` and of the phrase.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from tincan.apps.dialects.pasted import DAMAGED, Kind, Pasted
from tincan.errors import ProtocolError
from tincan.link import description
from tincan.link.description import MAX_CANDIDATES, TYPES, Candidate, Description

PREFIX: Final = "tin-can:1"

CHECK: Final = 4
"""Bytes of the SHA-256 at the end, and of the one that names an offer."""

_Address = Annotated[bytes, msgspec.Meta(min_length=4, max_length=16)]
_Name = Annotated[bytes, msgspec.Meta(max_length=CHECK)]


class _PackedCandidate(msgspec.Struct, frozen=True, array_like=True):
    kind: Annotated[int, msgspec.Meta(ge=0, lt=len(TYPES))]
    address: _Address
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)]
    priority: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    ufrag: str
    pwd: str
    fingerprint: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    sealed: bool
    answers: _Name
    candidates: Annotated[tuple[_PackedCandidate, ...], msgspec.Meta(max_length=MAX_CANDIDATES)]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


@dataclass(frozen=True)
class StaticDescription:
    """What one side of a static link tells the other."""

    kind: Kind
    description: Description
    sealed: bool
    """Whether its user gave a phrase, so that nobody waits for a comparison of words."""

    answers: bytes = b""
    """The `name` of the offer that is answered; empty in an offer."""

    @property
    def name(self) -> bytes:
        """A few bytes that tell this offer from others. No protection against anybody."""
        return hashlib.sha256(_pack(self)).digest()[:CHECK]


def url(static: StaticDescription) -> str:
    """Return the URL to hand to the other side."""
    body = _pack(static)
    data = base64.urlsafe_b64encode(body + hashlib.sha256(body).digest()[:CHECK]).decode().rstrip("=")
    return f"{PREFIX}#{static.kind.letter}={data}"


def read_pasted(pasted: Pasted, kind: Kind) -> StaticDescription:
    """Read the content of a text of our own form; raise `ProtocolError` unless it is a good one of ``kind``."""
    body = _checked(pasted.data)
    if pasted.kind is not None:
        kind.check(pasted.kind)
    try:
        packed = _decoder.decode(body)
        candidates = tuple(_unpack(number, c) for number, c in enumerate(packed.candidates))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise ProtocolError("This URL was made by another version of tin-can; update the older one.") from None
    found = Description(packed.ufrag, packed.pwd, packed.fingerprint, candidates, complete=True)
    checked = description.decode(description.encode(found))  # the one door for descriptions
    assert isinstance(checked, Description)  # noqa: S101 - that is what was encoded
    return StaticDescription(kind, checked, packed.sealed, packed.answers)


def is_whole(pasted: Pasted) -> bool:
    """Whether nothing of it is missing."""
    try:
        _checked(pasted.data)
    except ProtocolError:
        return False
    return True


def _checked(data: bytes) -> bytes:
    body, check = data[:-CHECK], data[-CHECK:]
    if not body or hashlib.sha256(body).digest()[:CHECK] != check:
        raise ProtocolError(DAMAGED)
    return body


def _pack(static: StaticDescription) -> bytes:
    d = static.description
    candidates = tuple(
        _PackedCandidate(TYPES.index(c.kind), ipaddress.ip_address(c.address).packed, c.port, c.priority)
        for c in d.candidates
    )
    return _encoder.encode(_Packed(d.ufrag, d.pwd, d.fingerprint, static.sealed, static.answers, candidates))


def _unpack(number: int, packed: _PackedCandidate) -> Candidate:
    # A foundation (RFC 8445 section 5.1.1.3) only tells candidates of one origin from others: a number does.
    address = str(ipaddress.ip_address(packed.address))
    return Candidate(TYPES[packed.kind], address, packed.port, str(number + 1), packed.priority)
