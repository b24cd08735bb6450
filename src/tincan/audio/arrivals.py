"""When packets come: what their numbers mean, how late they are, and how much delay that asks for.

Every packet has a *transit*: its arrival, in samples of our clock, less its
timestamp. Its value means nothing, as the two clocks began when they liked;
its differences mean everything. The smallest transit of the last packets is
the `base`: a packet that nothing held up. How much later than that 99 of 100
packets come is the delay that the network asks for.

The window is 250 packets, and never more than 10 s: so the base follows two
clocks that drift apart (500 ppm are 5 ms in 10 s) also when few packets come.

Packets whose numbers are far from what is expected are wild. One is ignored,
three that agree with each other are a sender that began again.
"""

from __future__ import annotations

import enum
from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass
from typing import Final

from tincan.audio.pcm import FRAME, MS, RATE

WINDOW: Final = 250
"""Packets: 5 s of them."""

MEMORY: Final = 10 * RATE
"""Samples of our clock after which a packet is forgotten."""

PERCENTILE: Final = 0.99

MARGIN: Final = 8 * MS
"""On top of that: for the device, which does not ask as evenly as it should."""

LOSSY_TARGET: Final = 40 * MS
"""The least wanted delay on a lossy path: the next packet, which may hold what is missing, must be there in time."""

LOSSY_ABOVE: Final = 0.01
LOSSY_BELOW: Final = 0.005

VERY_LOSSY_TARGET: Final = 60 * MS
"""The same where so much is lost that the next packet often is as well: the one after it must be there in time."""

VERY_LOSSY_ABOVE: Final = 0.08
VERY_LOSSY_BELOW: Final = 0.05

LONGEST_DELAY: Final = 500 * MS
"""What is later than this is not waited for."""

_LEARNING: Final = 50
"""Packets before the measured delay is believed; until then it is taken for a lossy path."""

_EARLIEST: Final = RATE // 2
_LATEST: Final = 2 * RATE
_MAX_DROPOUT: Final = 3000
_MAX_MISORDER: Final = 250
_SETTLED: Final = 8
"""Packets that may overtake another one before it is taken for lost."""
_AGREEING: Final = 3
"""Wild packets, one after the other, that make a new stream."""


class Kind(enum.Enum):
    """What a packet is, going by its numbers."""

    FRESH = "fresh"
    DUPLICATE = "duplicate"
    WILD = "wild"
    RESTART = "restart"
    """The first one of a stream that has begun again."""


@dataclass(frozen=True)
class Arrival:
    """A packet's numbers without their wraps, as far as it is not wild."""

    kind: Kind
    sequence: int
    timestamp: int


class Arrivals:
    """The packets of one sender. All times are in samples of our clock."""

    def __init__(self) -> None:
        self.base = 0.0
        """The smallest transit of late: what a packet that nothing held up has."""
        self.target: float = LOSSY_TARGET
        """The wanted delay: how much later than with the smallest transit each sample is to be played."""
        self.jitter = 0.0
        """As in RFC 3550 A.8."""
        self._begun = False
        self._sequence = 0
        self._timestamp = 0
        self._suspects: list[tuple[int, float]] = []
        self._forget()

    def _forget(self) -> None:
        self._transits: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []
        self._packets = 0
        self._seen: set[int] = set()
        self._came: deque[bool] = deque()
        self._lost = 0
        self._last: float | None = None
        self._lossy = self._very_lossy = False

    @property
    def loss(self) -> float:
        """The share of the last 250 packets that did not come."""
        return self._lost / len(self._came) if self._came else 0.0

    def receive(self, sequence: int, timestamp: int, clock: float) -> Arrival:
        """Take the numbers of a packet that came at ``clock``."""
        number = self._sequence + _signed(sequence - self._sequence, 16)
        stamp = self._timestamp + _signed(timestamp - self._timestamp, 32)
        self._expire(clock)
        if not self._transits:
            return self._restart(number, stamp, clock)
        off = clock - stamp - self.base
        ahead = number - self._sequence
        if not (-_EARLIEST <= off <= _LATEST and -_MAX_MISORDER < ahead < _MAX_DROPOUT):
            return self._wild(number, stamp, clock)
        self._suspects.clear()
        if number in self._seen:
            return Arrival(Kind.DUPLICATE, number, stamp)
        if ahead > 0:
            self._advance(number)
            self._timestamp = stamp
        self._seen.add(number)
        self._note(clock - stamp, clock)
        return Arrival(Kind.FRESH, number, stamp)

    def restart(self) -> None:
        """Take the next packet, whatever it is, for the first one of a stream."""
        self._forget()

    # -- inside -------------------------------------------------------------------------

    def _wild(self, number: int, stamp: int, clock: float) -> Arrival:
        if self._suspects:
            last, transit = self._suspects[-1]
            if not (0 < number - last <= _SETTLED and abs(clock - stamp - transit) < _EARLIEST):
                self._suspects.clear()
        self._suspects.append((number, clock - stamp))
        if len(self._suspects) < _AGREEING:
            return Arrival(Kind.WILD, number, stamp)
        return self._restart(number, stamp, clock)

    def _restart(self, number: int, stamp: int, clock: float) -> Arrival:
        self._forget()
        self._suspects.clear()
        kind = Kind.RESTART if self._begun else Kind.FRESH
        self._begun = True
        self._sequence, self._timestamp = number, stamp
        self._seen.add(number)
        self._note(clock - stamp, clock)
        return Arrival(kind, number, stamp)

    def _advance(self, number: int) -> None:
        """Count the packets that can no longer be overtaken."""
        for newest in range(max(self._sequence + 1, number - WINDOW), number + 1):
            settled = newest - _SETTLED
            if len(self._came) == WINDOW:
                self._lost -= not self._came.popleft()
            self._came.append(settled in self._seen or self._packets < _SETTLED)
            self._lost += not self._came[-1]
        self._sequence = number
        if len(self._seen) > 2 * _MAX_MISORDER:
            self._seen = {seen for seen in self._seen if seen > number - _MAX_MISORDER}

    def _note(self, transit: float, clock: float) -> None:
        if self._last is not None:
            self.jitter += (abs(transit - self._last) - self.jitter) / 16
        self._last = transit
        self._packets += 1
        if self._transits and transit - self.base > self.target:
            # What was held up and comes all at once says the same a hundred times; hear it once.
            if clock - self._transits[-1][0] < FRAME / 2:
                return
            transit = min(transit, self.base + LONGEST_DELAY)
        if len(self._transits) >= WINDOW:
            self._drop_oldest()
        self._transits.append((clock, transit))
        insort(self._sorted, transit)
        self._aim()

    def _aim(self) -> None:
        self.base = self._sorted[0]
        spread = self._sorted[int(PERCENTILE * (len(self._sorted) - 1) + 0.999)] - self.base
        self._lossy = self.loss > (LOSSY_BELOW if self._lossy else LOSSY_ABOVE)
        self._very_lossy = self.loss > (VERY_LOSSY_BELOW if self._very_lossy else VERY_LOSSY_ABOVE)
        least = LOSSY_TARGET if self._lossy or self._packets < _LEARNING else 0
        if self._very_lossy and self._packets >= WINDOW:
            least = VERY_LOSSY_TARGET
        self.target = min(LONGEST_DELAY, max(least, spread + MARGIN))

    def _expire(self, clock: float) -> None:
        while self._transits and clock - self._transits[0][0] > MEMORY:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        _, transit = self._transits.popleft()
        del self._sorted[bisect_left(self._sorted, transit)]


def _signed(difference: int, bits: int) -> int:
    """Return how far one number is from another when both wrap."""
    half = 1 << bits - 1
    return (difference + half) % (1 << bits) - half
