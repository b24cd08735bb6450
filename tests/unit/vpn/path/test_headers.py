"""Headers and checksums, against a plain sum of words."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.path.headers import checksum, completed, correct, fold, network_header, parse, replaced, total
from unit.vpn.path import packets as p
from unit.vpn.path.packets import fuzz


@fuzz
@given(st.binary(max_size=300))
def test_the_sum_is_that_of_the_words(data: bytes) -> None:
    assert total(data) == p.word_sum(data)


@fuzz
@given(st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=9), st.data())
def test_a_word_replaced(words: list[int], data: st.DataObject) -> None:
    at, new = data.draw(st.integers(0, len(words) - 1)), data.draw(st.integers(0, 0xFFFF))
    before = checksum(struct.pack(f">{len(words)}H", *words))
    after = replaced(before, words[at], new)
    words[at] = new
    assert fold(p.word_sum(struct.pack(f">{len(words)}H", *words)) + after) in (0xFFFF, 0)


def test_rfc_1624s_example() -> None:
    assert replaced(0xDD2F, 0x5555, 0x3285) == 0x0000


@pytest.mark.parametrize("packet", [p.tcp(), p.tcp(p.A6, p.B6, b"odd"), p.udp(payload=b"abc"), p.udp(p.A6, p.B6)])
def test_good_packets(packet: bytes) -> None:
    layout = parse(packet)
    assert layout is not None
    assert layout.plain
    assert layout.end == len(packet)
    assert correct(packet, layout)
    broken = packet[:-1] + bytes([packet[-1] ^ 1])
    assert not correct(broken, layout)


@fuzz
@given(st.binary(max_size=100), st.integers(0, 20))
def test_anything_is_parsed_or_not(data: bytes, start: int) -> None:
    layout = parse(data, start)
    assert layout is None or start + 20 <= layout.transport <= layout.end <= len(data)


@fuzz
@given(st.binary(max_size=80), st.integers(0, 255))
def test_anything_behind_an_ipv6_header(body: bytes, following: int) -> None:
    packet = p.ip(p.A6, p.B6, following, body)
    layout = parse(packet)
    assert layout is None or 40 <= layout.transport <= layout.end == len(packet)


def test_extension_headers_are_followed() -> None:
    chain = bytes([60, 0]) + bytes(6) + bytes([58, 0]) + bytes(6) + b"ping"
    layout = parse(p.ip(p.A6, p.B6, 0, chain))
    assert layout is not None
    assert (layout.protocol, layout.transport, layout.plain) == (58, 56, False)


def test_fragments() -> None:
    first = parse(p.ip(p.A4, p.B4, 17, bytes(16), field=0x2000))
    later = parse(p.ip(p.A4, p.B4, 17, bytes(16), field=2))
    assert first is not None
    assert later is not None
    assert (first.fragment, first.more, later.fragment, later.more) == (0, True, 16, False)
    six = parse(p.ip(p.A6, p.B6, 44, bytes([17, 0]) + struct.pack(">HI", 24 | 1, 5) + bytes(8)))
    assert six is not None
    assert (six.fragment, six.more, six.protocol) == (24, True, 17)


@fuzz
@given(st.binary(min_size=1, max_size=50), st.booleans())
def test_a_checksum_completed(payload: bytes, six: bool) -> None:
    ends = (p.A6, p.B6) if six else (p.A4, p.B4)
    at = 40 if six else 20
    for packet, offset in ((p.udp(*ends, payload, partial=True), 6), (p.tcp(*ends, payload, partial=True), 16)):
        assert p.checksum_right(packet, partial=True)
        assert p.checksum_right(completed(packet, at, at + offset))


@pytest.mark.parametrize("at", [0, 5, 90])
def test_nothing_is_completed_where_there_is_no_field(at: int) -> None:
    assert completed(bytes(20), 19, at) == bytes(20)


def test_tags_are_passed_over() -> None:
    tag = b"\x81\0\0\x07"
    assert network_header(p.frame(p.tcp())) == (0x0800, 14)
    assert network_header(p.frame(p.tcp(), tags=tag * 2)) == (0x0800, 22)
    assert network_header(p.frame(p.tcp(), tags=tag * 3)) is None
    assert network_header(bytes(12)) is None
