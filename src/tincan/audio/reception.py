"""What a receiver reports of one source: loss (RFC 3550 A.1, A.3) and jitter (A.8), and when a report last came."""

from __future__ import annotations

from typing import Final

from tincan.audio.pcm import RATE
from tincan.audio.rtcp import ReportBlock, SenderInfo, middle

_MAX_DROPOUT: Final = 3000
_MAX_MISORDER: Final = 100
"""Sequence numbers that may be left out or come late before it is another stream: those of A.1."""


class Reception:
    """One source, as it is received."""

    def __init__(self, ssrc: int) -> None:
        self._ssrc = ssrc
        self._begin(None)
        self._suspect: int | None = None
        self._last_report = 0
        self._reported_at = 0.0

    def _begin(self, sequence: int | None) -> None:
        self._first = self._highest = sequence or 0
        self._begun = sequence is not None
        self._received = 0
        self._expected_before = self._received_before = 0
        self._transit: float | None = None
        self._jitter = 0.0

    @property
    def jitter(self) -> float:
        """The interarrival jitter in seconds."""
        return self._jitter / RATE

    def receive(self, sequence: int, timestamp: int, now: float) -> None:
        """Take note of a packet."""
        if not self._begun:
            self._begin(sequence)
        ahead = (sequence - self._highest) & 0xFFFF
        if ahead < _MAX_DROPOUT:
            self._highest += ahead
        elif ahead <= 0x10000 - _MAX_MISORDER:
            # A wild number: two of them in a row are a sender that began again.
            if sequence != self._suspect:
                self._suspect = (sequence + 1) & 0xFFFF
                return
            self._begin(sequence)
        self._suspect = None
        self._received += 1
        self._note_jitter(timestamp, now)

    def _note_jitter(self, timestamp: int, now: float) -> None:
        transit = now * RATE - timestamp
        if self._transit is not None:
            moved = (transit - self._transit + (1 << 31)) % (1 << 32) - (1 << 31)  # timestamps wrap
            self._jitter += (min(abs(moved), RATE) - self._jitter) / 16  # a jump of the sender's clock is no jitter
        self._transit = transit

    def sender_reported(self, sender: SenderInfo, now: float) -> None:
        """Take note of the source's own report."""
        self._last_report, self._reported_at = middle(sender.ntp), now

    def block(self, now: float) -> ReportBlock:
        """Return what is to be reported, and begin the next interval."""
        expected = self._highest - self._first + 1 if self._begun else 0
        expected_now = expected - self._expected_before
        lost_now = expected_now - (self._received - self._received_before)
        self._expected_before, self._received_before = expected, self._received
        fraction = min(255, (lost_now << 8) // expected_now) if expected_now > 0 and lost_now > 0 else 0
        since = int((now - self._reported_at) * 65536) if self._last_report else 0
        return ReportBlock(
            self._ssrc,
            fraction,
            expected - self._received,
            self._highest & 0xFFFFFFFF,
            int(self._jitter),
            self._last_report,
            max(0, since),
        )
