"""The greeting of two cans: who is here for what, and the notes that follow."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.chat import ChatSession
from tincan.apps.chat.events import ChatEvent, Closed, PeerHello
from tincan.apps.chat.frames import Bye, Hello
from tincan.apps.chat.frames import encode as encode_chat
from tincan.apps.greeting import COMMANDS, Again, Received, decode, encode, hello, read_hello
from tincan.errors import PeerRefused, ProtocolError
from tincan.link.interface import CloseReason
from tincan.link.memory import MemoryLink


def packed(*capabilities: str, name: str = "Bob") -> bytes:
    return encode_chat(Hello(1, 1, name, "other/1", list(capabilities)))


@pytest.mark.parametrize("app", COMMANDS)
def test_two_that_are_here_for_the_same_thing(app: str) -> None:
    assert read_hello(hello(app, "Ada"), app) == "Ada"


@pytest.mark.parametrize("app", COMMANDS)
@pytest.mark.parametrize("other", COMMANDS)
def test_two_that_are_not_both_learn_what_to_do(app: str, other: str) -> None:
    if app == other:
        return
    with pytest.raises(PeerRefused) as refused:
        read_hello(hello(other, "Ada"), app)
    assert COMMANDS[app] in str(refused.value)
    assert COMMANDS[other] in str(refused.value)
    assert refused.value.exit_code == 7


def test_one_of_many_capabilities_is_enough() -> None:
    assert read_hello(packed("later", "files", "pipe"), "pipe") == "Bob"


@pytest.mark.parametrize("capabilities", [[], ["call"], ["\x1b[2J"]])
def test_who_names_nothing_that_we_know_is_a_chat(capabilities: list[str]) -> None:
    with pytest.raises(PeerRefused, match="attach-string or tap"):
        read_hello(packed(*capabilities), "pipe")


def test_a_name_is_safe_to_show() -> None:
    assert "\x1b" not in read_hello(packed("pipe", name="\x1b[2J\u202eBob"), "pipe")


@pytest.mark.parametrize("frame", [b"", b"\xc1", encode_chat(Bye()), encode(Received(5)), b"\x81\xa4kind\xa5later"])
def test_a_first_frame_that_is_no_hello(frame: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_hello(frame, "pipe")


@pytest.mark.parametrize("note", [Again(bytes(32)), Received(0), Received(2**63 - 1)])
def test_notes_come_through(note: Again | Received) -> None:
    assert decode(encode(note)) == note
    whole = encode(note)
    assert [decode(whole[:end]) for end in range(len(whole))] == [None] * len(whole)


@pytest.mark.parametrize(
    "note",
    [
        {"kind": "again", "secret": bytes(31)},
        {"kind": "again", "secret": bytes(33)},
        {"kind": "again"},
        {"kind": "received", "count": -1},
        {"kind": "received", "count": 2**63},
        {"kind": "received", "count": "5"},
        {"kind": "received", "count": 5.0},
        {"kind": "later"},
        {"kind": 5},
        [],
    ],
    ids=str,
)
def test_what_is_none_of_our_notes_is_passed_over(note: object) -> None:
    assert decode(msgspec.msgpack.encode(note)) is None


@given(st.binary(max_size=100))
def test_arbitrary_bytes(frame: bytes) -> None:
    decode(frame)
    with contextlib.suppress(ProtocolError, PeerRefused):
        read_hello(frame, "pipe")


# -- a chat that meets something else ------------------------------------------------------


async def chat_that_hears(greeting: bytes) -> list[ChatEvent]:
    near, far = MemoryLink.pair()
    async with ChatSession(near, name="Ada") as ada:
        await far.control.send(greeting)
        frame = await far.control.receive()
        assert read_hello(frame, "chat") == "Ada"
        with pytest.raises(PeerRefused, match="attach-string or tap"):
            read_hello(frame, "pipe")
        if not read_as_chat(greeting):
            assert await far.wait_closed() is CloseReason.PEER
        else:
            await far.close()
        return [event async for event in ada.events()]


def read_as_chat(greeting: bytes) -> bool:
    with contextlib.suppress(PeerRefused):
        return read_hello(greeting, "chat") != ""
    return False


@pytest.mark.parametrize("app", ["pipe", "files", "forward"])
async def test_a_chat_that_meets_another_command_says_so(app: str) -> None:
    [closed] = await chat_that_hears(hello(app, "Bob"))
    assert isinstance(closed, Closed)
    assert isinstance(closed.error, PeerRefused)
    assert COMMANDS[app] in str(closed.error)
    assert COMMANDS["chat"] in str(closed.error)


@pytest.mark.parametrize("capabilities", [[], ["call"], ["chat"], ["chat", "files"]])
async def test_a_chat_talks_to_chats_of_every_age(capabilities: list[str]) -> None:
    events = await chat_that_hears(packed(*capabilities))
    assert isinstance(events[0], PeerHello)
    assert events[-1] == Closed(CloseReason.PEER, 0, None)
