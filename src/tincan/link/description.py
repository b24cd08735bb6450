"""What two cans tell each other to make a link: offer, answer and late candidates.

These are the payloads of the sealed envelopes (`tincan.meet.handshake`). The
fields are those of a WebRTC session description (RFC 8839, RFC 8122) without
the session description's text around them. Everything decoded here comes from
a peer that knows the phrase, and is still checked: `decode` is the only door.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from tincan.errors import ProtocolError
from tincan.nat.addresses import usable_remote

MAX_CANDIDATES: Final = 40
"""Candidates of one peer in all. Each costs connectivity checks against every local one."""

LOWEST_PORT: Final = 1024
"""Nobody's ICE socket is below; services of the networks we are in are (libwebrtc refuses these too)."""

TYPES: Final = ("host", "srflx", "relay")

_ICE_TEXT = re.compile(r"[A-Za-z0-9+/]{4,256}")
_Foundation = Annotated[str, msgspec.Meta(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9+/]+\Z")]
_Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class Candidate(msgspec.Struct, frozen=True, array_like=True):
    """One ICE candidate over UDP, component 1 (RFC 8445 section 5.1)."""

    kind: str
    """``host``, ``srflx`` or ``relay``."""

    address: str
    port: _Port
    foundation: _Foundation
    priority: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class Description(msgspec.Struct, frozen=True, tag="description", tag_field="kind"):
    """An offer (from the tapping can) or an answer (from the attaching one)."""

    ufrag: Annotated[str, msgspec.Meta(min_length=4, max_length=256)]
    pwd: Annotated[str, msgspec.Meta(min_length=22, max_length=256)]
    fingerprint: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    """SHA-256 of the sender's DTLS certificate."""

    candidates: Annotated[tuple[Candidate, ...], msgspec.Meta(max_length=MAX_CANDIDATES)]
    complete: bool
    """Whether no more candidates follow."""


class MoreCandidates(msgspec.Struct, frozen=True, tag="candidates", tag_field="kind"):
    """Candidates that were found later (RFC 8838)."""

    candidates: Annotated[tuple[Candidate, ...], msgspec.Meta(max_length=MAX_CANDIDATES)]
    complete: bool


@dataclass(frozen=True)
class Unknown:
    """A payload of a kind this version does not know; ignored."""


_decoder = msgspec.msgpack.Decoder(Description | MoreCandidates)
_encoder = msgspec.msgpack.Encoder()
_kind = msgspec.msgpack.Decoder(dict[str, msgspec.Raw])


def encode(payload: Description | MoreCandidates) -> bytes:
    """Return the bytes to seal."""
    return _encoder.encode(payload)


def decode(data: bytes) -> Description | MoreCandidates | Unknown:
    """Read a payload from the peer; raise `ProtocolError` when it has the wrong form."""
    try:
        payload: Description | MoreCandidates = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        if _of_unknown_kind(data):
            return Unknown()
        raise ProtocolError("The other can sent an offer that cannot be read; update the older one.") from None
    if isinstance(payload, Description) and not (
        _ICE_TEXT.fullmatch(payload.ufrag) and _ICE_TEXT.fullmatch(payload.pwd)
    ):
        raise ProtocolError("The other can sent ICE credentials that are not allowed.")
    return payload


def acceptable(candidates: Iterable[Candidate], *, loopback: bool) -> list[Candidate]:
    """Return the candidates that checks may be sent to; the others are left out silently.

    One useless candidate is no reason to refuse a peer: it may have networks
    that we know nothing of.
    """
    return [
        c
        for c in candidates
        if c.kind in TYPES and c.port >= LOWEST_PORT and usable_remote(c.address, loopback=loopback)
    ]


def _of_unknown_kind(data: bytes) -> bool:
    try:
        kind = msgspec.msgpack.decode(_kind.decode(data)["kind"], type=str)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError):
        return False
    return kind not in {"description", "candidates"}
