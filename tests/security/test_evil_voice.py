"""Whatever a peer sends in a call, the call goes on: RTP, RTCP, RED and Opus, damaged in every way.

Two real voices with the real codec talk to each other. Between good packets come
bad ones. Each 10 ms the loudspeaker gets its 480 samples and the microphone is
taken, and soon after the last bad packet the other one is heard again.
"""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator
from functools import cache
from math import pi, sin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.apps.call.protocol import Talk
from tincan.apps.call.session import OpusEncoder
from tincan.apps.call.voice import MAX_WAITING, OPUS, RED, Voice
from tincan.audio import opus, red, rtcp, rtp
from tincan.audio.pcm import FRAME, RATE, TICK, Pcm, loudness, silence

pytest.importorskip("av")

OURS, THEIRS = 0x0A0A0A0A, 0x0B0B0B0B
patient = settings(deadline=None, max_examples=25)  # a busy machine is not a bug


class Victim:
    """A voice that listens, and what it hears. ``now`` counts by what it plays."""

    def __init__(self) -> None:
        self.voice = Voice(Talk(OURS, THEIRS, True), OpusEncoder(), opus.Decoder(), random.Random(1), 0.0)
        self.now = 0.0
        self._number = random.Random(2).getrandbits(16)

    def tick(self) -> Pcm:
        """10 ms of both devices."""
        self.now += TICK / RATE
        self.voice.hear(silence(TICK), self.now)
        self.voice.data_to_send()
        played = self.voice.play(self.now)
        assert len(played) == TICK
        return played

    def hears(self, seconds: float) -> float:
        """Let the peer talk well for a while; return how loud the last 100 ms were."""
        last: list[Pcm] = []
        for number in range(round(seconds * 50)):
            self.voice.arrived(self.good(number), self.now)
            last = [*last[-8:], self.tick(), self.tick()]
        return min(map(loudness, last))

    def good(self, number: int) -> bytes:
        """The next packet of the peer, as it should be."""
        self._number += 1
        payload = payloads()[number % len(payloads())]
        numbers = self._number & 0xFFFF, self._number * FRAME & 0xFFFFFFFF
        return rtp.pack(rtp.Packet(OPUS, *numbers, THEIRS, payload))


@cache
def payloads() -> tuple[bytes, ...]:
    """A second of a loud voice, more or less, encoded."""
    encoder = opus.Encoder(opus.Settings(32_000))
    wave = array(
        "h", (int(9000 * sin(2 * pi * 220 * n / RATE) + 5000 * sin(2 * pi * 650 * n / RATE)) for n in range(RATE))
    )
    return tuple(encoder.encode(wave[at : at + FRAME]) for at in range(0, RATE, FRAME))


octets = st.binary(max_size=60)
payload = st.one_of(octets, st.sampled_from(payloads()), st.sampled_from(payloads()).map(lambda p: p[: len(p) // 2]))
block = st.builds(red.Block, st.just(OPUS), st.integers(1, red.MAX_OFFSET), payload)
copies = st.builds(
    lambda some, newest: red.pack([*some, red.Block(OPUS, 0, newest)]), st.lists(block, max_size=6), payload
)


def packet(kind: int, body: bytes, sequence: int, timestamp: int, source: int) -> bytes:
    return rtp.pack(rtp.Packet(kind, sequence, timestamp, source, body))


forged = st.builds(
    packet,
    st.sampled_from([OPUS, RED, OPUS, RED, 0, 126]),
    st.one_of(payload, copies),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([THEIRS, THEIRS, OURS, 7]),
)
number = st.integers(0, 0xFFFFFFFF)
reports = st.builds(
    lambda source, ntp, block: rtcp.pack([rtcp.Report(source, rtcp.SenderInfo(ntp, 1, 2, 3), (block,))]),
    st.sampled_from([THEIRS, OURS]),
    st.integers(0, (1 << 64) - 1),
    st.builds(
        rtcp.ReportBlock,
        st.sampled_from([OURS, THEIRS]),
        st.integers(0, 255),
        number.map(lambda n: n % 8_000_000),
        *[number] * 4,
    ),
)


def damaged(whole: bytes, seed: int) -> bytes:
    """Some bits of it turned round, or cut, or longer."""
    rng = random.Random(seed)
    data = bytearray(whole)
    for _ in range(rng.randint(0, 4)):
        if data:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data[: rng.randint(0, len(data))]) if rng.random() < 0.3 else bytes(data) + bytes(rng.randint(0, 9))


evil = st.one_of(octets, forged, reports, st.builds(damaged, st.one_of(forged, reports), st.integers(0, 1 << 30)))


@patient
@given(st.lists(st.lists(evil, max_size=4), max_size=40))
def test_no_packet_crashes_or_silences_a_call(storm: list[list[bytes]]) -> None:
    victim = Victim()
    assert victim.hears(0.5) > 1000
    for packets in storm:
        for data in packets:
            victim.voice.arrived(data, victim.now)
        victim.tick()
    assert victim.hears(3) > 1000


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1 << 30))
def test_a_peer_that_damages_each_of_its_packets_is_heard_as_soon_as_it_stops(seed: int) -> None:
    victim = Victim()
    for count in range(60):
        victim.voice.arrived(damaged(victim.good(count), seed + count), victim.now)
        victim.tick()
        victim.tick()
    assert victim.hears(3) > 1000


def all_first_bytes() -> Iterator[bytes]:
    """One payload of each mode, bandwidth, length and framing of Opus (RFC 6716 section 3.1), with rubbish behind."""
    rng = random.Random(3)
    for first in range(256):
        for length in (0, 1, 2, 40, 300):
            yield bytes([first]) + rng.randbytes(length)


def test_every_kind_of_opus_frame_may_be_rubbish() -> None:
    victim = Victim()
    for at, body in enumerate(all_first_bytes()):
        sequence, timestamp = at & 0xFFFF, at * FRAME & 0xFFFFFFFF
        victim.voice.arrived(packet(OPUS, body, sequence, timestamp, THEIRS), victim.now)
        victim.tick()
        victim.tick()
    assert victim.hears(3) > 1000


class Hydra(bytes):
    """A packet that is followed by another one as soon as somebody looks at it."""

    victim: Victim
    looked = 0

    def __len__(self) -> int:
        Hydra.looked += 1
        assert Hydra.looked < 20 * MAX_WAITING, "there is no end to it"
        self.victim.voice.arrived(self, self.victim.now)
        return super().__len__()


def test_a_flood_does_not_hold_the_device_up() -> None:
    """What comes while packets are looked at waits for the next time: a peer may send quicker than we look."""
    victim = Victim()
    assert victim.hears(0.5) > 1000
    for number in range(2 * MAX_WAITING):
        head = Hydra(packet(OPUS, b"\x78rubbish", number, number * FRAME, THEIRS))
        head.victim = victim
        victim.voice.arrived(head, victim.now)
    victim.tick()
    assert Hydra.looked >= MAX_WAITING
    for _ in range(MAX_WAITING):  # push them out
        victim.voice.arrived(b"", victim.now)
    assert victim.hears(3) > 1000
