"""The frames on the wire: there and back, cut anywhere, and refused."""

from __future__ import annotations

import itertools
import struct

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.files.frames import (
    AROUND_WHOLE,
    DATA_KIND,
    HEADER,
    MAX_CONTROL,
    MAX_DATA,
    Accept,
    Busy,
    Control,
    Decline,
    Different,
    Done,
    End,
    Entries,
    Entry,
    Error,
    Failed,
    Have,
    Offer,
    Ready,
    Same,
    Sent,
    Start,
    Verified,
    Whole,
    cut,
    encode,
    put_around_whole,
    whole_content,
)
from tincan.apps.files.splitter import Splitter
from tincan.errors import ProtocolError

HASH = bytes(range(32))
ALL: list[Control] = [
    Offer(1, HASH, 3, 12345),
    Entries([Entry("a/b", 5, 0o644, 10**18), Entry("a", 0, 0o755, -1, True), Entry("stdin", -1, 0, 0)]),
    Accept(),
    Decline("no", True),
    Have(7, False, True, [(10, HASH), (20, HASH)]),
    Ready(),
    Start(7, 20),
    End(7, 30, HASH),
    End(7, 30, b"", "gone"),
    Same(1),
    Different(1, "why"),
    Verified([1, 2, 3]),
    Failed(9, "full"),
    Sent(),
    Done(3, 1),
    Busy(),
    Error("it broke"),
    Whole(3, memoryview(b"all of it"), HASH),
    Whole(4, memoryview(b""), HASH),
]
RECORDED = {
    Start(7, 20): "0000000307920714",
    Sent(): "000000010e90",
    End(1, 2, HASH): "0000002609940102c420" + HASH.hex() + "a0",
    Done(3, 1): "000000030f920301",
}


def data(content: bytes) -> bytes:
    return HEADER.pack(len(content), DATA_KIND) + content


def split(*pieces: bytes) -> list[Control | bytes]:
    """What a splitter makes of pieces; neighbouring content in one."""
    splitter = Splitter()
    found: list[Control | bytes] = []
    for piece in pieces:
        for frame in splitter.split(piece):
            if not isinstance(frame, memoryview):
                found.append(frame)
            elif found and isinstance(found[-1], bytes):
                found[-1] += bytes(frame)
            else:
                found.append(bytes(frame))
    return found


@pytest.mark.parametrize("frame", ALL, ids=lambda frame: type(frame).__name__)
def test_there_and_back(frame: Control) -> None:
    assert split(encode(frame)) == [frame]


@pytest.mark.parametrize("frame", RECORDED, ids=lambda frame: type(frame).__name__)
def test_the_bytes_stay_what_they_are(frame: Control) -> None:
    assert encode(frame).hex() == RECORDED[frame]


def test_a_whole_file_is_framed_where_it_was_read() -> None:
    buffer = memoryview(bytearray(100))
    whole_content(buffer, 7, 5)[:] = b"hello"
    end = put_around_whole(buffer, 7, 300, 5, HASH)
    assert end == 7 + 5 + AROUND_WHOLE
    assert bytes(buffer[7:end]).hex() == "000000321293ce0000012cc600000005" + b"hello".hex() + "c420" + HASH.hex()
    assert split(bytes(buffer[7:end])) == [Whole(300, memoryview(b"hello"), HASH)]
    assert bytes(buffer[:7]) + bytes(buffer[end:]) == bytes(100 - end + 7)


WIRE = b"".join(map(encode, ALL)) + data(b"x" * 1000) + encode(Sent()) + data(b"y") + data(b"z" * 70)
FRAMES = [*ALL, b"x" * 1000, Sent(), b"y" + b"z" * 70]


def test_byte_by_byte() -> None:
    assert split(*(WIRE[n : n + 1] for n in range(len(WIRE)))) == FRAMES


@given(st.lists(st.integers(0, len(WIRE)), max_size=8))
def test_cut_anywhere(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(WIRE)]
    assert split(*(WIRE[a:b] for a, b in itertools.pairwise(places))) == FRAMES


def test_content_is_handed_on_as_it_comes() -> None:
    splitter = Splitter()
    assert [bytes(piece) for piece in splitter.split(HEADER.pack(MAX_DATA, DATA_KIND) + b"abc")] == [b"abc"]
    assert [bytes(piece) for piece in splitter.split(b"de")] == [b"de"]


def control(kind: int, body: object) -> bytes:
    packed = msgspec.msgpack.encode(body)
    return HEADER.pack(len(packed), kind) + packed


@pytest.mark.parametrize(
    "wire",
    [
        HEADER.pack(1, 0),
        HEADER.pack(1, 99),
        HEADER.pack(0, 6),
        HEADER.pack(0, DATA_KIND),
        HEADER.pack(MAX_DATA + 1, DATA_KIND),
        HEADER.pack(MAX_CONTROL + 1, 2),
        HEADER.pack(2000, 7),
        HEADER.pack(1, 7) + b"\xc1",
        control(7, [-1, 0]),
        control(7, [0, -1]),
        control(7, [0, 2**62]),
        control(7, [1_000_000, 0]),
        control(7, [0]),
        control(7, {"index": 0}),
        control(1, [1, b"short", 1, 1]),
        control(1, [0, HASH, 1, 1]),
        control(1, [1, HASH, 1_000_001, 1]),
        control(2, [[]]),
        control(2, [[["x", -2, 0o644, 0]]]),
        control(2, [[["x", 1, 0o4755, 0]]]),
        control(2, [[["x", 1, 0o644, 2**62]]]),
        control(2, [[["x", 1.5, 0o644, 0]]]),
        control(2, [[[b"x", 1, 0o644, 0]]]),
        control(5, [0, False, False, []]),
        control(5, [0, False, False, [[n, HASH] for n in range(65)]]),
        control(9, [0, 0, b"x" * 33, ""]),
        control(18, [0, b"x", b"x" * 31]),
        control(18, [0, "x", HASH]),
        control(18, [0, b"x" * 65 * 1024, HASH]),
        control(12, [[]]),
        control(13, [0, "x" * 501]),
        HEADER.pack(4, 17) + b"\x91\xa2\xff\xfe",
    ],
    ids=lambda wire: wire[:12].hex(),
)
def test_nonsense_is_refused(wire: bytes) -> None:
    with pytest.raises(ProtocolError):
        split(wire)
    with pytest.raises(ProtocolError):
        split(*(wire[n : n + 1] for n in range(len(wire))))


@given(st.binary(max_size=200))
def test_any_bytes_give_frames_or_a_protocol_error(wire: bytes) -> None:
    splitter = Splitter()
    try:
        list(splitter.split(wire))
    except ProtocolError:
        return
    assert len(wire) < 5 or struct.unpack(">I", wire[:4])[0] <= MAX_DATA


def test_reasons_are_cut() -> None:
    assert split(encode(Error(cut("x" * 10_000 + "\udc80")))) == [Error("x" * 500)]
    assert cut("\udc80") == "?"
