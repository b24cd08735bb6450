"""What was played comes in order, is not waited for, and does not wait long."""

from __future__ import annotations

from array import array

from tincan.audio.pcm import TICK, Pcm, silence
from tincan.audio.reference import LEAST, MOST, Reference


def period(number: int) -> Pcm:
    return array("h", [number]) * TICK


def test_in_step_each_is_returned_at_once() -> None:
    reference = Reference()
    for number in range(1, 500):
        reference.played(period(number))
        assert reference.next() == period(number)


def test_nothing_there_is_silence() -> None:
    assert Reference().next() == silence(TICK)


def test_what_was_played_before_the_microphone_came_is_left_out() -> None:
    reference = Reference()
    for number in range(1, 9):
        reference.played(period(number))
    assert reference.next() == period(8 - LEAST)


def test_a_late_microphone_misses_nothing() -> None:
    reference = Reference()
    reference.played(period(1))
    reference.next()
    for number in range(2, 2 + MOST):
        reference.played(period(number))
    assert [reference.next()[0] for _ in range(MOST)] == list(range(2, 2 + MOST))


def test_what_waits_for_nothing_is_left_out_in_time() -> None:
    reference = Reference()
    reference.played(period(1))
    reference.next()
    for number in range(2, 8):
        reference.played(period(number))
    for number in range(8, 400):
        reference.played(period(number))
        heard = reference.next()
    assert heard == period(399 - LEAST)
