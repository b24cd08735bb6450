from __future__ import annotations

import pytest

from tincan.nat.portmap.retry import GOODBYE, NAT_PMP, Retries, pcp_schedule


def times(waits: tuple[float, ...], start: float) -> tuple[list[float], float]:
    """Drive the core as its user does; return when it sends, and when it gives up."""
    now, sent = start, []
    retries = Retries(waits, now)
    while True:
        if retries.take(now):
            sent.append(now)
        deadline = retries.next_deadline(now)
        if deadline is None:
            return sent, now
        assert deadline > now
        now = deadline


def test_nat_pmp_doubles_its_waits() -> None:
    assert times(NAT_PMP, 100) == ([100, 100.25, 100.75, 101.75, 103.75], 107.75)


def test_a_goodbye_fits_into_its_second() -> None:
    sent, end = times(GOODBYE, 0)
    assert len(sent) == 2
    assert end < 1


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_pcp_waits_three_seconds_give_or_take_a_tenth(chance: float) -> None:
    first, second = pcp_schedule(chance)
    assert 2.69 < first < 3.31
    assert second == pytest.approx(2 * first)


def test_what_is_overdue_is_sent_once() -> None:
    retries = Retries(NAT_PMP, 0)
    assert retries.take(1)
    assert not retries.take(1)
    assert retries.next_deadline(1) == 1.75


def test_a_machine_that_slept_gives_up_after_one_more_try() -> None:
    retries = Retries(NAT_PMP, 0)
    assert retries.take(3600)
    assert retries.next_deadline(3600) is None
