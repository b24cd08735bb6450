"""Reports, what is in them, and what they say of the round trip."""

from __future__ import annotations

import contextlib
import dataclasses
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.audio.pcm import FRAME
from tincan.audio.reception import Reception
from tincan.audio.rtcp import Report, ReportBlock, SenderInfo, middle, ntp_time, pack, parse, round_trip
from tincan.audio.rtp import MalformedRtp
from tincan.errors import UsageError

SENDER = bytes.fromhex(
    "81 c8 000c 00000007"  # one block, sender report, 13 words, SSRC 7
    "e1234567 89abcdef 00000bb8 00000064 00001f40"
    "00000008 40fffffe 0001ffff 00000030 456789ab 00008000"
)
RECEIVER = bytes.fromhex("81 c9 0007 00000007 00000008 00000003 00000010 00000001 00000000 00000000")
DESCRIPTION = bytes.fromhex("81 ca 0002 00000007 01026869 "[:-1])

BLOCK = ReportBlock(8, 0x40, -2, 0x1FFFF, 0x30, 0x456789AB, 0x8000)


def test_recorded_reports() -> None:
    info = SenderInfo(0xE123456789ABCDEF, 3000, 100, 8000)
    assert parse(SENDER) == (Report(7, info, (BLOCK,)),)
    assert parse(RECEIVER) == (Report(7, None, (ReportBlock(8, 0, 3, 16, 1),)),)
    assert pack(parse(SENDER)) == SENDER
    assert pack(parse(RECEIVER)) == RECEIVER
    assert BLOCK.loss == 0.25


def test_other_kinds_in_a_compound_packet_are_left_out() -> None:
    assert parse(SENDER + DESCRIPTION + RECEIVER) == (*parse(SENDER), *parse(RECEIVER))


def test_a_report_may_have_no_block() -> None:
    assert parse(pack([Report(9)])) == (Report(9),)


@pytest.mark.parametrize("whole", [SENDER, RECEIVER, DESCRIPTION])
def test_a_report_that_is_cut_off_is_refused(whole: bytes) -> None:
    for length in range(len(whole)):
        with pytest.raises(MalformedRtp):
            parse(whole[:length])


@pytest.mark.parametrize("data", [b"\x41" + SENDER[1:], b"\x82" + SENDER[1:], bytes.fromhex("80c80000"), bytes(2000)])
def test_contradictions_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedRtp):
        parse(data)


def test_numbers_that_do_not_fit_are_our_mistake() -> None:
    for block in (dataclasses.replace(BLOCK, fraction_lost=256), dataclasses.replace(BLOCK, ssrc=2**32)):
        with pytest.raises(UsageError):
            pack([Report(1, None, (block,))])
    with pytest.raises(UsageError):
        pack([Report(1, None, (BLOCK,) * 32)])


@settings(max_examples=300)
@given(st.sampled_from([SENDER, RECEIVER, SENDER + DESCRIPTION]), st.data())
def test_anything_is_reports_or_malformed(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=4))
    try:
        reports = parse(bytes(changed))
    except MalformedRtp:
        return
    assert parse(pack(reports)) == reports if reports else True


@given(st.binary(max_size=100))
def test_random_bytes(data: bytes) -> None:
    with contextlib.suppress(MalformedRtp):
        parse(data)


# -- what they say -----------------------------------------------------------------


def test_the_round_trip_is_what_is_left_without_the_peers_delay() -> None:
    sent = ntp_time(1_800_000_000.0)
    peer = Reception(1)
    peer.receive(1, 0, 10.0)
    peer.sender_reported(SenderInfo(sent, 0, 0, 0), 10.0)
    block = peer.block(12.5)
    trip = round_trip(block, ntp_time(1_800_000_000.0 + 2.5 + 0.080))
    assert trip == pytest.approx(0.080, abs=0.001)


def test_a_round_trip_over_the_wrap_of_the_middle_bits() -> None:
    block = dataclasses.replace(BLOCK, last_report=0xFFFFFFF0, delay=0)
    assert round_trip(block, 0x10 << 16) == pytest.approx(0x20 / 65536)


@pytest.mark.parametrize(
    "block",
    [
        dataclasses.replace(BLOCK, last_report=0),
        dataclasses.replace(BLOCK, last_report=1000 * 65536, delay=65536),
        dataclasses.replace(BLOCK, last_report=1, delay=0),
    ],
    ids=["no report", "longer than since then", "a quarter of an hour"],
)
def test_absurd_round_trips_are_unknown(block: ReportBlock) -> None:
    assert round_trip(block, 1000 * 65536 << 16) is None


def test_middle_bits() -> None:
    assert middle(0xE123456789ABCDEF) == 0x456789AB


# -- what is reported --------------------------------------------------------------


def received(numbers: list[int], jitter: float = 0.0) -> Reception:
    rng = Random(3)
    reception = Reception(5)
    for number in numbers:
        at = number * 0.02 + rng.uniform(0, jitter)
        reception.receive(number & 0xFFFF, number * FRAME & 0xFFFFFFFF, at)
    return reception


def test_losses_are_counted_by_interval() -> None:
    reception = received([number for number in range(65_500, 65_600) if number % 10])
    block = reception.block(0.0)
    assert (block.fraction_lost, block.cumulative_lost) == (256 * 9 // 99, 9)  # the very first one is not missed
    assert block.highest_sequence == 65_599
    assert reception.block(0.0).fraction_lost == 0


def test_late_ones_are_not_lost_and_doubles_make_up_for_losses() -> None:
    assert received([0, 2, 1, 3]).block(0.0).cumulative_lost == 0
    assert received([0, 1, 1, 2]).block(0.0).cumulative_lost == -1


def test_jitter_is_smoothed() -> None:
    """Two packets of an even spread differ by a third of it."""
    assert received(list(range(1000))).block(0.0).jitter == 0
    assert received(list(range(1000)), jitter=0.03).jitter == pytest.approx(0.01, rel=0.4)


def test_one_wild_number_is_ignored_and_two_begin_anew() -> None:
    reception = received([*range(100), 40_000, *range(100, 200)])
    assert reception.block(0.0).cumulative_lost == 0
    assert reception.block(0.0).highest_sequence == 199
    again = received([*range(100), 40_000, 40_001, 40_002])
    assert again.block(0.0).highest_sequence == 40_002


def test_nothing_received_is_nothing_lost() -> None:
    block = Reception(5).block(1.0)
    assert (block.ssrc, block.fraction_lost, block.cumulative_lost, block.delay) == (5, 0, 0, 0)
    assert parse(pack([Report(1, None, (block,))]))


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 2**32 - 1), st.floats(0, 1e6)), max_size=50))
def test_whatever_is_received_can_be_reported(packets: list[tuple[int, int, float]]) -> None:
    reception = Reception(5)
    for sequence, timestamp, now in packets:
        reception.receive(sequence, timestamp, now)
        assert parse(pack([Report(1, None, (reception.block(now),))]))
