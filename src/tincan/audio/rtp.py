"""RTP packets (RFC 3550 section 5.1).

`parse` takes what a peer sent and raises `MalformedRtp`, nothing else. What
is not needed here is left out: contributing sources, header extensions, padding.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from tincan.errors import ProtocolError, UsageError

MAX_PACKET: Final = 1500
"""Bytes in a packet; longer ones do not go through the internet in one piece."""

_HEADER: Final = struct.Struct("!BBHII")
_VERSION: Final = 2
_PADDING: Final = 0x20
_EXTENSION: Final = 0x10
_MARKER: Final = 0x80


class MalformedRtp(ProtocolError):
    """Bytes that are no RTP or RTCP packet, or one that contradicts itself."""


@dataclass(frozen=True)
class Packet:
    """One RTP packet."""

    payload_type: int
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes
    marker: bool = False
    """On the first packet after a pause (RFC 3551 section 4.1)."""


def pack(packet: Packet) -> bytes:
    """Return a packet's bytes; raise `UsageError` for numbers that do not fit."""
    try:
        header = _HEADER.pack(
            _VERSION << 6,
            (_MARKER if packet.marker else 0) | _seven_bits(packet.payload_type),
            packet.sequence,
            packet.timestamp,
            packet.ssrc,
        )
    except struct.error as exc:
        raise UsageError("A number is too large for an RTP packet.") from exc
    return header + packet.payload


def parse(data: bytes) -> Packet:
    """Return the packet; raise `MalformedRtp`."""
    if not _HEADER.size <= len(data) <= MAX_PACKET:
        raise MalformedRtp(f"The peer sent an RTP packet of {len(data)} bytes.")
    first, second, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
    if first >> 6 != _VERSION:
        raise MalformedRtp("The peer sent an RTP packet of an unknown version.")
    begin = _HEADER.size + 4 * (first & 0x0F)
    end = len(data)
    if first & _EXTENSION:
        if begin + 4 > end:
            raise MalformedRtp("The peer sent an RTP packet whose header is cut off.")
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4])
        if begin > end:
            raise MalformedRtp("The peer sent an RTP packet whose header extension is cut off.")
    if first & _PADDING:
        end -= data[-1]
        if data[-1] == 0:
            raise MalformedRtp("The peer sent an RTP packet with wrong padding.")
    if begin > end:
        raise MalformedRtp("The peer sent an RTP packet that is shorter than it says.")
    return Packet(second & 0x7F, sequence, timestamp, ssrc, data[begin:end], bool(second & _MARKER))


def _seven_bits(value: int) -> int:
    if not 0 <= value < _MARKER:
        raise UsageError("A payload type has 7 bits.")
    return value
