from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.ipop.wire import (
    KINDS,
    MAX_DATAGRAM,
    METHODS,
    VERSIONS,
    Call,
    Icc,
    Kind,
    NotJson,
    Packet,
    Release,
    Unreadable,
    decode,
    encode,
    is_uid,
    number,
    read_icc,
    text,
    truth,
    write_icc,
)

ONE, TWO = bytes(range(20)), bytes(range(20, 40))
FRAME = b"\xff" * 6 + bytes(6) + b"\x08\x00" + b"E" * 20
V14, V16 = Release.V14, Release.V16

RECORDED = [
    (
        V14,
        b'\x02\x01{"m": "get_state", "uid": "", "stats": true}',
        Call("get_state", {"m": "get_state", "uid": "", "stats": True}),
    ),
    (V16, b'\x03\x01{"m": "trim_link"}\0', Call("trim_link", {"m": "trim_link"})),
    (V16, b"\x03\x01{}", Call("", {})),
    (V14, b"\x02\x02" + ONE + TWO + FRAME, Packet(ONE, TWO, FRAME)),
    (
        V16,
        b"\x03\x03" + ONE + TWO + bytes.fromhex("0069706f7003") + bytes(8) + b"{}",
        Icc(Kind.ICC_CONTROL, ONE, TWO, b"{}"),
    ),
    (
        V16,
        b"\x03\x04" + ONE + TWO + bytes.fromhex("0069706f7004") + bytes(8) + b"P",
        Icc(Kind.ICC_PACKET, ONE, TWO, b"P"),
    ),
    (V14, b"\x02\x01{", NotJson()),
    (V14, b"\x02\x01", NotJson()),
    (V14, b"\x02\x01[1]", NotJson()),
    (V14, b"\x02\x01\xff", NotJson()),
    (V14, b"\x02\x01" + b"[" * 5000, NotJson()),
    (V14, b"", Unreadable("shorter than its header")),
    (V14, b"{", Unreadable("shorter than its header")),
    (V14, b'{"m":1}', Unreadable("version 123 where 2 is spoken")),
    (V14, b"\x03\x01{}", Unreadable("version 3 where 2 is spoken")),
    (V16, b"\x02\x01{}", Unreadable("version 2 where 3 is spoken")),
    (V14, b"\x02\x03" + bytes(80), Unreadable("kind 3, which this release does not have")),
    (V16, b"\x03\x05" + bytes(80), Unreadable("kind 5, which this release does not have")),
    (V16, b"\x03\x02" + bytes(53), Unreadable("a packet shorter than its headers")),
    (V16, b"\x03\x03" + bytes(80), Unreadable("no message between controllers")),
    (
        V16,
        b"\x03\x03" + bytes(40) + bytes.fromhex("0069706f7005") + bytes(8),
        Unreadable("a message between controllers of kind 5"),
    ),
]


@pytest.mark.parametrize(("release", "data", "read"), RECORDED)
def test_recorded(release: Release, data: bytes, read: object) -> None:
    assert decode(data, release) == read


def test_the_table() -> None:
    assert VERSIONS == {V14: 2, V16: 3}
    assert {kind.name: kind.value for kind in Kind} == {"CONTROL": 1, "PACKET": 2, "ICC_CONTROL": 3, "ICC_PACKET": 4}
    assert KINDS[V14] == {Kind.CONTROL, Kind.PACKET}
    assert "con_req" not in METHODS


@given(st.sampled_from(Release), st.binary(max_size=200))
def test_anything_can_be_read(release: Release, data: bytes) -> None:
    decode(data, release)
    decode(bytes([VERSIONS[release], 1]) + data, release)
    decode(bytes([VERSIONS[release], 3]) + bytes(40) + bytes.fromhex("0069706f70") + data, release)


@given(st.binary(min_size=20, max_size=20), st.binary(min_size=20, max_size=20), st.binary(min_size=14, max_size=99))
def test_round_trip(one: bytes, two: bytes, body: bytes) -> None:
    for release in Release:
        assert decode(encode(Packet(one, two, body), release), release) == Packet(one, two, body)
    for kind in (Kind.ICC_CONTROL, Kind.ICC_PACKET):
        message = Icc(kind, one, two, body)
        assert decode(encode(message, V16), V16) == message
        assert read_icc(write_icc(message)) == message


def test_nothing_leaves_that_a_controller_does_not_know() -> None:
    with pytest.raises(ValueError, match="ICC_CONTROL in release 14"):
        encode(Icc(Kind.ICC_CONTROL, ONE, TWO, b""), V14)
    with pytest.raises(ValueError, match="bytes in one datagram"):
        encode(Packet(ONE, TWO, bytes(MAX_DATAGRAM)), V14)
    assert json.loads(encode({"type": "con_stat"}, V14)[2:]) == {"type": "con_stat"}


def test_fields_are_converted_as_the_original_does() -> None:
    fields = {"a": 5, "b": "7", "c": True, "d": None, "e": [1], "f": 1e300, "g": "x", "h": "", "i": 1.5}
    assert [text(fields, name) for name in "abcdeghz"] == ["5", "7", "true", "", "", "x", "", ""]
    assert [number(fields, name, 9) for name in "abcdefgzi"] == [5, 7, 1, 9, 9, 9, 9, 9, 1]
    assert [truth(fields, name) for name in "abcdehz"] == [True, True, True, False, True, False, False]


def test_uids() -> None:
    assert is_uid("0123456789abcdef" * 2 + "01234567")
    assert not any(map(is_uid, ["", "a" * 39, "a" * 41, "A" * 40, "g" * 40, "a" * 40 + "\n"]))
