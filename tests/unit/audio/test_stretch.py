"""Shorter and longer without a click, a gap or another pitch."""

from __future__ import annotations

from array import array
from itertools import pairwise
from math import pi, sin
from random import Random

import pytest

from tincan.audio.pcm import FRAME, MS, RATE, TICK, Pcm, silence
from tincan.audio.stretch import LONGEST_PERIOD, SHORTEST, shrink, stretch


def voice(hertz: float, samples: int = FRAME) -> Pcm:
    """A tone with overtones, as voices are."""
    return array(
        "h",
        [
            round(sum(6000 / n * sin(2 * pi * hertz * n * at / RATE + n) for n in (1, 2, 3, 5)))
            for at in range(samples)
        ],
    )


def steepest(pcm: Pcm) -> int:
    return max(abs(b - a) for a, b in pairwise(pcm))


@pytest.mark.parametrize("hertz", [80, 100, 130, 210, 330, 400])
def test_one_period_more_or_less_is_not_heard(hertz: int) -> None:
    frame = voice(hertz)
    shorter, longer = shrink(frame, LONGEST_PERIOD), stretch(frame, LONGEST_PERIOD)
    assert shorter is not None
    assert longer is not None
    for changed in (shorter, longer):
        assert SHORTEST <= abs(len(changed) - FRAME) <= LONGEST_PERIOD
        periods = abs(len(changed) - FRAME) * hertz / RATE
        assert periods == pytest.approx(round(periods), abs=0.05)
        assert steepest(changed) <= 1.2 * steepest(frame)
        assert changed[0] == pytest.approx(frame[0], abs=50)
        assert changed[-1] == frame[-1]


@pytest.mark.parametrize("most", [SHORTEST, 5 * MS, 8 * MS])
def test_no_more_is_taken_than_may_be(most: int) -> None:
    changed = shrink(voice(400), most)
    assert changed is not None
    assert 0 < FRAME - len(changed) <= most


def test_silence_is_changed_by_all_that_is_wanted() -> None:
    shorter = shrink(silence(FRAME), 7 * MS)
    longer = stretch(silence(FRAME), 7 * MS)
    assert shorter is not None
    assert longer is not None
    assert (len(shorter), len(longer)) == (FRAME - 7 * MS, FRAME + 7 * MS)


def test_what_is_never_like_itself_is_changed_in_a_hurry_only() -> None:
    rng = Random(4)
    hiss = array("h", [rng.randrange(-9000, 9000) for _ in range(FRAME)])
    assert shrink(hiss, LONGEST_PERIOD) is None
    assert stretch(hiss, LONGEST_PERIOD) is None
    assert shrink(hiss, LONGEST_PERIOD, hurry=True) is not None


@pytest.mark.parametrize("samples", [0, 1, 120, 400])
def test_pieces_that_are_too_short_stay_as_they_are(samples: int) -> None:
    assert shrink(voice(200, samples), LONGEST_PERIOD, hurry=True) is None
    assert stretch(voice(200, samples), LONGEST_PERIOD, hurry=True) is None


def test_half_a_frame_has_room_for_high_voices() -> None:
    changed = shrink(voice(350, TICK), LONGEST_PERIOD)
    assert changed is not None
    assert len(changed) < TICK


def test_too_little_is_not_worth_it() -> None:
    assert shrink(voice(200), SHORTEST - 1) is None
