"""Bytes per second, with the clock in the test's hand."""

from __future__ import annotations

import pytest

from tincan.apps.files.rate import RateMeter


def test_nothing_is_known_at_first() -> None:
    meter = RateMeter(100.0)
    assert meter.rate(100.0) == 0
    assert meter.seconds_left(100.0, 10) is None


def test_a_steady_rate() -> None:
    meter = RateMeter(0.0)
    for step in range(1, 200):
        meter.add(step * 0.05, step * 50)
    assert meter.rate(9.95) == pytest.approx(1000)
    assert meter.seconds_left(9.95, 199 * 50 + 3000) == pytest.approx(3, rel=0.01)
    assert meter.seconds_left(9.95, None) is None


def test_the_window_forgets() -> None:
    meter = RateMeter(0.0)
    meter.add(1.0, 1_000_000)
    for second in range(2, 20):
        meter.add(float(second), 1_000_000 + second)
    assert meter.rate(19.0) == pytest.approx(1, rel=0.3)


def test_what_was_there_before_is_no_speed() -> None:
    meter = RateMeter(0.0, 5000)
    meter.add(1.0, 5100)
    assert meter.rate(1.0) == pytest.approx(100)
