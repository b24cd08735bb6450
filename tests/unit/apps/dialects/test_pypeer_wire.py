"""Rooms, tokens and messages of pypeer. tokens.json was recorded from pypeer 0.1.0's own signaler."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.chat import MAX_TEXT, MessageReceived
from tincan.apps.dialects.pypeer_wire import (
    MAX_JSON,
    MAX_TOKEN,
    PING,
    PING_INTERVAL,
    PypeerCodec,
    Room,
    decode_token,
    encode_token,
    generate_room,
    make_value,
    parse_room,
    room_key,
    token_of,
)
from tincan.errors import AuthenticationFailed, ProtocolError, TinCanError, UsageError
from tincan.link.sdp import read

RECORDED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "tokens.json").read_text())
ROOM = Room("AB12CD", "sesame")


@pytest.mark.parametrize(
    ("text", "room"),
    [
        ("AB12CD", Room("AB12CD")),
        (" ab12cd ", Room("AB12CD")),
        ("ab12cd:Secret", Room("AB12CD", "Secret")),
        ("000000:a:b: c ", Room("000000", "a:b: c")),
        ("AB12CD:", Room("AB12CD")),
        ("AB12CD:  ü ", Room("AB12CD", "ü")),
    ],
)
def test_rooms(text: str, room: Room) -> None:
    assert parse_room(text) == room
    assert parse_room(room.text) == room
    assert "ecret" not in repr(room)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "AB12C",
        "AB12CDE",
        "AB 2CD",
        "AB12C/",
        "ÄB12CD",
        "ﬀ12CD",
        "ab12c\u0131",
        "AB12CD:\ud800",
        "AB12CD:" + "x" * 2000,
    ],
)
def test_what_is_no_room(text: str) -> None:
    with pytest.raises(UsageError):
        parse_room(text)


def test_generated_rooms() -> None:
    assert generate_room(lambda letters: letters[-1]) == "999999"
    assert parse_room(generate_room(lambda letters: letters[0])).name == "AAAAAA"


def test_the_key() -> None:
    # printf 'AB12CDsesame' | openssl dgst -sha256 -binary | base64 | tr '+/' '-_'
    assert room_key(ROOM) == b"Z3NjfJavhzlIKJrKJHy5CkahoqFJp5yLLNGFZNxzTiQ="


@pytest.mark.parametrize("found", RECORDED, ids=lambda found: f"{found['kind']} {found['room']}")
def test_tokens_that_pypeer_made(found: dict[str, Any]) -> None:
    room = Room(found["room"], found["password"])
    token = token_of(json.dumps(found["value"]).encode())
    assert token is not None
    assert decode_token(room, token, found["kind"]) == found["sdp"]
    assert read(found["sdp"]).description.candidates
    for wrong in (Room(room.name, room.password + "x"), Room("ZZZZZZ", room.password)):
        with pytest.raises(AuthenticationFailed, match=room.name if wrong.name == room.name else "ZZZZZZ"):
            decode_token(wrong, token, found["kind"])


@pytest.mark.parametrize("kind", ["offer", "answer"])
def test_our_tokens(kind: str) -> None:
    sdp = "v=0\r\nümläut\r\n"
    token = encode_token(ROOM, sdp, kind)
    assert decode_token(ROOM, token, kind) == sdp
    # What pypeer does with it.
    assert json.loads(zlib.decompress(Fernet(room_key(ROOM)).decrypt(token))) == {"sdp": sdp, "type": kind}
    value = make_value(token, 1_700_000_000_000)
    assert value == {"payload": token, "timestamp": 1_700_000_000_000}
    assert token_of(json.dumps(value).encode()) == token
    with pytest.raises(ProtocolError):
        decode_token(ROOM, token, "answer" if kind == "offer" else "offer")


def sealed(packed: bytes) -> str:
    return Fernet(room_key(ROOM)).encrypt(packed).decode()


def packed(**what: object) -> bytes:
    return zlib.compress(json.dumps(what).encode())


@pytest.mark.parametrize(
    "token",
    [
        sealed(b""),
        sealed(b"not zlib"),
        sealed(zlib.compress(b"not json")),
        sealed(zlib.compress(b"[" * 20_000)),
        sealed(zlib.compress(b'{"sdp":"\xff","type":"offer"}')),
        sealed(packed(sdp="v=0")),
        sealed(packed(sdp=1, type="offer")),
        sealed(packed(sdp="v=0", type="rollback")),
        sealed(packed(sdp="v=0", type="offer")[:-1]),
        sealed(packed(sdp="v=0", type="offer") + b"more"),
        sealed(packed(sdp="x" * MAX_JSON, type="offer")),
        sealed(zlib.compress(bytes(20 * 1024 * 1024))),
        "A" * (MAX_TOKEN + 1),
    ],
    ids=range(13),
)
def test_nonsense_and_bombs(token: str) -> None:
    with pytest.raises(ProtocolError):
        decode_token(ROOM, token, "offer")


@pytest.mark.parametrize(
    "token", ["", "x", "gAAAAA", "ü", "gAAAAA==\n", encode_token(ROOM, "v=0", "offer")[:-2] + "=="]
)
def test_no_tokens_of_this_room(token: str) -> None:
    with pytest.raises(AuthenticationFailed):
        decode_token(ROOM, token, "offer")


@given(st.text() | st.binary().map(sealed) | st.binary().map(lambda data: sealed(zlib.compress(data))))
def test_any_token_is_read_or_refused(token: str) -> None:
    with pytest.raises(TinCanError):
        decode_token(ROOM, token, "offer")


@given(st.binary())
def test_any_value_has_a_token_or_none(value: bytes) -> None:
    assert token_of(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "null",
        "1",
        "[]",
        "{}",
        '{"payload":1}',
        '{"payload":""}',
        '{"timestamp":1}',
        '{"payload":"\ud800"}',
        "[" * 9999,
    ],
)
def test_values_without_a_token(value: str) -> None:
    assert token_of(value.encode(errors="surrogatepass")) is None


def test_pings() -> None:
    codec = PypeerCodec()
    assert codec.next_deadline() is None
    assert codec.start(100.0) == [PING]
    assert codec.next_deadline() == 100 + PING_INTERVAL
    assert codec.idle(101.0) == []
    assert codec.idle(115.0) == [PING]
    assert codec.next_deadline() == 115 + PING_INTERVAL


def test_what_is_heard() -> None:
    codec = PypeerCodec()
    assert codec.receive(PING, 0.0) == []
    assert codec.receive(b"\x00", 0.0) == []
    assert codec.receive("* hi ✓", 0.0) == [MessageReceived(1, "* hi ✓", action=False)]
    assert codec.receive("", 0.0) == [MessageReceived(2, "", action=False)]
    assert codec.receive("x" * MAX_TEXT, 0.0) != []
    for long in ("x" * (MAX_TEXT + 1), "ü" * (MAX_TEXT // 2 + 1)):
        with pytest.raises(ProtocolError):
            codec.receive(long, 0.0)


def test_what_is_said() -> None:
    codec = PypeerCodec()
    assert codec.say("hi ✓", action=False) == ["hi ✓"]
    assert codec.say("waves", action=True) == ["* waves"]
    assert codec.say("x" * MAX_TEXT, action=False)
    for impossible in ("", PING, "x" * (MAX_TEXT + 1), "ü" * (MAX_TEXT // 2 + 1), "\ud800"):
        with pytest.raises(UsageError):
            codec.say(impossible, action=False)
