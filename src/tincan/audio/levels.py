"""How loud it is, whether somebody speaks, and how loud the room is when nobody does.

All levels are in dBov (RFC 6464 section 3): 0 is the loudest there can be,
-127 is nothing at all. All three take one piece of PCM after the other, each
10 or 20 ms long, and have no other clock.
"""

from __future__ import annotations

from math import log10
from typing import Final

from tincan.audio.pcm import RATE, Pcm, loudness

SILENT: Final = -127.0
"""The level of nothing at all."""

FULL: Final = 32768.0


def dbov(rms: float) -> float:
    """Return a root mean square of samples as a level."""
    return max(SILENT, min(0.0, 20 * log10(rms / FULL))) if rms > 0 else SILENT


def rms_of(level: float) -> float:
    """Return the root mean square of samples that have this level."""
    return FULL * 10.0 ** (level / 20) if level > SILENT else 0.0


class LevelMeter:
    """A needle: up at once, down slowly."""

    FALL: Final = 30.0
    """Decibels a second; so a word stays to be seen, and a pause shows."""

    def __init__(self) -> None:
        self.level = SILENT
        """Where the needle is."""

    def add(self, pcm: Pcm) -> float:
        """Take the next piece; return the new `level`."""
        fallen = self.level - self.FALL * len(pcm) / RATE
        self.level = max(dbov(loudness(pcm)), fallen, SILENT)
        return self.level


class NoiseFloor:
    """The level of the room when nobody speaks.

    Follows anything quieter at once, halfway each time, and anything louder by
    a few decibels a second only: pauses between words come more often than
    that, speech never stays that long.
    """

    RISE: Final = 3.0
    """Decibels a second."""

    def __init__(self, level: float = -60.0) -> None:
        self.level = level
        """The estimate, in dBov."""

    def add(self, level: float, seconds: float) -> float:
        """Take the level of the next piece and how long it is; return the new estimate."""
        if level < self.level:
            self.level += (level - self.level) / 2
        else:
            self.level = min(level, self.level + self.RISE * seconds)
        return self.level


class VoiceActivity:
    """Whether somebody speaks: louder than the room, and a while longer.

    The hangover keeps the ends of words, which are quiet, and makes one piece
    of a sentence.
    """

    ABOVE: Final = 9.0
    """Decibels above the noise floor that are a voice."""

    LEAST: Final = -55.0
    """Nothing below this is a voice, however quiet the room is."""

    HANGOVER: Final = 0.3
    """Seconds."""

    def __init__(self) -> None:
        self.floor = NoiseFloor()
        """What it takes for the room."""
        self._left = 0.0

    @property
    def speaking(self) -> bool:
        """Whether somebody spoke just now."""
        return self._left > 0

    def add(self, pcm: Pcm) -> bool:
        """Take the next piece; return whether somebody speaks."""
        seconds = len(pcm) / RATE
        level = dbov(loudness(pcm))
        loud = level > max(self.LEAST, self.floor.level + self.ABOVE)
        self.floor.add(level, seconds)
        self._left = self.HANGOVER if loud else max(0.0, self._left - seconds)
        return self.speaking
