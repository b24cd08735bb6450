"""RTP packets (RFC 3550 section 5.1) with header extensions (RFC 8285), and the audio level (RFC 6464).

`parse` takes what a peer sent and raises `MalformedRtp`, nothing else. What
is not needed here is checked and left out: contributing sources, padding.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Final

from tincan.errors import ProtocolError, UsageError

MAX_PACKET: Final = 1500
"""Bytes in a packet; longer ones do not go through the internet in one piece."""

_HEADER: Final = struct.Struct("!BBHII")
_VERSION: Final = 2
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_MARKER: Final = 0x80
_ONE_BYTE: Final = 0xBEDE
_TWO_BYTES: Final = 0x100
"""Upper 12 bits of the profile word; the lower 4 are the application's (RFC 8285 section 4.3)."""
_RESERVED_ID: Final = 15


class MalformedRtp(ProtocolError):
    """Bytes that are no RTP or RTCP packet, or one that contradicts itself."""


@dataclass(frozen=True)
class Packet:
    """One RTP packet. ``extensions``: header extensions by their id, 1 to 14."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    """On the first packet after a pause (RFC 3551 section 4.1)."""
    extensions: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class AudioLevel:
    """How loud a packet is: 0 to 127 dB below the loudest. ``voice``: the sender thinks that somebody speaks."""

    below: int
    voice: bool


def pack(packet: Packet) -> bytes:
    """Return a packet's bytes; raise `UsageError` for numbers that do not fit."""
    body = _pack_extensions(packet.extensions)
    try:
        header = _HEADER.pack(
            _VERSION << 6 | (_EXTENSION if body else 0),
            (_MARKER if packet.marker else 0) | _seven_bits(packet.payload_type),
            packet.sequence,
            packet.timestamp,
            packet.ssrc,
        )
    except struct.error as exc:
        raise UsageError("A number is too large for an RTP packet.") from exc
    return header + body + packet.payload


def parse(data: bytes) -> Packet:
    """Return the packet; raise `MalformedRtp`."""
    if not _HEADER.size <= len(data) <= MAX_PACKET:
        raise MalformedRtp(f"The peer sent an RTP packet of {len(data)} bytes.")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != _VERSION:
        raise MalformedRtp("The peer sent an RTP packet of an unknown version.")
    begin = _HEADER.size + 4 * (first & 0x0F)
    end = len(data)
    extensions: dict[int, bytes] = {}
    if first & _EXTENSION:
        if begin + 4 > end:
            raise MalformedRtp("The peer sent an RTP packet whose header is cut off.")
        profile, words = struct.unpack_from("!HH", data, begin)
        begin += 4 + 4 * words
        if begin > end:
            raise MalformedRtp("The peer sent an RTP packet whose header extension is cut off.")
        extensions = _parse_extensions(profile, data[begin - 4 * words : begin])
    if first & _PADDING:
        end -= data[-1]
        if data[-1] == 0:
            raise MalformedRtp("The peer sent an RTP packet with wrong padding.")
    if begin > end:
        raise MalformedRtp("The peer sent an RTP packet that is shorter than it says.")
    return Packet(second & 0x7F, sequence, timestamp, ssrc, data[begin:end], bool(second & _MARKER), extensions)


def pack_level(level: AudioLevel) -> bytes:
    """Return the data of an audio level extension."""
    return bytes([(_MARKER if level.voice else 0) | _seven_bits(level.below)])


def parse_level(data: bytes) -> AudioLevel:
    """Return the audio level; raise `MalformedRtp`. The two-byte form may have a byte of padding."""
    if not 1 <= len(data) <= 2:
        raise MalformedRtp("The peer sent an audio level that is not one byte.")
    return AudioLevel(data[0] & 0x7F, bool(data[0] & _MARKER))


def _seven_bits(value: int) -> int:
    if not 0 <= value < _MARKER:
        raise UsageError("A payload type or an audio level has 7 bits.")
    return value


def _pack_extensions(extensions: dict[int, bytes]) -> bytes:
    if not extensions:
        return b""
    body = bytearray()
    for number, value in extensions.items():
        if not 1 <= number < _RESERVED_ID or not 1 <= len(value) <= 16:
            raise UsageError("A header extension has an id from 1 to 14 and 1 to 16 bytes.")
        body.append(number << 4 | len(value) - 1)
        body += value
    body += bytes(-len(body) % 4)
    return struct.pack("!HH", _ONE_BYTE, len(body) // 4) + body


def _parse_extensions(profile: int, body: bytes) -> dict[int, bytes]:
    """RFC 8285 sections 4.2 and 4.3; extensions of other profiles are nobody's business here."""
    one_byte = profile == _ONE_BYTE
    if not one_byte and profile >> 4 != _TWO_BYTES:
        return {}
    found: dict[int, bytes] = {}
    at = 0
    while at < len(body):
        if body[at] == 0:  # padding
            at += 1
            continue
        if one_byte:
            number, length = body[at] >> 4, (body[at] & 0x0F) + 1
            if number == _RESERVED_ID:  # "processing stops"
                break
            at += 1
        else:
            if at + 2 > len(body):
                raise MalformedRtp("The peer sent a header extension that is cut off.")
            number, length = body[at], body[at + 1]
            at += 2
        if at + length > len(body):
            raise MalformedRtp("The peer sent a header extension that is cut off.")
        found[number] = body[at : at + length]
        at += length
    return found
