"""Short tones that say who comes and who goes: two notes up, two notes down."""

from __future__ import annotations

from array import array
from math import pi, sin
from typing import Final

from tincan.audio.pcm import MS, RATE, Pcm

_LOW, _HIGH = 523.25, 783.99  # C5 and G5
_NOTE: Final = 90 * MS
_EDGE: Final = 10 * MS
_LOUD: Final = 2500
"""Peak of 32767: to be heard beside a voice, and no more."""


def joined() -> Pcm:
    """Somebody is there."""
    return _note(_LOW) + _note(_HIGH)


def left() -> Pcm:
    """Somebody has gone."""
    return _note(_HIGH) + _note(_LOW)


def mixed(sound: Pcm, chime: Pcm) -> Pcm:
    """Return a sound with the beginning of a chime in it, as long as it was."""
    part = chime[: len(sound)]
    both = array("h", [max(-32768, min(32767, a + b)) for a, b in zip(sound, part, strict=False)])
    return both + sound[len(part) :]


def _note(hertz: float) -> Pcm:
    return array(
        "h",
        [
            int(_LOUD * min(1.0, at / _EDGE, (_NOTE - at) / _EDGE) * sin(2 * pi * hertz * at / RATE))
            for at in range(_NOTE)
        ],
    )
