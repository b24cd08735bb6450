"""The multiplexer: two sides back to back, and one side against hand-made frames."""

from __future__ import annotations

import logging

import pytest

from tincan.apps.forward.events import Accepted, Asked, Ended, Refused, Reset, Writable
from tincan.apps.forward.frames import MAX_DATA, Kind, encode
from tincan.apps.forward.mux import (
    AHEAD,
    MAX_WINDOW,
    PURSE,
    SMALL_WINDOW,
    WINDOW,
)
from unit.apps.forward.helpers import MuxPair


def pour(pair: MuxPair, sender: str, id: int, data: bytes) -> int:
    """Send as much as there is credit for, none of it taken by the receiver; return how much that was."""
    sent = 0
    while room := pair.sides[sender].room(id):
        piece = data[sent : sent + room]
        pair.sides[sender].send(id, piece)
        sent += len(piece)
        pair.settle()
        if not piece:
            break
    return sent


# Opening and closing


@pytest.mark.parametrize("opener", ["a", "b"])
def test_a_connection_from_its_opening_to_its_end(opener: str) -> None:
    pair, other = MuxPair(), "b" if opener == "a" else "a"
    near, far = pair.sides[opener], pair.sides[other]
    id = near.open(b"what")
    assert id == (1 if opener == "a" else 2)
    assert near.room(id) == 0
    pair.settle()
    assert pair.taken(other) == [Asked(id, b"what")]
    far.accept(id, "where")
    far.send(id, b"I speak first")
    pair.settle()
    assert pair.taken(opener) == [Accepted(id, "where"), Writable(id)]
    near.send(id, b"question")
    near.send_eof(id)
    pair.settle()
    assert pair.taken(other) == [Ended(id)]
    far.send(id, b", and last")
    far.send_eof(id)
    pair.settle()
    assert pair.taken(opener) == [Ended(id)]
    assert (pair.came[other][id], pair.came[opener][id]) == (b"question", b"I speak first, and last")
    near.release(id)
    far.release(id)
    pair.settle()
    assert pair.taken(opener) == pair.taken(other) == []


def test_a_refusal_says_why() -> None:
    pair = MuxPair()
    id = pair.sides["a"].open(b"what")
    pair.settle()
    pair.sides["b"].refuse(id, "no \x1b[2J" + "ü" * 600)
    pair.settle()
    (refused,) = pair.taken("a")
    assert isinstance(refused, Refused)
    assert refused.text.startswith(r"no \x1b[2Jü")
    assert len(refused.text) < 300
    pair.sides["a"].send(id, b"late")
    assert not pair.sides["a"].has_data_to_send


def test_what_waits_is_sent_before_the_end_although_the_local_socket_has_gone() -> None:
    pair = MuxPair()
    id = pair.connect()
    pair.sides["b"].send_eof(id)
    pair.settle()
    pair.sides["a"].send(id, b"x" * 200_000)
    pair.sides["a"].send_eof(id)
    pair.sides["a"].release(id)
    pair.settle()
    assert len(pair.came["b"][id]) == 200_000
    assert pair.taken("b") == [Ended(id)]


def test_a_reset_drops_what_waits_and_ends_both_directions() -> None:
    pair = MuxPair()
    id = pair.connect()
    pair.sides["a"].send(id, b"x" * 200_000)
    pair.sides["a"].release(id, "it broke")
    pair.settle()
    assert pair.taken("b") == [Reset(id, "it broke")]
    assert pair.came["b"] == {}
    pair.sides["b"].send(id, b"into the void")
    pair.sides["b"].consumed(id, 5)
    pair.sides["b"].release(id)
    assert not pair.sides["b"].has_data_to_send


def test_crossing_resets_and_late_frames_are_harmless() -> None:
    pair = MuxPair()
    id = pair.connect()
    pair.sides["b"].send(id, b"on its way")
    pair.sides["b"].send_eof(id)
    pair.flush("b")
    pair.sides["a"].release(id)
    pair.sides["b"].release(id)
    pair.settle()
    assert pair.taken("a") == []
    assert pair.connect() == id + 2


def test_giving_up_before_the_answer_came() -> None:
    pair = MuxPair()
    id = pair.sides["a"].open(b"what")
    pair.settle()
    pair.sides["a"].release(id)
    pair.sides["b"].accept(id)
    pair.settle()
    assert pair.taken("b") == [Asked(id, b"what"), Reset(id, "")]
    assert pair.taken("a") == []


def test_a_peer_that_gives_up_leaves_nothing_to_answer() -> None:
    pair = MuxPair()
    id = pair.sides["a"].open(b"what")
    pair.sides["a"].release(id)
    pair.settle()
    assert pair.taken("b") == [Asked(id, b"what"), Reset(id, "")]
    pair.sides["b"].accept(id)
    pair.sides["b"].refuse(id, "too late")
    assert not pair.sides["b"].has_data_to_send


def test_every_change_of_state_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="tincan.apps.forward"):
        pair = MuxPair()
        id = pair.connect()
        pair.sides["a"].release(id)
    assert [record.getMessage() for record in caplog.records] == [
        "connection 1: new -> opening (we open)",
        "connection 1: new -> asked (peer opens)",
        "connection 1: asked -> open (we accept)",
        "connection 1: opening -> open (peer accepts)",
        "connection 1: open -> closed (we reset)",
    ]


# Credit


def test_a_reader_that_takes_nothing_holds_one_window() -> None:
    pair = MuxPair()
    id = pair.connect()
    assert pour(pair, "a", id, bytes(2 * WINDOW)) == WINDOW
    assert pair.sides["a"].room(id) == 0
    assert len(pair.came["b"][id]) == WINDOW


def test_a_slow_reader_does_not_block_the_others() -> None:
    pair = MuxPair()
    slow, quick = pair.connect(), pair.connect("b")
    pour(pair, "a", slow, bytes(2 * WINDOW))
    for _ in range(100):
        pair.sides["a"].send(quick, bytes(60_000))
        pair.settle()
        pair.sides["b"].consumed(quick, 60_000)
        pair.settle()
    assert len(pair.came["b"][quick]) == 6_000_000


def test_credit_comes_back_when_half_of_it_was_passed_on() -> None:
    pair = MuxPair()
    id = pair.connect()
    pour(pair, "a", id, bytes(WINDOW))
    pair.sides["b"].consumed(id, WINDOW // 2 - 1)
    pair.settle()
    assert pair.taken("a") == []
    pair.sides["b"].consumed(id, 1)
    pair.settle()
    assert pair.taken("a") == [Writable(id)]
    assert pair.sides["a"].room(id) == WINDOW // 2


def test_the_window_of_a_quick_reader_grows_to_its_limit() -> None:
    pair = MuxPair()
    id = pair.connect()
    for _ in range(200):
        room = pair.sides["a"].room(id)
        pair.sides["a"].send(id, bytes(room))
        pair.settle()
        pair.sides["b"].consumed(id, room)
        pair.settle()
    assert pair.sides["b"].window(id) == MAX_WINDOW
    assert pour(pair, "a", id, bytes(2 * MAX_WINDOW)) <= MAX_WINDOW


def test_all_promises_together_are_bounded() -> None:
    pair = MuxPair()
    ids = [pair.connect(opener) for opener in "ab" for _ in range(400)]
    windows = [pair.sides["b"].window(id) for id in ids]
    assert set(windows) == {WINDOW, SMALL_WINDOW}
    assert sum(windows) <= PURSE + len(ids) * SMALL_WINDOW
    for id in ids:
        pair.sides["a"].release(id)
    pair.settle()
    assert pair.sides["b"].window(pair.connect()) == WINDOW


def test_what_is_sent_ahead_is_bounded() -> None:
    pair = MuxPair()
    id = pair.connect()
    for _ in range(200):  # let the window grow
        room = pair.sides["a"].room(id)
        pair.sides["a"].send(id, bytes(room))
        pair.settle()
        pair.sides["b"].consumed(id, room)
        pair.settle()
    assert pair.sides["a"].room(id) == AHEAD
    pair.sides["a"].send(id, bytes(AHEAD))
    assert pair.sides["a"].room(id) == 0
    pair.settle()
    assert pair.taken("a")[-1] == Writable(id)
    with pytest.raises(ValueError, match="room"):
        pair.sides["a"].send(id, bytes(AHEAD + 1))


def test_connections_take_turns() -> None:
    pair = MuxPair()
    ids = [pair.connect() for _ in range(3)]
    for id in ids:
        pair.sides["a"].send(id, bytes(2 * MAX_DATA))
    pair.sides["a"].send_eof(ids[0])
    lone = pair.sides["a"].open(b"overtakes data")
    first = pair.sides["a"].data_to_send(1)
    assert first.startswith(encode(Kind.OPEN, lone, b"overtakes data"))
    order = []
    while pair.sides["a"].has_data_to_send:
        order.append(int.from_bytes(pair.sides["a"].data_to_send(1)[1:5], "big"))
    assert order == [ids[1], ids[2], *ids]
