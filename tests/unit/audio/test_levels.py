"""Loud, quiet, and whether that is a voice."""

from __future__ import annotations

from array import array
from math import pi, sin
from random import Random

import pytest

from tincan.audio.levels import SILENT, LevelMeter, NoiseFloor, VoiceActivity, dbov, rms_of
from tincan.audio.pcm import RATE, TICK, Pcm, silence


def tone(level: float, samples: int = TICK) -> Pcm:
    peak = min(32767.0, rms_of(level) * 2**0.5)
    return array("h", [round(peak * sin(2 * pi * 400 * at / RATE)) for at in range(samples)])


def noise(rng: Random, level: float) -> Pcm:
    return array("h", [round(rng.gauss(0, rms_of(level))) for _ in range(TICK)])


@pytest.mark.parametrize("level", [0.0, -3.0, -20.0, -60.0, -100.0])
def test_levels_and_samples_are_two_names_of_one_thing(level: float) -> None:
    assert dbov(rms_of(level)) == pytest.approx(level)


def test_nothing_is_silent() -> None:
    assert dbov(0.0) == SILENT
    assert rms_of(SILENT) == 0.0
    assert dbov(1e9) == 0.0


@pytest.mark.parametrize("level", [-4.0, -20.0, -50.0])
def test_the_needle_goes_up_at_once_and_down_slowly(level: float) -> None:
    meter = LevelMeter()
    assert meter.add(tone(level)) == pytest.approx(level, abs=0.5)
    for _ in range(10):
        meter.add(silence(TICK))
    assert meter.level == pytest.approx(level - 3.0, abs=0.5)
    for _ in range(1000):
        meter.add(silence(TICK))
    assert meter.level == SILENT


def test_the_floor_follows_the_room_and_not_the_voice() -> None:
    floor = NoiseFloor()
    for second in range(10):
        for piece in range(100):
            floor.add(-20.0 if second % 2 == 0 and piece < 80 else -62.0, 0.01)
    assert floor.level == pytest.approx(-62.0, abs=3.0)


def test_a_voice_is_heard_and_keeps_a_while() -> None:
    rng, activity = Random(1), VoiceActivity()
    for _ in range(200):
        assert not activity.add(noise(rng, -65.0))
    assert activity.add(tone(-30.0))
    hung = 0
    while activity.add(noise(rng, -65.0)):
        hung += 1
    assert hung == pytest.approx(30, abs=1)


def test_a_loud_room_is_no_voice_after_some_seconds() -> None:
    rng, activity = Random(1), VoiceActivity()
    heard = [activity.add(noise(rng, -35.0)) for _ in range(2000)]
    assert not any(heard[1000:])
    assert activity.add(tone(-15.0))


def test_digital_silence_is_no_voice_and_no_error() -> None:
    activity = VoiceActivity()
    assert not any(activity.add(silence(TICK)) for _ in range(100))
    assert not activity.add(array("h"))
    assert not activity.speaking
