"""The multiplexer and its rules: how many connections there may be, and what a peer must not do."""

from __future__ import annotations

import pytest

from tincan.apps.forward.events import Data, MuxEvent
from tincan.apps.forward.frames import MAX_DATA, PREFACE, Kind, encode, encode_text, header
from tincan.apps.forward.mux import (
    FULL,
    MAX_CONNECTIONS,
    MAX_CONTROL,
    Mux,
    TooManyConnections,
)
from tincan.errors import ProtocolError, UsageError
from unit.apps.forward.helpers import MuxPair

# Bounds on the number


def test_no_more_connections_than_the_protocol_has() -> None:
    pair = MuxPair()
    ids = [pair.sides["a"].open(b"") for _ in range(MAX_CONNECTIONS)]
    with pytest.raises(TooManyConnections):
        pair.sides["a"].open(b"")
    pair.settle()
    pair.sides["b"].refuse(ids[0], "no")
    pair.settle()
    pair.sides["a"].open(b"fits again")


def test_a_peer_with_too_many_is_refused_more() -> None:
    side = Mux(odd=True)
    side.data_to_send(1)
    side.receive(PREFACE + b"".join(encode(Kind.OPEN, 2 * n, b"") for n in range(1, MAX_CONNECTIONS + 2)))
    assert len(side.take_events()) == MAX_CONNECTIONS
    assert side.data_to_send(1) == encode_text(Kind.REFUSED, 2 * MAX_CONNECTIONS + 2, FULL)


def test_a_peer_that_asks_without_reading_the_answers_is_stopped() -> None:
    side = Mux(odd=True)
    enough = MAX_CONNECTIONS + MAX_CONTROL // len(FULL)
    flood = PREFACE + b"".join(encode(Kind.OPEN, 2 * n, b"") for n in range(1, enough))
    with pytest.raises(ProtocolError, match="without reading"):
        side.receive(flood)


def test_too_long_a_name_is_our_own_mistake() -> None:
    with pytest.raises(UsageError):
        Mux(odd=True).open(bytes(3000))


# What a peer must not do


def opened() -> Mux:
    """A side with the connections 1, which it opened, and 2, which the peer did; both have credit."""
    side = Mux(odd=True)
    side.open(b"")
    side.receive(PREFACE + encode(Kind.OPEN, 2, b"") + header(Kind.WINDOW, 2, 1000))
    side.receive(encode(Kind.ACCEPTED, 1, b"") + header(Kind.WINDOW, 1, 1000))
    side.accept(2)
    side.data_to_send(1)
    side.take_events()
    return side


@pytest.mark.parametrize(
    "frames",
    [
        encode(Kind.OPEN, 2, b""),  # again
        encode(Kind.OPEN, 3, b""),  # an id of ours
        encode(Kind.OPEN, 0, b""),
        encode(Kind.DATA, 3, b"x"),  # never opened
        encode(Kind.DATA, 4, b"x"),
        header(Kind.WINDOW, 0, 5),
        encode(Kind.RESET, 4, b""),
        encode(Kind.ACCEPTED, 1, b""),  # again
        encode(Kind.ACCEPTED, 2, b""),  # its own
        encode(Kind.REFUSED, 1, b"too late"),
        header(Kind.EOF, 1) + header(Kind.EOF, 1),
        header(Kind.EOF, 1) + encode(Kind.DATA, 1, b"after the end"),
        encode(Kind.OPEN, 4, b"") + encode(Kind.DATA, 4, b"before the answer"),
        encode(Kind.OPEN, 4, b"") + header(Kind.EOF, 4),
        header(Kind.WINDOW, 1, 2**31 - 1),
        encode(Kind.DATA, 1, bytes(MAX_DATA)) * 5,  # more than there is credit for
        encode(Kind.RESET, 1, b"\xff"),
    ],
)
def test_what_a_peer_must_not_do(frames: bytes) -> None:
    with pytest.raises(ProtocolError):
        opened().receive(frames)


def test_a_connection_that_carries_no_data_gets_no_credit() -> None:
    side = Mux(odd=True)
    side.open(b"", carries_data=False)
    side.receive(PREFACE + encode(Kind.ACCEPTED, 1, b"8080"))
    with pytest.raises(ProtocolError):
        side.receive(encode(Kind.DATA, 1, b"x"))


def test_data_is_passed_on_in_the_parts_in_which_it_comes() -> None:
    side = opened()
    frame = encode(Kind.DATA, 1, b"in two parts")
    seen: list[MuxEvent] = []
    for part in (frame[:15], frame[15:]):
        side.receive(part)
        seen += side.take_events()
    assert [bytes(event.payload) for event in seen if isinstance(event, Data)] == [b"in two", b" parts"]
