"""RTCP sender and receiver reports (RFC 3550 section 6.4), and what they say of the round trip.

A compound packet holds several; `parse` returns the reports among them and
leaves the other kinds out (descriptions, farewells, feedback). It raises
`MalformedRtp`, and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tincan.audio.rtp import MAX_PACKET, MalformedRtp
from tincan.errors import UsageError

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201
MAX_BLOCKS: Final = 31

_VERSION: Final = 2
_HEADER: Final = struct.Struct("!BBH")
_SENDER: Final = struct.Struct("!QIII")
_BLOCK: Final = struct.Struct("!IIIIII")
_1900: Final = 2_208_988_800
"""Seconds between the epochs of NTP and Unix."""
_ABSURD: Final = 60.0
"""Seconds; a longer round trip is a mistake, or a lie."""


@dataclass(frozen=True)
class ReportBlock:
    """What one end says about what it receives from a source (section 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """In 256ths, since the last report."""
    cumulative_lost: int
    """Since the beginning; negative with duplicates. 24 bits."""
    highest_sequence: int
    """With the number of wraps in the upper 16 bits."""
    jitter: int
    """In samples."""
    last_report: int = 0
    """The middle 32 bits of the NTP time of the last sender report; 0: none came."""
    delay: int = 0
    """Since then, in 65536ths of a second."""

    @property
    def loss(self) -> float:
        """The share of packets lost since the last report, 0 to 1."""
        return self.fraction_lost / 256


@dataclass(frozen=True)
class SenderInfo:
    """What a sender says of its own stream: when (64-bit NTP), at which timestamp, and how much so far."""

    ntp: int
    timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True)
class Report:
    """A sender report, or with ``sender`` None a receiver report."""

    ssrc: int
    sender: SenderInfo | None = None
    blocks: tuple[ReportBlock, ...] = ()


def pack(reports: Sequence[Report]) -> bytes:
    """Return a compound packet; raise `UsageError` for numbers that do not fit."""
    return b"".join(map(_pack_one, reports))


def parse(data: bytes) -> tuple[Report, ...]:
    """Return the reports in a compound packet; raise `MalformedRtp`."""
    if not data or len(data) > MAX_PACKET:
        raise MalformedRtp(f"The peer sent an RTCP packet of {len(data)} bytes.")
    found = []
    at = 0
    while at < len(data):
        if at + _HEADER.size > len(data):
            raise MalformedRtp("The peer sent an RTCP packet that is cut off.")
        first, kind, words = _HEADER.unpack_from(data, at)
        end = at + 4 * (words + 1)
        if first >> 6 != _VERSION or end > len(data):
            raise MalformedRtp("The peer sent an RTCP packet of a wrong version or length.")
        if kind in (SENDER_REPORT, RECEIVER_REPORT):
            found.append(_parse_one(data[at + _HEADER.size : end], kind, first & 0x1F))
        at = end
    return tuple(found)


def ntp_time(unix: float) -> int:
    """Return seconds since 1970 as a 64-bit NTP time."""
    return int((unix + _1900) * (1 << 32)) & (1 << 64) - 1


def middle(ntp: int) -> int:
    """Return the middle 32 bits of an NTP time: 65536ths of a second."""
    return ntp >> 16 & 0xFFFFFFFF


def round_trip(block: ReportBlock, ntp: int) -> float | None:
    """Return the seconds to the peer and back, from a block that came at ``ntp`` (section 6.4.1); None: unknown.

    Clocks tick in 65536ths here, so a tiny round trip may come out a little
    below 0; that is 0.
    """
    if not block.last_report:
        return None
    ticks = (middle(ntp) - block.last_report - block.delay) & 0xFFFFFFFF
    if ticks >= 1 << 31:
        ticks -= 1 << 32
    seconds = ticks / 65536
    return max(0.0, seconds) if -0.01 <= seconds <= _ABSURD else None


def _pack_one(report: Report) -> bytes:
    if len(report.blocks) > MAX_BLOCKS:
        raise UsageError(f"A report has at most {MAX_BLOCKS} blocks.")
    try:
        body = struct.pack("!I", report.ssrc)
        if report.sender is not None:
            sender = report.sender
            body += _SENDER.pack(
                sender.ntp, sender.timestamp, sender.packets & 0xFFFFFFFF, sender.octets & 0xFFFFFFFF
            )
        body += b"".join(map(_pack_block, report.blocks))
    except struct.error as exc:
        raise UsageError("A number is too large for an RTCP report.") from exc
    kind = RECEIVER_REPORT if report.sender is None else SENDER_REPORT
    return _HEADER.pack(_VERSION << 6 | len(report.blocks), kind, len(body) // 4) + body


def _pack_block(block: ReportBlock) -> bytes:
    lost = max(-(1 << 23), min((1 << 23) - 1, block.cumulative_lost)) & 0xFFFFFF
    if not 0 <= block.fraction_lost <= 255:
        raise UsageError("A fraction is 0 to 255.")
    return _BLOCK.pack(
        block.ssrc,
        block.fraction_lost << 24 | lost,
        block.highest_sequence & 0xFFFFFFFF,
        min(block.jitter, 0xFFFFFFFF),
        block.last_report,
        min(block.delay, 0xFFFFFFFF),
    )


def _parse_one(body: bytes, kind: int, count: int) -> Report:
    at = 4 + (_SENDER.size if kind == SENDER_REPORT else 0)
    if len(body) < at + count * _BLOCK.size:
        raise MalformedRtp("The peer sent an RTCP report that is shorter than it says.")
    [ssrc] = struct.unpack_from("!I", body)
    sender = SenderInfo(*_SENDER.unpack_from(body, 4)) if kind == SENDER_REPORT else None
    blocks = [_parse_block(body, at + n * _BLOCK.size) for n in range(count)]
    return Report(ssrc, sender, tuple(blocks))


def _parse_block(body: bytes, at: int) -> ReportBlock:
    ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(body, at)
    cumulative = lost & 0xFFFFFF
    if cumulative >= 1 << 23:
        cumulative -= 1 << 24
    return ReportBlock(ssrc, lost >> 24, cumulative, highest, jitter, last, delay)
