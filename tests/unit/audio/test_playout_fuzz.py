"""Senders that begin again, numbers that make no sense, and anything else that may come."""

from __future__ import annotations

from array import array
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.audio import Playout
from tincan.audio.pcm import FRAME, RATE, TICK, Pcm
from tincan.audio.red import Block
from tincan.audio.shelf import MAX_SPAN
from tincan.audio.tones import ToneDecoder, tone_payload
from tincan.errors import ProtocolError
from unit.audio.helpers import CLICK, Path, even, hear, listen, packets

# -- senders that begin again ------------------------------------------------------


@pytest.mark.parametrize(
    "second",
    [Path(first_sequence=7, first_timestamp=5), Path(first_sequence=30_000, first_timestamp=2**31 + 5)],
)
def test_a_sender_that_begins_again_is_heard_at_once(second: Path) -> None:
    first = list(packets(Path(first_sequence=100, first_timestamp=1_000_000), 10, 1))
    then = [(at + 10, sent) for at, sent in packets(second, 10, 1)]
    result = listen(first + then, ToneDecoder(), seconds=20)
    statistics = result.playout.statistics()
    assert statistics.restarts == 1
    assert statistics.rejected <= 3
    assert result.steepest < CLICK
    assert statistics.current_ms < 30


def test_a_new_stream_that_is_announced_loses_no_packet() -> None:
    decoder = ToneDecoder()
    playout = Playout(decoder, Random(1))
    for number in range(100):
        if number == 50:
            playout.restart()
        base = 0 if number < 50 else 4_000_000_000
        playout.receive(number, (base + number * FRAME) & 0xFFFFFFFF, tone_payload(number), now=number * 0.02)
        for half in range(2):
            playout.pull(number * 0.02 + half * 0.01)
    assert decoder.decoded[-1] >= 96
    assert playout.statistics().rejected == 0


def test_one_wild_packet_changes_nothing() -> None:
    arriving = list(packets(Path(), 10, 1))
    at, sent = arriving[300]
    wild = type(sent)(77, (sent.sequence + 20_000) & 0xFFFF, (sent.timestamp + 2**30) & 0xFFFFFFFF, at)
    decoder = ToneDecoder()
    statistics = listen([*arriving[:300], (at, wild), *arriving[300:]], decoder, seconds=10).playout.statistics()
    assert statistics.rejected == 1
    assert decoder.decoded == list(range(500))


def test_a_timestamp_that_goes_back_silences_nobody_for_long() -> None:
    first = list(packets(Path(first_timestamp=1_000_000), 10, 1))
    then = [(at + 10, sent) for at, sent in packets(Path(first_timestamp=1_000_000 + 450 * FRAME), 10, 1)]
    joined = [
        (at, type(sent)(sent.number, n & 0xFFFF, sent.timestamp, sent.at))
        for n, (at, sent) in enumerate(first + then)
    ]
    decoder = ToneDecoder()
    statistics = listen(joined, decoder, seconds=20).playout.statistics()
    assert decoder.decoded[-400:] == list(range(100, 500))
    assert statistics.late <= 8 + 1


# -- whatever comes ----------------------------------------------------------------


class Fragile(ToneDecoder):
    """Refuses some payloads, and returns lengths nobody expects."""

    def decode(self, payload: bytes, /) -> Pcm:
        if payload[0] % 7 == 0:
            raise ProtocolError("no")
        return array("h", [payload[0] * 128 - 16384]) * (payload[0] * 40)

    def decode_fec(self, next_payload: bytes, /) -> Pcm:
        return self.decode(next_payload)


block = st.builds(Block, st.integers(0, 127), st.integers(0, 2**14 - 1), st.binary(max_size=3))
step = st.one_of(
    st.tuples(
        st.just("receive"),
        st.integers(0, 65535) | st.integers(0, 40),
        st.integers(0, 2**32 - 1) | st.integers(0, 100).map(lambda n: n * FRAME) | st.integers(0, 100_000),
        st.binary(max_size=3),
        st.lists(block, max_size=6),
    ),
    st.tuples(st.just("pull"), st.integers(1, 30), st.floats(-1, 20), st.just(b""), st.just([])),
    st.tuples(st.just("restart"), st.just(0), st.just(0), st.just(b""), st.just([])),
)


@settings(deadline=None)
@given(st.lists(step, max_size=80), st.integers(0, 2**32))
def test_whatever_comes_there_are_10_ms_of_sound(
    steps: list[tuple[str, int, float, bytes, list[Block]]], seed: int
) -> None:
    playout = Playout(Fragile(), Random(seed))
    now = 100.0
    for kind, number, value, payload, blocks in steps:
        if kind == "receive":
            playout.receive(number, int(value), payload, blocks, now=now)
        elif kind == "restart":
            playout.restart()
        else:
            now += value if value < 0.5 or number == 1 else 0.01
            for pull in range(number):
                assert len(playout.pull(now + pull * 0.01)) == TICK
            now += number * 0.01
        assert playout.statistics().buffered_ms <= 1000 * (MAX_SPAN + FRAME + 6 * FRAME + TICK) / RATE
        assert playout.statistics().target_ms <= 500


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.floats(0, 0.6), st.floats(0, 0.3), st.booleans(), st.integers(-500, 500))
def test_any_network_is_heard_without_clicks(seed: int, loss: float, spread: float, copies: bool, drift: int) -> None:
    result = hear(Path(loss=loss, delay=even(spread), copies=copies, drift=drift), seconds=6, seed=seed)
    assert result.steepest < CLICK
    assert result.playout.statistics().buffered_ms < 1200
