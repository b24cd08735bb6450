"""What is heard while there is nothing to hear.

The decoder makes up what may have come, for 60 ms as it is, for another 60 ms
fading; the noise of the room comes up in its place and stays. A line that is
silent seems dead, and one that drones is worse.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable
from typing import Final

from tincan.audio.levels import NoiseFloor, dbov, rms_of
from tincan.audio.pcm import LONGEST, MS, OVERLAP, RATE, TICK, Pcm, blended, loudness, scaled, silence

FADE_FROM: Final = 60 * MS
FADE_UNTIL: Final = 120 * MS
"""Samples made up before the fading begins and ends."""

LOUDEST_NOISE: Final = -46.0
"""In dBov; whatever the peer sends, its pauses do not hiss louder."""

_WAVE: Final = 200 * MS
_SMOOTHING: Final = 0.55
"""Of white noise, per sample: rooms are dull."""


class Concealment:
    """Sound from the decoder's guess, then from a wave of noise that is never read twice the same way."""

    def __init__(self, conceal: Callable[[], Pcm], rng: random.Random) -> None:
        self._conceal = conceal
        self._rng = rng
        self._noise = _noise(rng)
        self._floor = NoiseFloor()
        self._reserve: Pcm = array("h")
        self._made = FADE_UNTIL
        self._quiet = True

    @property
    def faded(self) -> bool:
        """Whether nothing but noise is left."""
        return self._made >= FADE_UNTIL and not self._reserve

    @property
    def fading(self) -> bool:
        """Whether what is made up is no longer what the decoder would go on from."""
        return self._made > FADE_FROM

    def played(self, pcm: Pcm) -> None:
        """Take note that there is real sound again, and of how loud it is."""
        self._floor.add(dbov(loudness(pcm)), len(pcm) / RATE)
        self._quiet = False
        self._made = 0
        if self._reserve:
            self._reserve = array("h")

    def take(self, samples: int) -> Pcm:
        """Return the next samples."""
        self._fill(samples)
        taken = self._reserve[:samples]
        del self._reserve[:samples]
        return taken

    def tail(self) -> Pcm:
        """Return `OVERLAP` samples of what `take` would return, which stay."""
        self._fill(OVERLAP)
        return self._reserve[:OVERLAP]

    def _fill(self, samples: int) -> None:
        while len(self._reserve) < samples:
            self._reserve.extend(self._more())

    def rest(self) -> Pcm:
        """Return what is made up already, at most `OVERLAP` samples; the decoder is not asked."""
        return self._reserve[:OVERLAP]

    def _more(self) -> Pcm:
        if self._made >= FADE_UNTIL:
            return self._room()
        guess = usable(self._conceal())
        begin, self._made = self._made, self._made + len(guess)
        if self._made <= FADE_FROM:
            return guess
        noise: Pcm = array("h")
        while len(noise) < len(guess):
            noise.extend(self._room())
        return blended(guess, noise[: len(guess)], _faded(begin), _faded(self._made))

    def _room(self) -> Pcm:
        if self._quiet:
            return silence(TICK)
        begin = self._rng.randrange(_WAVE - TICK)
        return scaled(self._noise[begin : begin + TICK], rms_of(min(LOUDEST_NOISE, self._floor.level)))


def usable(pcm: Pcm) -> Pcm:
    """Return what a decoder gave, at least one sample and at most `LONGEST`."""
    if not pcm:
        return silence(TICK)
    return pcm[:LONGEST] if len(pcm) > LONGEST else pcm


def _faded(made: int) -> float:
    return min(1.0, max(0.0, (made - FADE_FROM) / (FADE_UNTIL - FADE_FROM)))


def _noise(rng: random.Random) -> list[float]:
    """Return noise with a root mean square of 1, none of it above 4 (so a loud one still fits 16 bits)."""
    wave, value = [], 0.0
    for _ in range(_WAVE):
        value = _SMOOTHING * value + rng.gauss(0.0, 1.0)
        wave.append(value)
    power = (sum(value * value for value in wave) / _WAVE) ** 0.5
    return [max(-4.0, min(4.0, value / power)) for value in wave]
