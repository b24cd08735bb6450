"""What the loudspeaker has played, kept for an echo canceller until the microphone comes to hear it.

Two devices call in two threads, and either may be late and catch up. What waits
here must not run dry, or the canceller hears a gap; nor may it wait longer than
sound takes through the air and both devices, or the echo comes before what it
is an echo of. So what is needless, because for a second it was never used up,
is left out.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tincan.audio.pcm import TICK, Pcm, silence

MOST: Final = 12
"""Periods that wait while the microphone is late."""

LEAST: Final = 1
"""Periods that may wait all the time."""

_WATCHED: Final = 100


class Reference:
    """Periods in, periods out, in step with the microphone."""

    def __init__(self) -> None:
        self._waiting: deque[Pcm] = deque(maxlen=MOST)
        self._begun = False
        self._lowest = MOST
        self._watched = 0

    def played(self, period: Pcm) -> None:
        """The loudspeaker has been given this."""
        self._waiting.append(period)

    def next(self) -> Pcm:
        """Return what belongs to the microphone's next period."""
        if not self._begun:
            self._begun = True
            self._leave(LEAST + 1)
        left = len(self._waiting) - 1
        self._lowest = min(self._lowest, left)
        self._watched += 1
        if self._watched == _WATCHED:
            self._leave(len(self._waiting) - max(0, self._lowest - LEAST))
            self._watched, self._lowest = 0, MOST
        return self._waiting.popleft() if self._waiting else silence(TICK)

    def _leave(self, count: int) -> None:
        while len(self._waiting) > max(1, count):
            self._waiting.popleft()
