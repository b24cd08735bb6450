"""How quick a transfer is: the bytes of the last seconds, with the time as an argument."""

from __future__ import annotations

from collections import deque

WINDOW = 5.0
"""Seconds that are looked back. Shorter flickers, longer hides that a line has slowed down."""

STEP = 0.1
"""Seconds between two marks that are kept; so at most fifty are."""


class RateMeter:
    """Bytes per second over a sliding window."""

    def __init__(self, now: float, done: int = 0) -> None:
        self._marks: deque[tuple[float, int]] = deque([(now, done)])
        self._done = done

    def add(self, now: float, done: int) -> None:
        """Take note that so many bytes have been done in all by now."""
        self._done = done
        if now - self._marks[-1][0] >= STEP:
            self._marks.append((now, done))
        while len(self._marks) > 2 and now - self._marks[1][0] >= WINDOW:
            self._marks.popleft()

    def rate(self, now: float) -> float:
        """Return bytes per second; 0 before anything can be said."""
        began, before = self._marks[0]
        elapsed = now - began
        return max(0.0, (self._done - before) / elapsed) if elapsed > 0 else 0.0

    def seconds_left(self, now: float, total: int | None) -> float | None:
        """Return how long the rest will take, or None when nobody knows."""
        rate = self.rate(now)
        if total is None or rate <= 0:
            return None
        return max(0.0, (total - self._done) / rate)
