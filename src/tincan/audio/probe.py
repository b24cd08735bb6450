"""How long sound takes from the loudspeaker to the microphone: a chirp is played and looked for.

The chirp glides from 500 to 3000 Hz, so a loudspeaker and a microphone of any
quality carry it, and it looks like itself at one place only. It is found by
correlation, thinned to 6 kHz: exact to a sixth of a millisecond, and a second
of sound takes a tenth of a second.
"""

from __future__ import annotations

from array import array
from math import pi, sin, sqrt
from operator import mul
from typing import Final

from tincan.audio.pcm import RATE, Pcm

LENGTH: Final = RATE // 20
"""Samples of the chirp: 50 ms."""

AMPLITUDE: Final = 8000
_LOWEST, _HIGHEST = 500.0, 3000.0
_THIN: Final = 8

LIKENESS: Final = 0.5
"""Correlation, 0 to 1, above which it is the chirp: noise and speech come to 0.3, a room with some echo to 0.7."""


def chirp() -> Pcm:
    """Return what is to be played."""
    glide = (_HIGHEST - _LOWEST) / (LENGTH / RATE)
    times = [n / RATE for n in range(LENGTH)]
    return array(
        "h",
        (
            int(AMPLITUDE * sin(2 * pi * (_LOWEST * t + glide * t * t / 2)) * sin(pi * n / LENGTH) ** 2)
            for n, t in enumerate(times)
        ),
    )


def find(heard: Pcm) -> int | None:
    """Return the sample at which the chirp begins in what was heard, or None when it is not there."""
    pattern, sound = chirp()[::_THIN], heard[::_THIN]
    size = len(pattern)
    if len(sound) < size:
        return None
    own = sqrt(sum(map(mul, pattern, pattern)))
    energy = sum(map(mul, sound[:size], sound[:size]))
    best, place = 0.0, None
    for at in range(len(sound) - size + 1):
        if at:
            energy += sound[at + size - 1] ** 2 - sound[at - 1] ** 2
        if energy > size:  # one step of loudness on average: digital silence is like anything
            likeness = sum(map(mul, pattern, sound[at : at + size])) / (own * sqrt(energy))
            if abs(likeness) > best:  # some devices turn the wave upside down
                best, place = abs(likeness), at
    return None if place is None or best < LIKENESS else place * _THIN
