"""The measures of the lab are right about what they are to tell apart."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from lab import soundroom
from lab.signals import speech
from lab.soundroom import RATE
from lab.voice import quality
from lab.voice.material import chirps_in_speech, sentences

pytestmark = pytest.mark.skipif(not soundroom.available(), reason="needs espeak-ng")

LATE = 0.123


def late(sound: array[int]) -> quality.Wave:
    return np.concatenate([np.zeros(round(LATE * RATE)), quality.wave(sound), np.zeros(RATE)])


def test_how_late_and_how_alike() -> None:
    said = quality.wave(sentences(0))
    same = late(sentences(0))
    assert quality.lag(said, same) == pytest.approx(LATE, abs=0.0001)
    assert quality.likeness(said, same) > 0.99
    assert quality.likeness(said, 0.1 * same) > 0.9  # quieter
    assert quality.likeness(said, late(speech("Something else is said here, and at some length, too."))) < 0.4
    assert quality.likeness(said, np.random.default_rng(1).normal(0, 0.05, len(same))) < 0.3
    assert quality.likeness(said, np.zeros(len(same))) == 0
    assert quality.level(np.zeros(9)) == -127
    gaps = same.copy()
    gaps[np.arange(len(gaps)) % (RATE // 5) < RATE // 10] = 0  # half of it is missing
    assert quality.likeness(said, gaps) < 0.6


def test_chirps_are_found_in_speech() -> None:
    sound = chirps_in_speech(5)
    found = quality.chirp_delays(quality.wave(sound), late(sound))
    assert found == pytest.approx([LATE] * 5, abs=0.0001)


def test_a_chirp_that_is_missing_is_left_out() -> None:
    sound = chirps_in_speech(5)
    heard = late(sound)
    heard[: round((0.6 + LATE) * RATE)] = 0
    assert quality.chirp_delays(quality.wave(sound), heard) == pytest.approx([LATE] * 4, abs=0.0001)
