"""RTP packets, by recorded bytes and by anything else."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.audio.rtp import MalformedRtp, Packet, pack, parse
from tincan.errors import UsageError

PLAIN = bytes.fromhex("80 ef 1234 00000bb8 deadbeef f8fffe")
"""Version 2, marker, payload type 111, sequence 0x1234, timestamp 3000."""

EXTENDED = bytes.fromhex("90 6f 0001 00000000 00000001 bede 0001 10 9e 0000 aabb")
"""With a header extension, as browsers send: id 1, one byte, two bytes of padding."""

EVERYTHING = bytes.fromhex(
    "b2 6f 0001 00000000 00000001"  # padding, extension, two contributing sources
    "00000002 00000003"
    "1000 0002 01 02 abcd 02 00 00 00"  # two-byte extensions: id 1 with two bytes, id 2 with none, padding
    "0102030405 00 00 03"
)


def test_a_recorded_packet() -> None:
    packet = parse(PLAIN)
    assert packet == Packet(111, 0x1234, 3000, 0xDEADBEEF, b"\xf8\xff\xfe", marker=True)
    assert pack(packet) == PLAIN


def test_what_is_not_needed_is_left_out() -> None:
    assert parse(EXTENDED) == Packet(111, 1, 0, 1, b"\xaa\xbb")
    assert parse(EVERYTHING) == Packet(111, 1, 0, 1, bytes([1, 2, 3, 4, 5]))


@pytest.mark.parametrize("whole", [PLAIN[:12], EXTENDED[:20], b"\x92" + EVERYTHING[1:32]])
def test_a_packet_that_is_cut_off_is_refused(whole: bytes) -> None:
    for length in range(len(whole)):
        with pytest.raises(MalformedRtp):
            parse(whole[:length])
    parse(whole)


@pytest.mark.parametrize(
    "data",
    [
        b"\x40" + PLAIN[1:],
        PLAIN + bytes(1500),
        b"\x8f" + PLAIN[1:],
        b"\xa0" + PLAIN[1:-1] + b"\x00",
        b"\xa0" + PLAIN[1:-1] + b"\x04",
        EXTENDED[:14] + b"\x00\x03" + EXTENDED[16:],
    ],
    ids=["version", "too long", "sources", "padding of none", "padding of all and more", "extension beyond its end"],
)
def test_contradictions_are_refused(data: bytes) -> None:
    with pytest.raises(MalformedRtp):
        parse(data)


@pytest.mark.parametrize(
    "change",
    [
        {"payload_type": 128},
        {"payload_type": -1},
        {"sequence": 65536},
        {"timestamp": 2**32},
        {"ssrc": -1},
    ],
    ids=str,
)
def test_numbers_that_do_not_fit_are_our_mistake(change: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        pack(dataclasses.replace(parse(PLAIN), **change))  # type: ignore[arg-type]


@given(
    st.builds(
        Packet,
        st.integers(0, 127),
        st.integers(0, 65535),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**32 - 1),
        st.binary(max_size=1000),
        st.booleans(),
    )
)
def test_packets_come_back(packet: Packet) -> None:
    assert parse(pack(packet)) == packet


@settings(max_examples=300)
@given(st.sampled_from([PLAIN, EXTENDED, EVERYTHING]), st.data())
def test_anything_is_a_packet_or_malformed(whole: bytes, data: st.DataObject) -> None:
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(changed)))
        changed[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        packet = parse(bytes(changed))
    except MalformedRtp:
        return
    assert len(packet.payload) <= len(changed) - 12
