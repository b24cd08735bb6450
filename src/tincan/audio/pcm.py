"""Sound as this room handles it: 16 bit, mono, 48 kHz, in an ``array('h')``.

Pure Python has about 10 ms for 480 samples, and should need a hundredth of
that; so whatever touches every sample is here, and is one `map` or one
comprehension.
"""

from __future__ import annotations

from array import array
from math import sqrt
from operator import mul
from typing import Final, TypeAlias

Pcm: TypeAlias = "array[int]"
"""Samples, -32768 to 32767."""

RATE: Final = 48_000
"""Samples in a second; also what Opus counts its RTP timestamps in (RFC 7587 section 4.1)."""

MS: Final = RATE // 1000
"""Samples in a millisecond."""

TICK: Final = 10 * MS
"""Samples that a device takes or gives at a time."""

FRAME: Final = 20 * MS
"""Samples in one packet, as tin-can sends them. Peers may do otherwise."""

LONGEST: Final = 120 * MS
"""Samples in the longest Opus packet (RFC 6716 section 3.2.5)."""

OVERLAP: Final = 5 * MS
"""Samples of a cross-fade: long enough that no click is heard, shorter than any syllable."""

_RISE: Final = [(n + 0.5) / OVERLAP for n in range(OVERLAP)]


def silence(samples: int) -> Pcm:
    """Return so many samples of nothing."""
    return array("h", bytes(2 * samples))


def crossfade(old: Pcm, new: Pcm) -> Pcm:
    """Return ``new``, its beginning faded in over ``old``: `OVERLAP` samples, or less if either is shorter."""
    length = min(len(old), len(new), OVERLAP)
    rise = _RISE if length == OVERLAP else [(n + 0.5) / length for n in range(length)]
    return array("h", [int(a + (b - a) * w) for a, b, w in zip(old, new, rise, strict=False)]) + new[length:]


def blended(old: Pcm, new: Pcm, begin: float, end: float) -> Pcm:
    """Return ``old`` and ``new``, equally long, mixed: the share of ``new`` goes from ``begin`` to ``end``."""
    step = (end - begin) / max(1, len(old))
    return array("h", [int(a + (b - a) * (begin + n * step)) for n, (a, b) in enumerate(zip(old, new, strict=True))])


def scaled(shape: list[float], gain: float) -> Pcm:
    """Return a wave with another loudness; the products must fit 16 bits."""
    return array("h", [int(value * gain) for value in shape])


def loudness(pcm: Pcm, stride: int = 8) -> float:
    """Return the root mean square of every ``stride``-th sample: 6 kHz are enough to tell how loud speech is."""
    some = pcm[::stride]
    return sqrt(sum(map(mul, some, some)) / len(some)) if some else 0.0
