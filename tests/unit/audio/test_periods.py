"""Pieces of any length are exchanged by whole periods, in order, and no error gets out."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.audio.pcm import TICK, Pcm, silence
from tincan.audio.periods import Periods


def numbered(begin: int, length: int) -> Pcm:
    return array("h", (n % 30_000 + 1 for n in range(begin, begin + length)))


@given(st.lists(st.integers(0, 3 * TICK), max_size=40))
def test_everything_comes_back_in_order_at_most_one_period_late(lengths: list[int]) -> None:
    seen: list[int] = []

    def exchange(period: Pcm) -> Pcm:
        seen.append(len(period))
        return period

    periods, said, played = Periods(exchange), 0, array("h")
    for length in lengths:
        back = periods.turn(numbered(said, length))
        assert len(back) == length
        said += length
        played += back
    came = array("h", filter(None, played))
    assert len(played) - len(came) <= TICK
    assert came == numbered(0, len(came))
    assert set(seen) <= {TICK}
    assert periods.count == len(lengths)


@pytest.mark.parametrize("length", [TICK, 2 * TICK, 5 * TICK])
def test_whole_periods_come_back_at_once(length: int) -> None:
    periods = Periods(lambda period: period)
    assert periods.turn(numbered(0, length)) == numbered(0, length)
    assert periods.turn(numbered(length, length)) == numbered(length, length)


def test_after_an_error_there_is_silence_and_a_reason() -> None:
    calls = []

    def wrong(period: Pcm) -> Pcm:
        calls.append(period)
        raise ZeroDivisionError

    periods = Periods(wrong)
    assert periods.turn(numbered(0, TICK)) == silence(TICK)
    assert periods.turn(numbered(0, TICK)) == silence(TICK)
    assert isinstance(periods.fault, ZeroDivisionError)
    assert len(calls) == 1


@pytest.mark.parametrize("length", [0, TICK - 1, TICK + 1])
def test_a_wrong_length_is_a_fault(length: int) -> None:
    periods = Periods(lambda _: silence(length))
    assert periods.turn(numbered(0, TICK)) == silence(TICK)
    assert isinstance(periods.fault, ValueError)
