"""The two lanes of a stream: twin cores back to back with whatever happens, and peers that lie."""

from __future__ import annotations

import contextlib
from collections import deque

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.errors import ProtocolError
from tincan.link.lanes import (
    MAX_ADDRESSES,
    MAX_CERTIFICATE,
    PIECE,
    WINDOW,
    Data,
    Lane,
    Lanes,
    More,
    Moved,
    NoOffer,
    Offer,
    punching,
)

OFFER = Offer(bytes(32), bytes(500), [("192.0.2.1", 40000), ("2001:db8::1", 40000)])
SWITCH, EOF = b"\x02", b"\x03"


def data_message(size: int) -> bytes:
    return b"\x00" + bytes(size)


def credit_message(count: int) -> bytes:
    return b"\x01" + count.to_bytes(4, "big")


# -- twins --------------------------------------------------------------------------------


class End:
    """One core with the queue of messages to it, what its application wrote and what it read."""

    def __init__(self) -> None:
        self.lanes = Lanes()
        self.inbox: deque[bytes] = deque()
        self.unread: deque[bytes] = deque()
        self.wrote = b""
        self.read = b""

    def take(self) -> None:
        """Receive one message."""
        if self.inbox:
            event = self.lanes.receive(self.inbox.popleft())
            if isinstance(event, Data):
                self.unread.append(event.data)
                assert sum(map(len, self.unread)) <= WINDOW

    def consume(self, limit: int, other: End) -> None:
        """Read at most so much."""
        if self.unread:
            data = self.unread.popleft()
            if data[limit:]:
                self.unread.appendleft(data[limit:])
            self.read += data[:limit]
            credit = self.lanes.consumed(len(data[:limit]))
            if credit is not None:
                other.inbox.append(credit)

    def write(self, size: int, other: End) -> None:
        """Write as much of this as there is room for."""
        count = min(size, self.lanes.room, PIECE)
        if self.lanes.outgoing is Lane.CHANNEL and count:
            data = bytes([len(self.wrote) % 251]) * count
            self.wrote += data
            other.inbox.append(self.lanes.data(data))


COMMANDS = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from(["write", "write", "write", "take", "take", "take", "consume", "consume", "switch", "eof"]),
        st.integers(1, PIECE + 1),
    ),
    max_size=300,
)


@given(COMMANDS)
@settings(deadline=None)
def test_whatever_two_good_ends_do_arrives_in_order(commands: list[tuple[bool, str, int]]) -> None:
    near, far = End(), End()
    for which, what, size in commands:
        this, other = (near, far) if which else (far, near)
        match what:
            case "write":
                this.write(size, other)
            case "take":
                this.take()
            case "consume":
                this.consume(size, other)
            case _ if this.lanes.outgoing is Lane.CHANNEL and len(this.wrote) % 5 == 0:
                other.inbox.append(this.lanes.switch() if what == "switch" else this.lanes.eof())
    while near.inbox or far.inbox or near.unread or far.unread:
        for this, other in ((near, far), (far, near)):
            this.take()
            this.consume(PIECE, other)
    assert (near.read, far.read) == (far.wrote, near.wrote)
    assert (near.lanes.incoming, far.lanes.incoming) == (far.lanes.outgoing, near.lanes.outgoing)


def test_the_window_is_full_and_opens_by_reading() -> None:
    near, far = End(), End()
    while near.lanes.room:
        near.write(PIECE, far)
    assert len(near.wrote) == WINDOW
    with pytest.raises(ValueError):
        near.lanes.data(b"x")
    while far.inbox:
        far.take()
    while not near.inbox:
        far.consume(PIECE, near)
    near.take()
    assert near.lanes.room == len(far.read) == WINDOW // 4
    while far.unread:
        far.consume(PIECE, near)
    while near.inbox:
        near.take()
    assert near.lanes.room == WINDOW


def test_each_direction_moves_or_ends_by_itself() -> None:
    near, far = Lanes(), Lanes()
    assert far.receive(near.switch()) == Moved()
    assert (far.incoming, far.outgoing, near.outgoing) == (Lane.TCP, Lane.CHANNEL, Lane.TCP)
    assert near.receive(far.data(b"still here")) == Data(b"still here")
    assert near.receive(far.eof()) == Moved()
    assert near.incoming is Lane.ENDED


@pytest.mark.parametrize("last", ["switch", "eof"])
def test_nothing_is_sent_after_the_last_word(last: str) -> None:
    lanes = Lanes()
    getattr(lanes, last)()
    for use in (lambda: lanes.data(b"x"), lanes.switch, lanes.eof):
        with pytest.raises(ValueError):
            use()


def test_no_credit_is_given_to_a_direction_that_has_moved() -> None:
    lanes = Lanes()
    for _ in range(WINDOW // PIECE):
        lanes.receive(data_message(PIECE))
    lanes.receive(SWITCH)
    assert lanes.consumed(WINDOW) is None


# -- peers that break the rules -----------------------------------------------------------


@pytest.mark.parametrize("last", [SWITCH, EOF])
@pytest.mark.parametrize("after", [data_message(1), SWITCH, EOF])
def test_data_after_the_end(last: bytes, after: bytes) -> None:
    lanes = Lanes()
    lanes.receive(last)
    with pytest.raises(ProtocolError):
        lanes.receive(after)


def test_more_data_than_the_window() -> None:
    lanes = Lanes()
    for _ in range(WINDOW // PIECE):
        lanes.receive(data_message(PIECE))
    with pytest.raises(ProtocolError):
        lanes.receive(data_message(1))


@pytest.mark.parametrize("size", [0, PIECE + 1])
def test_data_of_no_allowed_size(size: int) -> None:
    with pytest.raises(ProtocolError):
        Lanes().receive(data_message(size))


@pytest.mark.parametrize(
    "message", [credit_message(1), credit_message(2**32 - 1), b"\x01", b"\x01\x00\x00\x01", b"\x01" + bytes(5)]
)
def test_credit_for_what_was_never_sent(message: bytes) -> None:
    with pytest.raises(ProtocolError):
        Lanes().receive(message)


def test_credit_only_for_what_was_sent() -> None:
    lanes = Lanes()
    lanes.data(bytes(100))
    lanes.receive(credit_message(60))
    with pytest.raises(ProtocolError):
        lanes.receive(credit_message(41))
    with pytest.raises(ProtocolError):
        lanes.receive(credit_message(0))
    assert lanes.room == WINDOW - 40


@pytest.mark.parametrize("message", [b"", b"\x05", b"\x80later", b"\xff" * 100])
def test_unknown_kinds_are_a_later_versions(message: bytes) -> None:
    lanes = Lanes()
    assert lanes.receive(message) is None
    assert lanes.receive(data_message(5)) == Data(bytes(5))


@pytest.mark.parametrize("message", [OFFER, More([("192.0.2.1", 1)]), More([]), NoOffer()])
def test_offers_come_through(message: Offer | More | NoOffer) -> None:
    assert Lanes().receive(punching(message)) == message


GOOD = msgspec.msgpack.decode(punching(OFFER)[1:])


@pytest.mark.parametrize(
    "lie",
    [
        {"nonce": bytes(31)},
        {"nonce": bytes(33)},
        {"nonce": "text"},
        {"nonce": None},
        {"certificate": bytes(63)},
        {"certificate": bytes(MAX_CERTIFICATE + 1)},
        {"certificate": [1]},
        {"addresses": [["192.0.2.1", 5000]] * (MAX_ADDRESSES + 1)},
        {"addresses": [["192.0.2.1", 0]]},
        {"addresses": [["192.0.2.1", 65536]]},
        {"addresses": [["192.0.2.1", -1]]},
        {"addresses": [["192.0.2.1", 2**64 - 1]]},
        {"addresses": [["192.0.2.1", 5000.5]]},
        {"addresses": [["192.0.2.1", "5000"]]},
        {"addresses": [["x" * 65, 5000]]},
        {"addresses": [["192.0.2.1"]]},
        {"addresses": [["192.0.2.1", 5000, 1]]},
        {"addresses": [5000]},
        {"addresses": {"192.0.2.1": 5000}},
        {"kind": "later"},
        {"kind": 1},
    ],
    ids=str,
)
def test_an_offer_that_lies(lie: dict[str, object]) -> None:
    with pytest.raises(ProtocolError):
        Lanes().receive(b"\x04" + msgspec.msgpack.encode(GOOD | lie))


@pytest.mark.parametrize("missing", ["nonce", "certificate", "addresses", "kind"])
def test_an_offer_that_leaves_something_out(missing: str) -> None:
    with pytest.raises(ProtocolError):
        Lanes().receive(b"\x04" + msgspec.msgpack.encode({k: v for k, v in GOOD.items() if k != missing}))


def test_an_offer_that_is_nested_too_deeply() -> None:
    with pytest.raises(ProtocolError):
        Lanes().receive(b"\x04" + b"\x91" * 100_000)


@pytest.mark.parametrize("message", [OFFER, More([("192.0.2.1", 1)]), NoOffer()])
def test_an_offer_cut_off_anywhere(message: Offer | More | NoOffer) -> None:
    whole = punching(message)
    for end in range(1, len(whole)):
        with pytest.raises(ProtocolError):
            Lanes().receive(whole[:end])


@given(st.lists(st.one_of(st.binary(max_size=40), st.binary(max_size=40).map(lambda b: b"\x04" + b)), max_size=20))
def test_arbitrary_messages_raise_nothing_else(messages: list[bytes]) -> None:
    lanes = Lanes()
    for message in messages:
        with contextlib.suppress(ProtocolError):
            lanes.receive(message)
        assert 0 <= lanes.room <= WINDOW


@given(st.data())
def test_changed_offers_raise_nothing_else(data: st.DataObject) -> None:
    message = bytearray(punching(OFFER))
    for _ in range(data.draw(st.integers(1, 3))):
        message[data.draw(st.integers(1, len(message) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ProtocolError):
        Lanes().receive(bytes(message))
