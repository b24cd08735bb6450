"""Consent (RFC 7675): does the peer still want what we send, and is it there at all? Pure.

`tincan.link.ice` asks it every `CONSENT_INTERVAL`, and tells here what came of
that. Times are in seconds of one steady clock.
"""

from __future__ import annotations

from typing import Final

CONSENT_INTERVAL: Final = 1.0
"""Seconds between consent checks on the pair in use."""

SILENCE_LIMIT: Final = 4.0
"""Seconds without any sign of the peer after which it is taken for dead (docs promise 5)."""

MISSED: Final = 2
"""Checks in a row that must have gone unanswered besides: a process that was itself stopped for a while must
not take its own absence for the peer's."""

WEIGHT: Final = 0.25
"""Of a new sample in the smoothed round-trip time."""


class Consent:
    """What is known of the peer's life."""

    def __init__(self) -> None:
        self.round_trip: float | None = None
        """Seconds, smoothed; None before the first answer."""
        self._last_heard = 0.0
        self._unanswered = 0

    def heard(self, now: float) -> None:
        """Note a sign of life, of whatever kind."""
        self._last_heard = now

    def answered(self, asked: float, now: float) -> None:
        """Note that the check begun at ``asked`` was answered."""
        self.heard(now)
        self._unanswered = 0
        sample = now - asked
        known = sample if self.round_trip is None else self.round_trip
        self.round_trip = known + WEIGHT * (sample - known)

    def unanswered(self) -> None:
        """Note that a check was not answered."""
        self._unanswered += 1

    def is_lost(self, now: float) -> bool:
        """Whether the peer has to be taken for dead: by the next check it would have been silent too long."""
        return now - self._last_heard > SILENCE_LIMIT - CONSENT_INTERVAL and self._unanswered >= MISSED
