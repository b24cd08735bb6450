"""Make a piece of sound shorter or longer without changing its pitch.

One pitch period is left out, or said twice, and the seam is cross-faded over
5 ms. The period is where the piece is most like itself: looked for in every
eighth sample first, then sample by sample around the best. That costs half a
millisecond, and is done while the delay adapts, otherwise about once a minute.
"""

from __future__ import annotations

from math import sqrt
from operator import mul
from typing import Final

from tincan.audio.pcm import MS, OVERLAP, Pcm, crossfade, loudness

SHORTEST: Final = 2 * MS + MS // 2
"""The shortest period looked for: a voice of 400 Hz."""

LONGEST_PERIOD: Final = 13 * MS
"""The longest one: 77 Hz, a low voice. It fits in 20 ms together with what is compared."""

_COARSE: Final = 8
_COMPARED: Final = 320
"""Samples that must look alike."""

_ALIKE: Final = 0.5
"""Below this likeness a seam would be heard: the sound is changing."""

_QUIET: Final = 100.0
"""Below this loudness no seam is heard."""


def shrink(pcm: Pcm, most: int, hurry: bool = False) -> Pcm | None:
    """Return the frame without one pitch period of at most ``most`` samples; None: not here."""
    period = _seam(pcm, most, hurry)
    if period is None:
        return None
    return crossfade(pcm[:OVERLAP], pcm[period:])


def stretch(pcm: Pcm, most: int, hurry: bool = False) -> Pcm | None:
    """Return the frame with one pitch period of at most ``most`` samples twice; None: not here.

    ``hurry``: also where it can be heard.
    """
    period = _seam(pcm, most, hurry)
    if period is None:
        return None
    return pcm[:period] + crossfade(pcm[period : period + OVERLAP], pcm)


def _seam(pcm: Pcm, most: int, hurry: bool) -> int | None:
    most = min(most, LONGEST_PERIOD, len(pcm) - _COMPARED)
    if most < SHORTEST:
        return None
    if loudness(pcm) < _QUIET:
        return most
    coarse = _best(pcm[::_COARSE], _COMPARED // _COARSE, range(SHORTEST // _COARSE, most // _COARSE + 1))[0]
    near = range(max(SHORTEST, coarse * _COARSE - _COARSE + 1), min(most, coarse * _COARSE + _COARSE - 1) + 1)
    period, likeness = _best(pcm, _COMPARED, near)
    return period if hurry or likeness >= _ALIKE else None


def _best(pcm: Pcm, width: int, lags: range) -> tuple[int, float]:
    """Return the lag at which the beginning is most like what follows, and how much (1 is the same)."""
    begin = pcm[:width]
    power = sum(map(mul, begin, begin)) + 1
    best, most = lags[0], -1.0
    for lag in lags:
        other = pcm[lag : lag + width]
        likeness = sum(map(mul, begin, other)) / sqrt(power * (sum(map(mul, other, other)) + 1))
        if likeness > most:
            best, most = lag, likeness
    return best, most
