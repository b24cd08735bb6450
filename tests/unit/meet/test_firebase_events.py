"""Server-sent events, as a Firebase database sends them and anything else might."""

from __future__ import annotations

import contextlib
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.errors import PlaceUnreachable, ProtocolError
from tincan.meet.firebase import (
    KEEP_ALIVE,
    Event,
    EventStream,
    Value,
    is_room_name,
    put_event,
    read_event,
)

STREAM = (
    b'event: put\r\ndata: {"path":"/","data":null}\r\n\r\n'
    b":comment\nevent:keep-alive\ndata: null\n\ndata: a\rdata:b\r\r"
)
EVENTS = [Event("put", '{"path":"/","data":null}'), Event("keep-alive", "null"), Event("message", "a\nb")]


def test_a_stream() -> None:
    assert EventStream().feed(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM))))
def test_a_stream_in_pieces(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    stream = EventStream()
    found = [e for a, b in itertools.pairwise(places) for e in stream.feed(STREAM[a:b])]
    assert found == EVENTS


@given(st.lists(st.binary()))
def test_any_bytes(pieces: list[bytes]) -> None:
    stream = EventStream()
    whole = [e for piece in pieces for e in stream.feed(piece)]
    assert whole == EventStream().feed(b"".join(pieces))
    for event in whole:
        with contextlib.suppress(ProtocolError, PlaceUnreachable):
            read_event(event)


@given(st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])), st.text("xyz"))
def test_what_is_written_is_read(text: str, name: str) -> None:
    value = json.dumps({"payload": text, name: 1}).encode()
    (event,) = EventStream().feed(put_event(value))
    assert read_event(event) == Value(value)


def test_a_byte_order_mark_and_a_field_without_a_colon() -> None:
    assert EventStream().feed(b"\xef\xbb\xbfdata: x\nretry\nid: 1\n\n") == [Event("message", "x")]
    assert EventStream().feed(b"event: put\n\ndata\n\n") == [Event("message", "")]


@pytest.mark.parametrize("piece", [b"x", b"data: x\n", b"data: " + b"y" * 1000 + b"\n", b"event: zzz\n"])
def test_an_event_without_end(piece: bytes) -> None:
    stream = EventStream()

    def feed_for_ever() -> None:
        while True:
            stream.feed(piece)

    with pytest.raises(ProtocolError):
        feed_for_ever()


def test_keep_alives_and_comments_may_go_on_for_ever() -> None:
    stream = EventStream()
    for _ in range(10_000):
        assert [read_event(event) for event in stream.feed(KEEP_ALIVE + b": still here, and nothing new\n")] == [None]


@pytest.mark.parametrize("name", ["cancel", "auth_revoked"])
def test_no_more_permission(name: str) -> None:
    with pytest.raises(PlaceUnreachable):
        read_event(Event(name, "null"))


@pytest.mark.parametrize("data", ["", "null", "{", "[]", '{"path":"/"}', '{"path":1,"data":1}', "[" * 9999])
def test_puts_that_make_no_sense(data: str) -> None:
    with pytest.raises(ProtocolError):
        read_event(Event("put", data))


def test_a_change_of_a_part_is_passed_over() -> None:
    assert read_event(Event("put", '{"path":"/payload","data":"x"}')) is None
    assert read_event(Event("patch", "whatever")) is None


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("AB12CD", True),
        ("ab12cd", False),
        ("AB12C", False),
        ("AB12CDE", False),
        ("AB12C\n", False),
        ("../../", False),
    ],
)
def test_room_names(text: str, right: bool) -> None:
    assert is_room_name(text) is right
