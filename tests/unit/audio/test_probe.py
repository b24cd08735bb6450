"""The chirp that measures how long devices take."""

from __future__ import annotations

from array import array
from random import Random

import pytest

from tincan.audio import probe
from tincan.audio.pcm import MS, Pcm, silence


def among(noise: int, before: int, gain: float = 1.0) -> Pcm:
    rng = Random(3)
    sound = [0] * before + [int(gain * sample) for sample in probe.chirp()] + [0] * 9600
    return array("h", (sample + rng.randint(-noise, noise) for sample in sound))


@pytest.mark.parametrize(("noise", "gain"), [(0, 1.0), (0, 0.01), (300, 0.2), (3, -1.0)])
def test_it_is_found_where_it_is(noise: int, gain: float) -> None:
    found = probe.find(among(noise, 63 * MS, gain))
    assert found is not None
    assert abs(found - 63 * MS) <= 8


@pytest.mark.parametrize("sound", [array("h"), silence(100), silence(20_000), among(2000, 3000, 0.0)])
def test_it_is_not_found_where_it_is_not(sound: Pcm) -> None:
    assert probe.find(sound) is None
