"""Pieces of any length are exchanged by whole periods, in order, and no error gets out."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.audio.devices import Ends
from tincan.audio.pcm import TICK, Pcm, silence
from tincan.audio.periods import MOST_WAITING, Periods


def numbered(begin: int, length: int) -> Pcm:
    return array("h", (n % 30_000 + 1 for n in range(begin, begin + length)))


@given(st.lists(st.integers(0, 3 * TICK), max_size=40))
def test_everything_heard_comes_in_whole_periods_and_in_order(lengths: list[int]) -> None:
    came: list[Pcm] = []
    periods, said = Periods(Ends(came.append, lambda: silence(TICK))), 0
    for length in lengths:
        periods.heard(numbered(said, length))
        said += length
    assert {len(period) for period in came} <= {TICK}
    assert sum(came, array("h")) == numbered(0, said // TICK * TICK)
    assert periods.counts == [len(lengths), 0]


@given(st.lists(st.integers(0, 3 * TICK), max_size=40))
def test_what_is_played_goes_out_in_order_and_none_of_it_early(lengths: list[int]) -> None:
    given = 0

    def play() -> Pcm:
        nonlocal given
        given += TICK
        return numbered(given - TICK, TICK)

    periods, played = Periods(Ends(lambda heard: None, play)), array("h")
    for length in lengths:
        piece = periods.played(length)
        assert len(piece) == length
        played += piece
    assert played == numbered(0, len(played))
    assert given - len(played) < TICK
    assert periods.counts == [0, len(lengths)]


@pytest.mark.parametrize("length", [TICK, 2 * TICK, MOST_WAITING * TICK])
def test_what_one_function_returns_is_played_next(length: int) -> None:
    periods = Periods(lambda period: period)
    for begin in (0, length):
        periods.heard(numbered(begin, length))
        assert periods.played(length) == numbered(begin, length)


def test_a_loudspeaker_that_is_ahead_gets_silence_and_one_behind_the_latest() -> None:
    periods = Periods(lambda period: period)
    assert periods.played(TICK) == silence(TICK)
    for number in range(10):
        periods.heard(numbered(number * TICK, TICK))
    assert periods.played(TICK) == numbered((10 - MOST_WAITING) * TICK, TICK)


def test_after_an_error_there_is_silence_and_a_reason() -> None:
    calls = []

    def wrong(period: Pcm) -> Pcm:
        calls.append(period)
        raise ZeroDivisionError

    periods = Periods(wrong)
    for _ in range(2):
        periods.heard(numbered(0, TICK))
        assert periods.played(TICK) == silence(TICK)
    assert isinstance(periods.fault, ZeroDivisionError)
    assert len(calls) == 1


def test_an_error_of_the_playing_end() -> None:
    def wrong() -> Pcm:
        raise ZeroDivisionError

    periods = Periods(Ends(lambda heard: None, wrong))
    assert periods.played(TICK) == silence(TICK)
    assert isinstance(periods.fault, ZeroDivisionError)


@pytest.mark.parametrize("length", [0, TICK - 1, TICK + 1])
def test_a_wrong_length_is_a_fault(length: int) -> None:
    periods = Periods(lambda _: silence(length))
    periods.heard(numbered(0, TICK))
    assert periods.played(TICK) == silence(TICK)
    assert isinstance(periods.fault, ValueError)


def test_after_its_end_nobody_is_asked_any_more() -> None:
    came: list[Pcm] = []
    periods = Periods(Ends(came.append, lambda: numbered(0, TICK)))
    periods.heard(silence(TICK))
    periods.end()
    periods.heard(silence(TICK))
    assert periods.played(TICK) == silence(TICK)
    assert len(came) == 1
    assert periods.fault is None
