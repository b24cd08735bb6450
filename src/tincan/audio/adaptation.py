"""When to shrink or stretch a frame, so that the delay becomes the wanted one.

What counts is the lowest delay of the last frames: a device that asks in
bursts makes the delay look longer now and then, and is no reason to change
anything. A change of a few samples may also move the moment of decoding to the
next time the device asks, so how much longer than wanted the delay may be
depends on how often that is. Between two changes some frames go by as they
are; too many in a row sound like a gurgle.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from tincan.audio.pcm import MS, TICK, Pcm
from tincan.audio.stretch import shrink, stretch

EARLY: Final = 4 * MS
"""How far the delay may be below the wanted one before a frame is stretched."""

SPARE: Final = 2 * MS
"""How far it must stay above that after a frame was shrunk, or it would swing."""

ENOUGH: Final = 10 * MS
"""What may be added at once though less is wanted: a low voice has no shorter period."""

HURRY: Final = 60 * MS
"""How far off it is when changes are made in every frame, and where they can be heard."""

_WATCHED: Final = 20
_SHRINK_EVERY: Final = 3
_STRETCH_EVERY: Final = 2
"""Frames from one change to the next. Too little delay costs sound, too much only time."""

_SLOWEST: Final = 40 * MS
_FADING: Final = 0.999
"""Of the longest time between two calls of the device, each call; after 7 s half of it is forgotten."""


class Adaptation:
    """The delays of the last frames, and the changes made. All times are in samples."""

    def __init__(self) -> None:
        self._delays: deque[float] = deque(maxlen=_WATCHED)
        self._frames = 0
        self._asked: float | None = None
        self._period: float = TICK

    @property
    def late(self) -> float:
        """How far the delay may be above the wanted one."""
        return self._period - EARLY + SPARE

    def asked(self, clock: float) -> None:
        """Take note that the device wants sound."""
        waited = clock - self._asked if self._asked is not None else TICK
        self._period = min(_SLOWEST, max(TICK, waited, self._period * _FADING))
        self._asked = clock

    def note(self, delay: float) -> None:
        """Take the delay of the next frame, whatever is its zero."""
        self._delays.append(delay)
        self._frames += 1

    def forget(self) -> None:
        """The head has been moved; what was watched says nothing any more."""
        self._delays.clear()

    def apply(self, pcm: Pcm, wanted: float) -> Pcm:
        """Return the frame noted last, shorter or longer if need be; ``wanted`` has the zero of `note`."""
        off = min(self._delays) - wanted
        hurry = abs(off) > HURRY
        if off > self.late:
            settled = len(self._delays) == _WATCHED and self._frames >= _SHRINK_EVERY
        elif off < -EARLY:
            settled = self._frames >= _STRETCH_EVERY
        else:
            return pcm
        if not settled and not hurry:
            return pcm
        self._frames = 0  # also when nothing comes of it: looking takes time too
        changed = shrink(pcm, int(off), hurry) if off > 0 else stretch(pcm, int(max(ENOUGH, -off)), hurry)
        if changed is None:
            return pcm
        moved = len(changed) - len(pcm)
        self._delays = deque((delay + moved for delay in self._delays), _WATCHED)
        return changed
