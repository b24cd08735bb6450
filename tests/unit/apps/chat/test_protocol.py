"""The core of the chat: one side against hand-made frames, and two sides back to back."""

from __future__ import annotations

import logging

import pytest

from tincan.apps.chat import (
    MAX_TEXT,
    WINDOW,
    ChatProtocol,
    Delivered,
    MessageReceived,
    NotOpen,
    PeerHello,
    PeerLeft,
    PeerTyping,
    State,
    WindowFull,
)
from tincan.errors import ProtocolError, UsageError
from unit.apps.chat.helpers import HELLO, CorePair, greeted, packed, sent, taken

# Greeting


def test_both_sides_learn_of_each_other() -> None:
    pair = CorePair(
        ChatProtocol(name="Ada", agent="tin-can/1", capabilities=["call", "files"]),
        ChatProtocol(name="  Bob\n", agent=""),
    )
    for core in pair.cores.values():
        core.start()
    pair.deliver_all()
    assert taken(pair.cores["b"]) == [PeerHello("Ada", "tin-can/1", 1, frozenset({"call", "files"}))]
    assert taken(pair.cores["a"]) == [PeerHello("Bob", "", 1, frozenset())]
    assert {core.state for core in pair.cores.values()} == {State.OPEN}


def test_hello_goes_out_before_the_peers_has_come() -> None:
    core = ChatProtocol(name="Ada")
    core.start()
    assert sent(core.data_to_send()) == [HELLO | {"name": "Ada"}]
    assert core.data_to_send() == []
    assert core.state is State.GREETING


def test_what_a_peer_says_of_itself_is_made_safe() -> None:
    core = ChatProtocol(name="Ada")
    core.start()
    core.receive(
        packed(
            **HELLO
            | {
                "name": "\x1b[2J" + "x" * 100_000,
                "agent": "\u202egod",
                "capabilities": ["", "a\x1b", "y" * 65, "good", "good", *(f"c{n}" for n in range(100))],
            }
        )
    )
    (hello,) = taken(core)
    assert isinstance(hello, PeerHello)
    assert hello.name == (r"\x1b[2J" + "x" * 64)[:64]
    assert hello.agent == r"\u202egod"
    assert hello.capabilities == {"good", *(f"c{n}" for n in range(59))}


def test_our_own_capabilities_must_fit() -> None:
    for capabilities in (["x"] * 65, ["x" * 65], [""], ["\n"]):
        with pytest.raises(UsageError):
            ChatProtocol(name="Ada", capabilities=capabilities)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"), [((1, 1), (1, 3), 1), ((2, 4), (1, 3), 3), ((1, 9), (9, 9), 9)]
)
def test_the_highest_common_version_is_spoken(ours: tuple[int, int], theirs: tuple[int, int], agreed: int) -> None:
    pair = CorePair(
        ChatProtocol(name="a", minimum=ours[0], version=ours[1]),
        ChatProtocol(name="b", minimum=theirs[0], version=theirs[1]),
    )
    for core in pair.cores.values():
        core.start()
    pair.deliver_all()
    for core in pair.cores.values():
        (hello,) = taken(core)
        assert isinstance(hello, PeerHello)
        assert hello.version == agreed


def test_without_a_common_version_it_is_said_who_must_upgrade() -> None:
    old, new = ChatProtocol(name="old"), ChatProtocol(name="new", version=3, minimum=2)
    old.start()
    new.start()
    (hello_old,), (hello_new,) = old.data_to_send(), new.data_to_send()
    with pytest.raises(ProtocolError, match=r"This side must upgrade.* up to version 1, the peer needs 2"):
        old.receive(hello_new)
    with pytest.raises(ProtocolError, match=r"The peer must upgrade.* up to version 1, this side needs 2"):
        new.receive(hello_old)


# Talking


def test_a_message_arrives_and_is_acknowledged_when_taken() -> None:
    pair = CorePair.open()
    a, b = pair.cores["a"], pair.cores["b"]
    assert a.send_message("hello") == 1
    assert a.send_message("waves", action=True) == 2
    pair.deliver_all()
    assert taken(b) == [MessageReceived(1, "hello", False), MessageReceived(2, "waves", True)]
    assert a.undelivered == 2
    b.acknowledge(1)
    b.acknowledge(1)
    b.acknowledge(77)
    pair.deliver_all()
    assert taken(a) == [Delivered(1)]
    assert a.undelivered == 1


def test_text_arrives_exactly() -> None:
    pair = CorePair.open()
    said = "\x00\x1b[0m\\n \u202e \U0001f468\u200d\U0001f469 \n"
    pair.cores["a"].send_message(said)
    pair.deliver_all()
    assert taken(pair.cores["b"]) == [MessageReceived(1, said, False)]


def test_the_longest_text_arrives() -> None:
    pair = CorePair.open()
    said = "ü" * (MAX_TEXT // 2)
    pair.cores["a"].send_message(said)
    pair.deliver_all()
    assert taken(pair.cores["b"]) == [MessageReceived(1, said, False)]


@pytest.mark.parametrize("text", ["", "x" * (MAX_TEXT + 1), "ü" * (MAX_TEXT // 2) + "x", "\ud800"])
def test_what_cannot_be_sent_is_refused_before_anything_is_sent(text: str) -> None:
    core = greeted()
    with pytest.raises(UsageError):
        core.send_message(text)
    assert core.data_to_send() == []
    assert core.send_message("fine") == 1


def test_the_window_is_bounded_and_opens_again() -> None:
    pair = CorePair.open()
    a, b = pair.cores["a"], pair.cores["b"]
    for _ in range(WINDOW):
        a.send_message("x")
    with pytest.raises(WindowFull):
        a.send_message("one too many")
    pair.deliver_all()
    b.acknowledge(1)
    pair.deliver_all()
    assert a.send_message("fits") == WINDOW + 1


def test_typing_is_told_once() -> None:
    pair = CorePair.open()
    a, b = pair.cores["a"], pair.cores["b"]
    for active in (False, True, True, False, False, True):
        a.set_typing(active)
    told = a.data_to_send()
    assert [frame["active"] for frame in sent(told)] == [True, False, True]
    for frame in [*told, told[-1]]:
        b.receive(frame)
    assert taken(b) == [PeerTyping(True), PeerTyping(False), PeerTyping(True)]


def test_a_message_ends_typing_on_both_sides() -> None:
    pair = CorePair.open()
    a, b = pair.cores["a"], pair.cores["b"]
    a.set_typing(True)
    a.send_message("done")
    a.set_typing(False)
    pair.deliver_all()
    assert taken(b) == [PeerTyping(True), PeerTyping(False), MessageReceived(1, "done", False)]
    a.set_typing(True)
    a.say_goodbye()
    pair.deliver_all()
    assert taken(b) == [PeerTyping(True), PeerTyping(False), PeerLeft()]


@pytest.mark.parametrize("state", ["open", "leaving"])
def test_unknown_kinds_and_fields_are_ignored(state: str) -> None:
    core = greeted(shoe_size=42)
    if state == "leaving":
        core.say_goodbye()
    core.receive(packed(kind="call", sdp="v=0", more=[1, {"a": None}]))
    core.receive(packed(kind="message", id=5, text="hi", colour="red"))
    assert taken(core) == [MessageReceived(5, "hi", False)]


# Leaving


def test_goodbye_from_one_side_then_the_other() -> None:
    pair = CorePair.open()
    a, b = pair.cores["a"], pair.cores["b"]
    b.send_message("crossing your goodbye")
    a.say_goodbye()
    pair.deliver_all()
    assert (a.state, b.state) == (State.LEAVING, State.PEER_LEFT)
    assert taken(b) == [PeerLeft()]
    assert taken(a) == [MessageReceived(1, "crossing your goodbye", False)]
    a.acknowledge(1)
    pair.deliver_all()
    assert taken(b) == [Delivered(1)]
    b.say_goodbye()
    pair.deliver_all()
    assert (a.state, b.state) == (State.OVER, State.OVER)
    assert taken(a) == [PeerLeft()]


def test_crossing_goodbyes() -> None:
    pair = CorePair.open()
    for core in pair.cores.values():
        core.say_goodbye()
    pair.deliver_all()
    for core in pair.cores.values():
        assert core.state is State.OVER
        assert taken(core) == [PeerLeft()]


def test_nothing_is_said_outside_a_conversation() -> None:
    new, greeting, leaving, peer_left = (
        ChatProtocol(name="Ada"),
        ChatProtocol(name="Ada"),
        greeted(),
        greeted(),
    )
    greeting.start()
    leaving.say_goodbye()
    peer_left.receive(packed(kind="bye"))
    for core in (new, greeting, leaving, peer_left):
        core.data_to_send()
        with pytest.raises(NotOpen):
            core.send_message("hello?")
        with pytest.raises(NotOpen):
            core.set_typing(True)
        assert core.data_to_send() == []
    for core in (new, greeting, leaving):
        with pytest.raises(NotOpen):
            core.say_goodbye()
    with pytest.raises(NotOpen):
        new.receive(packed(**HELLO))
    with pytest.raises(NotOpen):
        greeting.start()


def test_every_change_of_state_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="tincan.apps.chat"):
        core = greeted()
        core.send_message("a secret")
        core.say_goodbye()
    assert [record.getMessage() for record in caplog.records] == [
        "chat: new -> greeting (start)",
        "chat: greeting -> open (peer's hello)",
        "chat: open -> leaving (our bye)",
    ]
