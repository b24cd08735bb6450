"""What a peer must not do, and what becomes of it."""

from __future__ import annotations

import msgspec
import pytest

from tincan.apps.chat import MAX_TEXT, WINDOW, ChatProtocol, Delivered, NotOpen, PeerLeft, State
from tincan.apps.text import visible
from tincan.errors import ProtocolError
from unit.apps.chat.helpers import HELLO, CorePair, greeted, packed, sent, taken

BAD_FIRST = [
    packed(kind="message", id=1, text="hi"),
    packed(kind="bye"),
    packed(kind="something-else"),
    *(packed(**{key: value for key, value in HELLO.items() if key != missing}) for missing in HELLO),
    *(
        packed(**HELLO | wrong)
        for wrong in (
            {"version": 0},
            {"version": True},
            {"version": "1"},
            {"version": 1.0},
            {"version": 65536},
            {"minimum": 2},
            {"minimum": -1},
            {"name": None},
            {"name": b"Bob"},
            {"agent": 5},
            {"capabilities": "call"},
            {"capabilities": {"call": True}},
            {"capabilities": ["call", 1]},
        )
    ),
]

BAD_LATER = [
    b"",
    b"\xc1",
    b"hello",
    b"\x91" * 100_000,
    b"\x81\xa1x" + b"\x91" * 100_000,
    b"\xdf\xff\xff\xff\xff",
    b"\x82\xa4kind\xa4call\xa1x\xdd\xff\xff\xff\xff",
    packed(kind="bye") + b"\x00",
    b"\x81\xa4kind\xa2\xff\xfe",
    b"\x83\xa4kind\xa7message\xa2id\x01\xa4text\xa2\xed\xa0",
    msgspec.msgpack.encode([1, 2]),
    msgspec.msgpack.encode(None),
    msgspec.msgpack.encode({"text": "no kind"}),
    msgspec.msgpack.encode({"kind": 7}),
    msgspec.msgpack.encode({1: 2}),
    packed(**HELLO),
    packed(kind="message", id=1),
    packed(kind="message", text="hi"),
    packed(kind="message", id=0, text="hi"),
    packed(kind="message", id=-1, text="hi"),
    packed(kind="message", id=2**53, text="hi"),
    packed(kind="message", id="1", text="hi"),
    packed(kind="message", id=1, text=""),
    packed(kind="message", id=1, text=b"hi"),
    packed(kind="message", id=1, text="x" * (MAX_TEXT + 1)),
    packed(kind="message", id=1, text="ü" * (MAX_TEXT // 2 + 1)),
    packed(kind="message", id=1, text="hi", action=1),
    packed(kind="ack"),
    packed(kind="ack", id=1),
    packed(kind="ack", id=[1]),
    packed(kind="typing"),
    packed(kind="typing", active=1),
    packed(kind="bye", error=5),
]


def assert_failed(core: ChatProtocol, bad: bytes) -> None:
    with pytest.raises(ProtocolError) as caught:
        core.receive(bad)
    sentence = str(caught.value)
    assert sentence[0].isupper()
    assert sentence.endswith(".")
    assert visible(sentence) == sentence
    assert core.state is State.FAILED
    with pytest.raises(ProtocolError, match="^" + sentence[:20]):
        core.receive(packed(kind="typing", active=True))
    assert core.next_event() is None
    with pytest.raises(NotOpen):
        core.send_message("hello?")
    with pytest.raises(NotOpen):
        core.say_goodbye()


@pytest.mark.parametrize("bad", BAD_FIRST)
def test_a_conversation_begins_with_a_good_hello(bad: bytes) -> None:
    core = ChatProtocol(name="Ada")
    core.start()
    core.data_to_send()
    assert_failed(core, bad)
    (complaint,) = sent(core.data_to_send())
    assert complaint["kind"] == "bye"
    assert complaint["error"]


@pytest.mark.parametrize("bad", BAD_LATER)
def test_a_malformed_frame_ends_the_conversation(bad: bytes) -> None:
    core = greeted()
    assert_failed(core, bad)
    (complaint,) = sent(core.data_to_send())
    assert complaint["kind"] == "bye"
    assert complaint["error"]


@pytest.mark.parametrize("last", [1, 7])
def test_message_ids_only_increase(last: int) -> None:
    core = greeted()
    core.receive(packed(kind="message", id=7, text="first"))
    taken(core)
    assert_failed(core, packed(kind="message", id=last, text="again"))


def test_a_peer_must_keep_to_the_window() -> None:
    core = greeted()
    for number in range(1, WINDOW + 1):
        core.receive(packed(kind="message", id=number, text="x"))
    taken(core)
    assert_failed(core, packed(kind="message", id=WINDOW + 1, text="x"))


def test_a_second_ack_of_the_same_message_is_harmless() -> None:
    core = greeted()
    core.send_message("hi")
    core.receive(packed(kind="ack", id=1))
    core.receive(packed(kind="ack", id=1))
    assert taken(core) == [Delivered(1)]


@pytest.mark.parametrize("left", ["peer", "both"])
@pytest.mark.parametrize("late", ["hello", "message", "typing", "bye"])
def test_only_acks_follow_a_bye(left: str, late: str) -> None:
    core = greeted()
    core.send_message("hi")
    core.receive(packed(kind="bye"))
    if left == "both":
        core.say_goodbye()
    core.receive(packed(kind="ack", id=1))
    core.receive(packed(kind="unknown"))
    core.data_to_send()
    taken(core)
    late_frames: dict[str, dict[str, object]] = {
        "hello": HELLO,
        "message": {"kind": "message", "id": 1, "text": "late"},
        "typing": {"kind": "typing", "active": True},
        "bye": {"kind": "bye"},
    }
    assert_failed(core, packed(**late_frames[late]))
    assert len(core.data_to_send()) == (1 if left == "peer" else 0)  # one bye of ours, never two


def test_the_peer_is_told_what_it_did_wrong() -> None:
    pair = CorePair.open()
    with pytest.raises(ProtocolError):
        pair.cores["b"].receive(b"junk")
    pair.deliver_all()
    (left,) = taken(pair.cores["a"])
    assert isinstance(left, PeerLeft)
    assert left.complaint is not None
    assert "malformed" in left.complaint


def test_a_complaint_is_made_safe_too() -> None:
    core = greeted()
    core.receive(packed(kind="bye", error="\x1b[2J" + "x" * 10_000))
    (left,) = taken(core)
    assert isinstance(left, PeerLeft)
    assert left.complaint is not None
    assert left.complaint.startswith(r"\x1b[2J")
    assert len(left.complaint) < 300
