"""One call's sound: what is said arrives, and nothing else is heard or sent."""

from __future__ import annotations

import itertools
import random

import pytest

from tincan.apps.call.voice import OPUS, RED, REPORT_EVERY, mouth_to_ear_ms
from tincan.audio import chimes, rtcp, rtp
from tincan.audio.pcm import FRAME, TICK, silence
from tincan.audio.rate import HIGHEST, HIGHEST_TWICE
from unit.apps.call.lines import ADA, BOB, LOUD, End, Line, quiet


def voice_packets(packets: list[bytes]) -> list[rtp.Packet]:
    return [rtp.parse(packet) for packet in packets if not 192 <= packet[1] <= 223]


def reports(packets: list[bytes]) -> list[rtcp.Report]:
    return [report for packet in packets if 192 <= packet[1] <= 223 for report in rtcp.parse(packet)]


def test_both_hear_each_other_in_frames_of_20_ms() -> None:
    line = Line()
    line.run(5)
    for end in (line.ada, line.bob):
        assert end.hears
        said = voice_packets(end.sent)
        assert len(said) == 250
        assert {(b.sequence - a.sequence) & 0xFFFF for a, b in itertools.pairwise(said)} == {1}
        assert {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in itertools.pairwise(said)} == {FRAME}
        assert [packet.marker for packet in said] == [True] + 249 * [False]
        assert {(packet.ssrc, packet.payload_type) for packet in said} == {(end.source, OPUS)}
        assert end.voice.quality.playout.late == 0


def test_the_estimate_of_mouth_to_ear_is_made_of_its_parts() -> None:
    line = Line(delay=0.03)
    assert mouth_to_ear_ms(line.ada.voice.quality, None, 20.0, 30.0) is None
    line.run(10)
    quality = line.ada.voice.quality
    assert quality.rtt == pytest.approx(0.06, abs=0.021)  # the devices look every 10 ms only
    parts = 25 + 20 + 500 * quality.rtt + quality.playout.current_ms
    assert mouth_to_ear_ms(quality, None, 20.0, 30.0) == pytest.approx(parts)
    assert parts < 120


def test_silence_is_not_sent() -> None:
    line = Line()
    line.ada.says = quiet()
    line.run(5)
    assert voice_packets(line.ada.sent) == []
    assert len(line.ada.sent) == pytest.approx(5 / REPORT_EVERY, abs=1)
    line.ada.says = LOUD[:]
    line.run(2)
    assert voice_packets(line.ada.sent)[0].marker
    assert line.bob.hears


def test_a_closed_microphone_is_neither_encoded_nor_sent() -> None:
    line = Line()
    line.run(2)
    line.ada.voice.open = False
    line.run(0.1)
    frames, packets = line.ada.encoder.frames, len(voice_packets(line.ada.sent))
    line.run(5)
    assert (line.ada.encoder.frames, len(voice_packets(line.ada.sent))) == (frames, packets)
    assert not line.ada.voice.quality.speaking
    assert line.ada.hears
    assert not line.bob.hears
    line.ada.voice.open = True
    line.run(1)
    assert line.bob.hears


def test_a_voice_that_begins_closed_says_nothing_at_all() -> None:
    line = Line()
    line.ada.voice.open = False
    line.run(3)
    assert voice_packets(line.ada.sent) == []
    assert line.ada.encoder.frames == 0


@pytest.mark.parametrize("red", [True, False])
def test_loss_brings_copies_where_the_peer_understands_them(red: bool) -> None:
    line = Line(red=red)
    line.run(3)
    assert line.ada.voice.quality.rate.bitrate == HIGHEST
    line.loss = 0.05
    line.run(20)
    quality = line.ada.voice.quality
    kinds = {packet.payload_type for packet in voice_packets(line.ada.sent)[-100:]}
    assert kinds == ({RED} if red else {OPUS})
    assert bool(quality.rate.redundant) is red
    assert quality.loss_there is not None
    assert 0 < quality.loss_there < 0.3
    heard = line.bob.voice.quality.playout
    if red:
        assert quality.rate.bitrate <= HIGHEST_TWICE
        assert heard.copies > 20
    else:
        assert line.ada.encoder.rate is not None
        assert line.ada.encoder.rate.expected_loss > 0
        assert heard.fec > 20
    line.loss = 0.0
    line.run(75)
    assert not line.ada.voice.quality.rate.redundant
    assert line.ada.voice.quality.rate.bitrate == HIGHEST


def test_an_outage_of_two_seconds_ends_by_itself() -> None:
    line = Line()
    line.run(5)
    line.loss = 1.0
    line.run(2)
    assert not line.bob.hears
    line.loss = 0.0
    line.run(1)
    assert line.bob.hears
    line.run(20)
    assert line.bob.voice.quality.playout.current_ms < 100


def test_a_loudspeaker_that_comes_late_does_not_hear_what_was_said_before() -> None:
    line = Line()
    packets: list[bytes] = []
    line.ada.alter = packets.append  # type: ignore[assignment]
    line.run(1)
    line.ada.alter = lambda packet: packet
    late = End("late", BOB, ADA)
    for number, packet in enumerate(packets):
        late.voice.arrived(packet, number * 0.02)
    for tick in range(50):
        late.voice.play(1.0 + tick * 0.01)
    assert late.voice.quality.playout.received <= 3


def test_a_chime_is_heard_and_never_sent() -> None:
    line = Line()
    line.ada.says = line.bob.says = quiet()
    line.run(1)
    line.ada.voice.chime(chimes.joined())
    line.run(0.1)
    assert any(any(piece) for piece in line.ada.heard[-10:])
    line.run(2)
    assert not any(any(piece) for piece in line.bob.heard)
    assert not any(line.ada.heard[-1])


class Mirror:
    """A cleaner that shows what it was given."""

    def __init__(self) -> None:
        self.played: list[int] = []

    def clean(self, heard: object, played: object) -> object:
        self.played.append(max(map(abs, played)))  # type: ignore[call-overload]
        return silence(TICK)


def test_what_is_taken_out_is_not_sent_and_the_cleaner_knows_what_was_played() -> None:
    line = Line()
    mirror = line.ada.voice.cleaner = Mirror()  # type: ignore[assignment]
    line.run(3)
    assert voice_packets(line.ada.sent) == []
    assert mirror.played[-1] > 5000


# -- a peer that does as it likes ---------------------------------------------------------


def test_another_source_or_kind_is_not_heard() -> None:
    line = Line()
    line.ada.says = line.bob.says = quiet()
    for number in range(300):
        line.run(0.02)
        for packet in (
            rtp.Packet(OPUS, number, number * FRAME, ADA ^ 1, bytes(8)),
            rtp.Packet(0, number, number * FRAME, ADA, bytes(8)),
            rtp.Packet(RED, number, number * FRAME, ADA, b"\x00" + bytes(8)),
        ):
            line.send(line.bob, rtp.pack(packet))
    assert not any(any(piece) for piece in line.bob.heard)
    assert line.bob.voice.quality.playout.received == 0


def test_reports_of_others_and_wild_ones_change_nothing_but_the_rate() -> None:
    line = Line()
    line.run(2)
    for block in (
        rtcp.ReportBlock(ADA ^ 1, 255, 1 << 22, 60000, 0),
        rtcp.ReportBlock(ADA, 255, 1 << 22, 0xFFFFFFFF, 0),
        rtcp.ReportBlock(ADA, 255, -(1 << 22), 5, 0),
        rtcp.ReportBlock(ADA, 0, 1 << 22, 0x7FFFFFFF, 0, 1, 1),
    ):
        line.send(line.ada, rtcp.pack([rtcp.Report(BOB, None, (block,)), rtcp.Report(BOB ^ 1, None, (block,))]))
        line.run(0.1)
        assert 24_000 <= line.ada.voice.quality.rate.bitrate <= HIGHEST
        assert 0 <= (line.ada.voice.quality.loss_there or 0) <= 1
    line.run(5)
    assert line.ada.hears


def test_no_packet_raises_or_stops_the_call() -> None:
    chance = random.Random(2)
    line = Line()
    line.run(1)
    good = line.ada.sent[:]
    for _ in range(3000):
        packet = bytearray(chance.choice(good))
        for _ in range(chance.randrange(4)):
            packet[chance.randrange(len(packet))] = chance.randrange(256)
        line.bob.voice.arrived(bytes(packet[: chance.randrange(len(packet) + 1)]), line.now)
        if chance.random() < 0.2:
            line.run(0.01)
    line.bob.voice.arrived(b"", line.now)
    line.run(10)
    assert line.bob.hears


def test_what_waits_for_the_devices_is_bounded() -> None:
    line = Line()
    line.run(1)
    for _ in range(100_000):
        line.bob.voice.arrived(line.ada.sent[-1], line.now)
    line.run(1)
    assert line.bob.voice.quality.playout.received < 1000


def test_reports_say_how_it_goes() -> None:
    line = Line()
    line.run(5)
    said = reports(line.ada.sent)
    assert len(said) == pytest.approx(5 / REPORT_EVERY, abs=1)
    last = said[-1]
    assert last.ssrc == ADA
    assert last.sender is not None
    assert last.sender.packets == pytest.approx(250, abs=30)
    assert [block.ssrc for block in last.blocks] == [BOB]
