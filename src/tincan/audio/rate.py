"""How many bits a second to spend on a voice, and when to send everything twice.

Driven by the peer's receiver reports: `RateController.report` with the loss
of the last interval. Loss brings the rate down at once; it goes up again in
small steps after it has been good for a while. Redundancy pays far more than
bits do (with 5 % loss a copy at 24 kbit/s sounds better than one packet at
64), so it comes first, and the rate of each copy is what both share.

Two thresholds for everything, so that nothing swings: what begins above one
value ends below another, and not before it has stayed there for seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LOWEST: Final = 24_000
HIGHEST: Final = 64_000
"""Bits a second of one Opus stream."""

HIGHEST_TWICE: Final = 32_000
"""Bits a second of each copy: two of them cost what one costs on a clean path."""

_STEP: Final = 4_000
_COPY_ABOVE: Final = 0.01
_COPY_BELOW: Final = 0.004
_TWO_COPIES_ABOVE: Final = 0.08
_TWO_COPIES_BELOW: Final = 0.05
_COPY_PATIENCE: Final = 15.0
"""Seconds with little loss after which the copies stop: losses come in groups."""
_DOWN_ABOVE: Final = 0.04
_UP_BELOW: Final = 0.02
_UP_PATIENCE: Final = 5.0
"""Seconds between two steps up, and before the first."""
_FORGET: Final = 0.5
"""The share of a new report in the smoothed loss, when that falls. Rises count in full."""


@dataclass(frozen=True)
class Rate:
    """What the encoder and the sender shall do."""

    bitrate: int
    """Bits a second of the encoder."""

    redundant: int
    """How many of the frames before it each packet carries once more (RFC 2198): 0, 1, or with much loss 2."""

    expected_loss: int
    """Per cent that the encoder is told to expect; above 0 it adds in-band FEC when there are no copies."""


class RateController:
    """One direction's rate. ``copies``: whether the peer understands redundant packets."""

    def __init__(self, now: float, *, copies: bool = True) -> None:
        self._copies = copies
        self._bitrate = HIGHEST
        self._redundant = 0
        self._loss = 0.0
        self._lossy_at = self._very_lossy_at = now
        self._stepped_at = now

    @property
    def rate(self) -> Rate:
        """What is to be done now."""
        expected = min(30, round(self._loss * 100)) if self._loss >= _COPY_BELOW else 0
        return Rate(self._bitrate, self._redundant, expected)

    def report(self, loss: float, now: float) -> Rate:
        """Take the share of packets (0 to 1) that the peer reports as lost; return what is to be done."""
        loss = min(1.0, max(0.0, loss))
        self._loss = loss if loss > self._loss else self._loss + (loss - self._loss) * _FORGET
        self._choose_redundancy(now)
        self._choose_bitrate(loss, now)
        return self.rate

    def _choose_redundancy(self, now: float) -> None:
        if self._loss >= _COPY_BELOW:
            self._lossy_at = now
        if self._loss >= _TWO_COPIES_BELOW:
            self._very_lossy_at = now
        if self._loss > _TWO_COPIES_ABOVE and self._copies:
            self._redundant = 2
        elif self._redundant == 2 and now - self._very_lossy_at >= _COPY_PATIENCE:
            self._redundant = 1
        if self._loss > _COPY_ABOVE and self._copies:
            self._redundant = max(1, self._redundant)
        elif now - self._lossy_at >= _COPY_PATIENCE:
            self._redundant = 0

    def _choose_bitrate(self, loss: float, now: float) -> None:
        ceiling = (HIGHEST, HIGHEST_TWICE, LOWEST)[self._redundant]
        if loss > _DOWN_ABOVE:
            # Half of the loss: a path that loses by chance is not helped by silence, a full one is.
            self._bitrate = int(self._bitrate * (1 - loss / 2))
            self._stepped_at = now
        elif self._loss < _UP_BELOW and now - self._stepped_at >= _UP_PATIENCE:
            self._bitrate += _STEP
            self._stepped_at = now
        self._bitrate = max(LOWEST, min(ceiling, self._bitrate))
