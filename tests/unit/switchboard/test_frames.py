"""The codec: good frames, bad frames, and whatever a stranger may send."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.meet.mailbox import Side
from tincan.switchboard import frames

TOKEN = "q4wM0v" + "-" * 16
OPEN = {"type": "open", "side": "attach", "code": "3f9a0c71d2be", "token": TOKEN, "resume": None, "seen": 0}


@pytest.mark.parametrize(
    ("wire", "frame"),
    [
        (OPEN, frames.Open(Side.ATTACH, "3f9a0c71d2be", TOKEN)),
        (OPEN | {"code": None}, frames.Open(Side.ATTACH, None, TOKEN)),
        (
            OPEN | {"side": "tap", "resume": "Zk0", "seen": 3},
            frames.Open(Side.TAP, "3f9a0c71d2be", TOKEN, "Zk0", 3),
        ),
        (OPEN | {"colour": [1, {"deep": None}]}, frames.Open(Side.ATTACH, "3f9a0c71d2be", TOKEN)),
        ({"type": "send", "seq": 0, "body": ""}, frames.Send(0, b"")),
        ({"type": "send", "seq": 63, "body": "AP8=", "mailbox": "Zk0"}, frames.Send(63, b"\x00\xff", "Zk0")),
        ({"type": "close", "done": True}, frames.Close(True)),
    ],
)
def test_good_frames(wire: dict, frame: frames.ClientFrame) -> None:
    assert frames.decode(json.dumps(wire)) == frame
    assert frames.decode(json.dumps(wire).encode()) == frame


SEND = {"type": "send", "seq": 0, "body": "AAAA"}
BAD = [
    OPEN | {"type": "opened"},
    OPEN | {"type": "Open"},
    OPEN | {"type": 1},
    OPEN | {"type": None},
    OPEN | {"side": "both"},
    OPEN | {"side": None},
    OPEN | {"code": "3F9A0C71D2BE"},
    OPEN | {"code": "3f9a0c71d2b"},
    OPEN | {"code": "3f9a0c71d2be0"},
    OPEN | {"code": "3f9a0c71d2be\n"},
    OPEN | {"code": 123456789012},
    OPEN | {"token": TOKEN[:21]},
    OPEN | {"token": "a" * 65},
    OPEN | {"token": TOKEN + "\n"},
    OPEN | {"token": TOKEN + "ä"},
    OPEN | {"token": None},
    OPEN | {"resume": 1},
    OPEN | {"seen": -1},
    OPEN | {"seen": 1.0},
    OPEN | {"seen": True},
    OPEN | {"seen": "1"},
    OPEN | {"seen": None},
    {key: value for key, value in OPEN.items() if key != "token"},
    {key: value for key, value in OPEN.items() if key != "code"},
    {key: value for key, value in OPEN.items() if key != "type"},
    SEND | {"seq": -1},
    SEND | {"seq": 0.5},
    SEND | {"body": "AAA"},
    SEND | {"body": "AA A"},
    SEND | {"body": "_-8="},
    SEND | {"body": None},
    SEND | {"body": [65]},
    {"type": "close"},
    {"type": "close", "done": 1},
    {"type": "close", "done": "true"},
    [],
    [OPEN],
    None,
    "open",
    7,
]


@pytest.mark.parametrize("wire", BAD, ids=str)
def test_bad_frames(wire: object) -> None:
    with pytest.raises(frames.Malformed) as caught:
        frames.decode(json.dumps(wire))
    assert caught.value.__cause__ is None
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "raw",
    [
        "",
        "{",
        "nonsense",
        "\x00",
        "\ud800",
        b"\xff\xfe",
        '{"type": "close", "done": true} x',
        '{"type": "close", "done": true, "x": "\\ud800"}',
        '{"type": "close", "done": NaN}',
        '{"type": "close", "x": ' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"type": "send", "body": "", "seq": ' + "9" * 20_000 + "}",
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_bad_json(raw: str | bytes) -> None:
    with pytest.raises(frames.Malformed):
        frames.decode(raw)


def send_of(size: int) -> str:
    return json.dumps({"type": "send", "seq": 0, "body": base64.b64encode(bytes(size)).decode()})


def test_a_body_has_32_kib() -> None:
    assert frames.decode(send_of(32 * 1024)) == frames.Send(0, bytes(32 * 1024))
    with pytest.raises(frames.TooLarge):
        frames.decode(send_of(32 * 1024 + 1))


def test_a_frame_has_48_kib() -> None:
    close = '{"type": "close", "done": true}'
    assert frames.decode(close.ljust(48 * 1024)) == frames.Close(True)
    with pytest.raises(frames.TooLarge):
        frames.decode(close.ljust(48 * 1024 + 1))
    with pytest.raises(frames.TooLarge):  # bytes count, not characters
        frames.decode(json.dumps({"type": "close", "x": "ä" * 25_000}, ensure_ascii=False))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NEARLY = st.fixed_dictionaries(
    {"type": st.sampled_from(["open", "send", "close", "message"]) | JUNK},
    optional={
        name: st.sampled_from([OPEN.get(name), "", "AAAA", "tap", 0, True]) | JUNK
        for name in ("side", "code", "token", "resume", "seen", "seq", "body", "done", "mailbox")
    },
)


@given(st.binary(max_size=200) | st.text(max_size=200) | NEARLY.map(json.dumps) | JUNK.map(json.dumps))
def test_whatever_comes_is_a_frame_or_a_frame_error(data: str | bytes) -> None:
    with contextlib.suppress(frames.FrameError):
        assert isinstance(frames.decode(data), frames.Open | frames.Send | frames.Close)


@given(st.sampled_from([json.dumps(OPEN), json.dumps(SEND)]), st.integers(0, 200), st.integers(0, 0x10FFFF))
def test_damaged_frames(good: str, at: int, character: int) -> None:
    at %= len(good)
    damaged = good[:at] + chr(character) + good[at + 1 :]
    with contextlib.suppress(frames.FrameError):
        frames.decode(damaged)


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        (frames.Opened("Zk0"), {"type": "opened", "mailbox": "Zk0"}),
        (
            frames.Opened(
                "Zk0",
                "417",
                ("stun:s",),
                frames.TurnServer(("turn:t?transport=udp",), "1700000000:tin-can", "cred", 3600),
            ),
            {
                "type": "opened",
                "mailbox": "Zk0",
                "nameplate": "417",
                "stun": ["stun:s"],
                "turn": {
                    "urls": ["turn:t?transport=udp"],
                    "username": "1700000000:tin-can",
                    "credential": "cred",
                    "ttl": 3600,
                },
            },
        ),
        (frames.Message(0, b"\x00\xff"), {"type": "message", "seq": 0, "body": "AP8="}),
        (frames.Reset("Zk1"), {"type": "reset", "mailbox": "Zk1"}),
        (frames.Gone(), {"type": "gone"}),
        (
            frames.Error(frames.ErrorCode.TOO_LARGE, "Why."),
            {"type": "error", "code": "too-large", "text": "Why."},
        ),
    ],
)
def test_server_frames(frame: frames.ServerFrame, wire: dict) -> None:
    assert json.loads(frames.encode(frame)) == wire
