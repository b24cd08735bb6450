"""Bits for voice: down at once, up with patience, copies before bits."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tincan.audio.rate import HIGHEST, HIGHEST_TWICE, LOWEST, Rate, RateController


def after(losses: list[float], *, copies: bool = True, every: float = 1.0) -> list[Rate]:
    controller = RateController(0.0, copies=copies)
    return [controller.report(loss, (number + 1) * every) for number, loss in enumerate(losses)]


def test_a_clean_path_has_the_best_sound() -> None:
    assert set(after([0.0] * 60)) == {Rate(HIGHEST, 0, 0)}


def test_loss_brings_copies_at_once_for_the_same_bits() -> None:
    [rate] = after([0.02])
    assert rate.redundant
    assert rate.bitrate == HIGHEST_TWICE
    assert rate.expected_loss == 2


def test_a_peer_without_copies_gets_fec() -> None:
    rates = after([0.1] * 5, copies=False)
    assert not any(rate.redundant for rate in rates)
    assert rates[-1].expected_loss == 10
    assert rates[-1].bitrate < HIGHEST


def test_heavy_loss_leads_to_the_lowest_rate() -> None:
    rates = after([0.2] * 10)
    assert rates[-1] == Rate(LOWEST, 2, 20)
    assert [rate.bitrate for rate in rates] == sorted((rate.bitrate for rate in rates), reverse=True)


def test_it_comes_back_slowly_and_the_copies_stop_last() -> None:
    rates = after([0.2] * 10 + [0.0] * 120)
    good = rates[10:]
    stopped = next(number for number, rate in enumerate(good) if not rate.redundant)
    assert 15 <= stopped <= 25
    fewer = next(number for number, rate in enumerate(good) if rate.redundant < 2)
    assert 15 <= fewer <= stopped
    assert good[3].bitrate == LOWEST
    assert good[stopped - 1].bitrate <= HIGHEST_TWICE
    assert rates[-1] == Rate(HIGHEST, 0, 0)


def test_loss_around_a_threshold_does_not_swing() -> None:
    rates = after([0.012, 0.008] * 100)
    assert all(rate.redundant for rate in rates)
    assert len({rate.bitrate for rate in rates}) == 1


def test_much_loss_brings_two_copies_of_the_smallest_size() -> None:
    [rate] = after([0.1])
    assert (rate.redundant, rate.bitrate) == (2, LOWEST)


def test_single_losses_change_nothing() -> None:
    """One packet in five seconds is 0.4 per cent of one report."""
    rates = after(([0.0] * 9 + [0.004]) * 10, every=5.0)
    assert {(rate.bitrate, rate.redundant) for rate in rates} == {(HIGHEST, 0)}


@given(st.lists(st.tuples(st.floats(-1, 2), st.floats(0, 100)), max_size=60), st.booleans())
def test_whatever_is_reported_the_rate_stays_in_its_bounds(reports: list[tuple[float, float]], copies: bool) -> None:
    controller, now = RateController(0.0, copies=copies), 0.0
    for loss, later in reports:
        now += later
        rate = controller.report(loss, now)
        assert LOWEST <= rate.bitrate <= (HIGHEST_TWICE if rate.redundant else HIGHEST)
        assert 0 <= rate.expected_loss <= 30
        assert copies or not rate.redundant
