"""The codec: recorded bytes, what it refuses, and any cut of the stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.forward.frames import (
    HEADER,
    MAX_DATA,
    MAX_TEXT,
    MAX_WHAT,
    PREFACE,
    Frame,
    FrameReader,
    Kind,
    encode,
    encode_text,
    header,
)
from tincan.errors import ProtocolError


def read(data: bytes, size: int = 2**20) -> list[tuple[Kind, int, int, bytes]]:
    reader = FrameReader()
    found: list[tuple[Kind, int, int, bytes]] = []
    for place in range(0, len(data), size):
        for frame in reader.feed(data[place : place + size]):
            found.append((frame.kind, frame.id, frame.value, bytes(frame.payload)))
    return found


RECORDED = [
    (encode(Kind.OPEN, 1, b"hi"), "01 00000001 00000002 6869"),
    (encode_text(Kind.ACCEPTED, 258, "ü"), "02 00000102 00000002 c3bc"),
    (encode_text(Kind.REFUSED, 3, ""), "03 00000003 00000000"),
    (encode(Kind.DATA, 2**32 - 1, b"\x00"), "04 ffffffff 00000001 00"),
    (header(Kind.WINDOW, 4, 262144), "05 00000004 00040000"),
    (header(Kind.EOF, 5), "06 00000005 00000000"),
    (encode_text(Kind.RESET, 6, "why"), "07 00000006 00000003 776879"),
]


@pytest.mark.parametrize(("frame", "recorded"), RECORDED)
def test_recorded_frames(frame: bytes, recorded: str) -> None:
    assert frame == bytes.fromhex(recorded)


@given(st.integers(1, 40))
def test_a_stream_may_be_cut_anywhere(size: int) -> None:
    whole = read(PREFACE + b"".join(frame for frame, _ in RECORDED))
    cut = read(PREFACE + b"".join(frame for frame, _ in RECORDED), size)
    assert [kind for kind, *_ in whole] == list(Kind)
    assert cut == whole


def test_data_comes_as_views_of_what_was_read() -> None:
    data = bytearray(PREFACE + encode(Kind.DATA, 1, b"abc"))
    (frame,) = list(FrameReader().feed(data))
    assert isinstance(frame, Frame)
    data[-1:] = b"!"
    assert bytes(frame.payload) == b"ab!"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"tin-can forward 2\n",
        PREFACE + HEADER.pack(0, 1, 0),
        PREFACE + HEADER.pack(8, 1, 0),
        PREFACE + HEADER.pack(Kind.OPEN, 1, MAX_WHAT + 1),
        PREFACE + HEADER.pack(Kind.REFUSED, 1, MAX_TEXT + 1),
        PREFACE + HEADER.pack(Kind.DATA, 1, MAX_DATA + 1),
        PREFACE + HEADER.pack(Kind.DATA, 1, 0),
        PREFACE + HEADER.pack(Kind.WINDOW, 1, 0),
        PREFACE + HEADER.pack(Kind.EOF, 1, 1),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_what_is_no_frame(data: bytes, size: int) -> None:
    with pytest.raises(ProtocolError):
        read(data, size)


def test_a_text_is_cut_between_characters() -> None:
    assert encode_text(Kind.RESET, 1, "x" + "ü" * 400)[9:] == b"x" + "ü".encode() * 255
    assert encode_text(Kind.RESET, 1, "\ud800")[9:] == b"?"
