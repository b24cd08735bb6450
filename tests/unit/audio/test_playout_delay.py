"""How late a voice is heard, and what becomes of clocks that differ."""

from __future__ import annotations

from array import array
from random import Random

import pytest

from tincan.audio import Playout
from tincan.audio.pcm import FRAME, RATE, TICK, Pcm
from tincan.audio.tones import ToneDecoder, tone_payload
from unit.audio.helpers import CLICK, TONE_STEP, Path, bell, even, hear, listen, mouth_to_ear, packets, share

# -- delay -------------------------------------------------------------------------


@pytest.mark.parametrize("phase", [0.0, 0.0025, 0.005, 0.0099])
def test_a_clean_path_costs_less_than_30_ms(phase: float) -> None:
    delays = mouth_to_ear(Path(), phase=phase)
    assert delays[0] >= 8
    assert delays[-1] < 30


def test_jitter_costs_as_much_as_it_is_and_little_more() -> None:
    assert share(mouth_to_ear(Path(delay=even(0.020))), 0.95) < 20 + 25
    assert share(mouth_to_ear(Path(delay=bell(0.010))), 0.95) < 20 + 60  # 10 ms of deviation spread over 60


@pytest.mark.parametrize("copies", [True, False])
def test_loss_of_5_per_cent_with_10_ms_of_jitter_costs_less_than_60_ms(copies: bool) -> None:
    delays = mouth_to_ear(Path(loss=0.05, delay=even(0.020), copies=copies))
    assert share(delays, 0.95) < 60


def test_the_delay_goes_down_again_after_the_path_became_better() -> None:
    late = hear(Path(delay=lambda rng, at: rng.uniform(0, 0.2) if at < 15 else 0.0))
    assert max(late.delays[5:15]) > 150
    assert late.delays[-1] < 30
    assert late.steepest < CLICK


def test_a_longer_way_is_followed_with_one_gap_only() -> None:
    statistics = hear(Path(delay=lambda rng, at: 0.3 if at > 10 else 0.0)).playout.statistics()
    assert statistics.current_ms < 30  # counted from what the new way takes
    assert statistics.waited_ms + statistics.concealed_ms < 450
    assert statistics.restarts == 0


@pytest.mark.parametrize("drift", [-200, 200])
def test_two_clocks_may_differ_for_an_hour(drift: int) -> None:
    """The delay does not grow, and nothing clicks: no sample of the hour is steeper than two of the tone."""
    result = listen(packets(Path(drift=drift, delay=even(0.005)), 3600, 5), ToneDecoder(), seconds=3600)
    statistics = result.playout.statistics()
    assert result.steepest < 2 * TONE_STEP
    assert max(result.delays[-600:]) <= max(result.delays[5:600]) + 5
    assert max(result.delays[5:-5]) < 35
    assert min(result.delays[5:-5]) > 5
    made = statistics.stretched_ms if drift < 0 else statistics.shrunk_ms
    assert 650 < made < 850  # 720 ms are 200 millionths of an hour
    assert statistics.concealed_ms == 0
    assert statistics.waited_ms <= 60  # before the first frame


@pytest.mark.parametrize("drift", [-500, 500])
def test_drift_is_not_heard(drift: int) -> None:
    result = hear(Path(drift=drift), seconds=120)
    assert result.steepest < 2 * TONE_STEP
    assert max(result.delays[5:-1]) < 35
    assert result.playout.statistics().concealed_ms == 0


# -- devices -----------------------------------------------------------------------


def test_a_device_that_asks_in_bursts_is_served_without_gaps() -> None:
    decoder = ToneDecoder()
    playout = Playout(decoder, Random(1))
    for number in range(1500):
        playout.receive(number, number * FRAME, tone_payload(number), now=number * 0.02)
        if number % 2:
            for _ in range(4):
                playout.pull(number * 0.02 + 0.001)
    statistics = playout.statistics()
    assert statistics.concealed_ms + statistics.waited_ms < 200  # while it was learnt
    assert statistics.shrunk_ms < 100
    assert decoder.guesses < 20


def test_a_device_that_stopped_for_seconds_catches_up() -> None:
    playout = Playout(ToneDecoder(), Random(1))
    for number in range(1000):
        playout.receive(number, number * FRAME, tone_payload(number), now=number * 0.02)
        if not 500 < number < 650:
            for half in range(2):
                playout.pull(number * 0.02 + half * 0.01)
    assert playout.statistics().current_ms < 60
    assert playout.statistics().dropped_ms > 2000


@pytest.mark.parametrize("samples", [120, TICK, 3 * FRAME, 6 * FRAME])
def test_frames_of_other_lengths(samples: int) -> None:
    class Other(ToneDecoder):
        def decode(self, payload: bytes, /) -> Pcm:
            super().decode(payload)
            return array("h", [self.decoded[-1]]) * samples

    decoder = Other()
    playout = Playout(decoder, Random(1))
    sent = 0
    for pull in range(2000):
        while sent * samples / RATE <= pull * 0.01:
            playout.receive(sent & 0xFFFF, sent * samples, tone_payload(sent), now=sent * samples / RATE)
            sent += 1
        assert len(playout.pull(pull * 0.01)) == TICK
    assert decoder.decoded == list(range(decoder.decoded[0], decoder.decoded[-1] + 1))
    assert playout.statistics().current_ms < 50
