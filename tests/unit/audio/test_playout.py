"""What is heard when packets get lost, come twice, or are never sent."""

from __future__ import annotations

from random import Random

import pytest

from tincan.audio import Playout, State
from tincan.audio.pcm import FRAME
from tincan.audio.tones import ToneDecoder, tone_payload
from unit.audio.helpers import CLICK, TONE_STEP, Path, even, hear, listen, packets

# -- loss --------------------------------------------------------------------------


def test_nothing_is_lost_on_a_clean_path() -> None:
    decoder = ToneDecoder()
    result = hear(Path(), decoder=decoder)
    assert decoder.decoded == list(range(decoder.decoded[0], 1500))
    assert result.steepest <= TONE_STEP
    statistics = result.playout.statistics()
    assert (statistics.received, statistics.late, statistics.rejected, statistics.loss) == (1500, 0, 0, 0.0)


@pytest.mark.parametrize(("copies", "origin"), [(True, "copies"), (False, "fec")])
def test_single_losses_are_made_good(copies: bool, origin: str) -> None:
    result = hear(Path(lost=lambda number, at: number % 20 == 10, copies=copies))
    statistics = result.playout.statistics()
    assert getattr(statistics, origin) >= 65  # of 75; those before the delay was learnt are made up
    assert statistics.concealed_ms < 150
    assert statistics.target_ms >= 40
    assert statistics.loss == pytest.approx(0.05, abs=0.01)
    assert result.steepest < CLICK


def test_below_one_per_cent_of_loss_the_delay_stays_short() -> None:
    result = hear(Path(lost=lambda number, at: number % 250 == 100))
    assert max(result.delays[8:]) < 35
    assert result.steepest < CLICK


def test_bursts_are_concealed_without_clicks() -> None:
    result = hear(Path(lost=lambda number, at: number % 100 in {40, 41, 42}, delay=even(0.01)))
    assert result.steepest < CLICK
    assert 20 * 10 < result.playout.statistics().concealed_ms < 20 * 60


@pytest.mark.parametrize("seed", range(4))
def test_a_bad_path_is_heard_without_clicks_and_gaps(seed: int) -> None:
    result = hear(Path(loss=0.2, delay=even(0.06), copies=True), seed=seed)
    statistics = result.playout.statistics()
    assert result.steepest < CLICK
    assert statistics.concealed_ms < 0.1 * 30_000
    assert statistics.current_ms < 130


@pytest.mark.parametrize("seed", range(2))
def test_reordering_loses_nothing_once_the_delay_is_learnt(seed: int) -> None:
    result = hear(Path(delay=even(0.05)), seed=seed)  # every second packet overtakes one
    statistics = result.playout.statistics()
    assert statistics.late < 15
    assert statistics.loss == 0
    assert result.steepest < CLICK


def test_an_outage_becomes_noise_and_then_goes_on_as_before() -> None:
    result = hear(Path(lost=lambda number, at: 10 < at < 12))
    statistics = result.playout.statistics()
    assert statistics.current_ms < 30
    assert 1900 < statistics.concealed_ms < 2100
    assert result.steepest < CLICK


def test_an_outage_that_ends_with_everything_at_once_is_not_heard_late() -> None:
    result = hear(Path(delay=lambda rng, at: 12 - at if 10 < at < 12 else 0.0))
    assert max(result.delays[15:]) < 60
    assert result.playout.statistics().dropped_ms > 800
    assert result.steepest < CLICK


def test_duplicates_are_played_once() -> None:
    twice = [(at, sent) for arrival in packets(Path(), 10, 1) for at, sent in (arrival, arrival)]
    decoder = ToneDecoder()
    statistics = listen(twice, decoder, seconds=10).playout.statistics()
    assert statistics.duplicate == 500
    assert decoder.decoded == list(range(500))


# -- silence -----------------------------------------------------------------------


def test_silence_is_not_loss() -> None:
    """Three seconds of voice, then three of nothing but a frame every 400 ms, as Opus does."""
    result = hear(Path(spoken=lambda number: number % 300 < 150 or number % 20 == 0))
    statistics = result.playout.statistics()
    assert statistics.silent_ms > 12_000
    assert statistics.concealed_ms == 0
    assert statistics.loss == 0
    assert statistics.target_ms < 20
    assert statistics.restarts == 0


def test_a_long_silence_ends_with_a_new_beginning() -> None:
    result = hear(Path(spoken=lambda number: number < 500 or number > 1000, drift=300), seconds=25)
    assert result.playout.state is State.PAUSED or result.playout.statistics().current_ms < 60
    assert result.playout.statistics().late == 0


def test_nothing_is_heard_before_anything_came() -> None:
    playout = Playout(ToneDecoder(), Random(1))
    assert set(playout.pull(0.0) + playout.pull(0.01)) == {0}
    assert playout.state is State.IDLE


def test_a_pause_sounds_like_the_room_and_not_like_a_dead_line() -> None:
    playout = Playout(ToneDecoder(), Random(1))
    for number in range(50):
        playout.receive(number, number * FRAME, tone_payload(number), now=number * 0.02)
        playout.pull(number * 0.02)
        playout.pull(number * 0.02 + 0.01)
    for pull in range(100, 200):
        pcm = playout.pull(pull * 0.01)
    assert playout.state is State.PAUSED
    assert 0 < max(pcm) < 1000
