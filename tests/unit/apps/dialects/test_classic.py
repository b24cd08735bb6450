"""The pure parts of the classic dialect: code, blobs, URLs, and every message of the channel."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.chat import MessageReceived, PeerHello
from tincan.apps.dialects.classic import (
    MAX_MORSE,
    URL,
    ClassicCodec,
    Mode,
    blob,
    heard_as,
    read_blob,
    string_code,
    url,
)
from tincan.apps.dialects.pasted import MAX_PASTED, Kind
from tincan.errors import ProtocolError, UsageError
from tincan.link.description import Candidate, Description
from tincan.link.sdp import write

DESCRIPTION = Description(
    ufrag="aB3d",
    pwd="0123456789abcdefghijkl",
    fingerprint=bytes(range(32)),
    candidates=(
        Candidate("host", "192.0.2.7", 50000, "1", 2130706431),
        Candidate("srflx", "198.51.100.9", 50001, "2", 1694498815),
    ),
    complete=True,
)
SDP = write(DESCRIPTION, "actpass")
OFFER, ANSWER = blob(Kind.OFFER, SDP), blob(Kind.ANSWER, SDP)


def test_string_code() -> None:
    # printf %s 'correct horse' | sha256sum | cut -c -12
    assert string_code("correct horse") == "4104d36f8da2"
    # FIPS 180-2's example
    assert string_code("abc") == "ba7816bf8f01"
    assert string_code("ü") != string_code("u")
    with pytest.raises(UsageError):
        string_code("\udcff")


# -- blobs and URLs -----------------------------------------------------------------


def test_a_blob_is_unpadded_base64_of_the_json() -> None:
    assert "=" not in OFFER
    assert json.loads(base64.b64decode(OFFER + "=" * (-len(OFFER) % 4), validate=True)) == {
        "type": "offer",
        "sdp": SDP,
    }


def test_a_url_is_url_safe_base64_after_the_letter() -> None:
    sdp = SDP + "a=x:\u00ff\u00fe?>~\r\n" * 3
    for kind, letter in ((Kind.OFFER, "o"), (Kind.ANSWER, "a")):
        link = url(kind, sdp)
        head, data = link.split("=", 1)
        assert head == f"https://daniellafeir.com/can/#{letter}"
        assert not set("+/=") & set(data)
        assert json.loads(base64.urlsafe_b64decode(data + "==")) == {"type": kind.value, "sdp": sdp}


def wrapped(text: str) -> str:
    return "\n".join(text[i : i + 76] for i in range(0, len(text), 76))


@pytest.mark.parametrize(
    "pasted",
    [
        OFFER,
        url(Kind.OFFER, SDP),
        f"  <{url(Kind.OFFER, SDP)}> \n",
        wrapped(url(Kind.OFFER, SDP)),
        wrapped(OFFER) + "\r\n",
        OFFER + "=" * (-len(OFFER) % 4),
        OFFER.replace("+", "-").replace("/", "_"),
        url(Kind.OFFER, SDP).replace("-", "+").replace("_", "/"),
        url(Kind.OFFER, SDP).replace(URL, "http://mirror.example/tin/"),
        # either letter: the content says what it is
        url(Kind.OFFER, SDP).replace("#o=", "#a="),
    ],
)
def test_everything_that_people_paste_is_understood(pasted: str) -> None:
    found = read_blob(pasted, Kind.OFFER)
    assert found.description == DESCRIPTION
    assert found.setup == "actpass"


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("", "Nothing"),
        (" \n ", "Nothing"),
        (OFFER[:-5], "damaged"),
        (OFFER[5:], "damaged"),
        (url(Kind.OFFER, SDP)[:-40], "damaged"),
        ("https://daniellafeir.com/can/#o=", "damaged"),
        ("https://daniellafeir.com/can/", "damaged"),
        ("https://daniellafeir.com/can/#x=" + OFFER, "damaged"),
        ("hello there", "damaged"),
        ("A" * 5, "damaged"),
        ("A" * (MAX_PASTED + 1), "far too long"),
        (base64.b64encode(b'{"type":"rollback","sdp":"v=0"}').decode(), "damaged"),
        (base64.b64encode(b'{"type":"offer"}').decode(), "damaged"),
        (base64.b64encode(b"[" * 50_000).decode(), "damaged"),
        (base64.b64encode(b'{"type":"offer","sdp":"nonsense"}').decode(), "session description"),
        (ANSWER, "This is an answer, and an offer is needed"),
        (url(Kind.ANSWER, SDP), "This is an answer, and an offer is needed"),
        ("tin-can:1#o=AAAA", "tin-can's own static link"),
        ("tin-can:2#o=AAAA", "newer"),
    ],
)
def test_what_is_no_offer_is_told_in_a_sentence(pasted: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        read_blob(pasted, Kind.OFFER)
    assert str(caught.value).endswith(".")
    assert caught.value.exit_code == 8


def test_our_own_offer_in_the_place_of_the_answer() -> None:
    with pytest.raises(ProtocolError, match="made here"):
        read_blob(url(Kind.OFFER, SDP), Kind.ANSWER)


@given(st.text() | st.binary().map(lambda data: base64.b64encode(data).decode()))
def test_reading_takes_anything(text: str) -> None:
    with pytest.raises(ProtocolError):
        read_blob(text, Kind.OFFER)


@given(st.integers(0, len(OFFER) - 1), st.characters(), st.sampled_from(list(Kind)))
def test_a_changed_character_raises_nothing_else(place: int, character: str, kind: Kind) -> None:
    changed = OFFER[:place] + character + OFFER[place + 1 :]
    with contextlib.suppress(ProtocolError):
        read_blob(changed, kind)


# -- the channel ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "first", "label", "reliable"),
    [
        (Mode.ATTACH, [], "tin-can:text", True),
        (Mode.TAP, ["::tap"], "tin-can:text", True),
        (Mode.TALK, ["::talk"], "tin-can:voice", False),
    ],
)
def test_what_each_command_opens_and_says_first(mode: Mode, first: list[str], label: str, reliable: bool) -> None:
    codec = ClassicCodec(mode)
    assert codec.start(0.0) == first
    assert (mode.label, mode.reliable) == (label, reliable)
    assert codec.idle(0.0) == []
    assert codec.next_deadline() is None


def test_the_one_who_attaches_announces_by_typing() -> None:
    codec = ClassicCodec(Mode.ATTACH)
    assert codec.say("hi", False) == [".... .."]
    assert codec.say("tap", False) == ["::tap"]
    assert codec.say("talk", False) == ["::talk"]
    assert codec.say("talk", False) == ["- .- .-.. -.-"]  # that was announced: it is a word now
    assert ClassicCodec(Mode.TAP).say("tap", False) == ["- .- .--."]


def test_other_text_is_morse() -> None:
    codec = ClassicCodec(Mode.TAP)
    assert codec.say("Hi you", False) == [".... .. / -.-- --- ..-"]
    assert codec.say("waves", True) == [".-- .- ...- . ..."]
    for text in ("", "(é)", "a" * MAX_MORSE):
        with pytest.raises(UsageError):
            codec.say(text, False)


@pytest.mark.parametrize(
    ("message", "events"),
    [
        (".... .. / -.-- --- ..-", [MessageReceived(1, "HI YOU", False)]),
        ("::tap", [PeerHello("peer", "classic tin-can, tap", 0, frozenset())]),
        ("::talk", [PeerHello("peer", "classic tin-can, talk", 0, frozenset())]),
        ("::sing", [MessageReceived(1, "::sing", False)]),
        ("plain text", [MessageReceived(1, "plain text", False)]),
        ("", []),
        (" \n", []),
        ("/", [MessageReceived(1, "/", False)]),
        (b"\xf8\xff\xfe", []),
    ],
)
def test_what_messages_mean(message: bytes | str, events: list[object]) -> None:
    assert ClassicCodec(Mode.ATTACH).receive(message, 0.0) == events


def test_messages_are_numbered_and_packets_counted() -> None:
    codec = ClassicCodec(Mode.ATTACH)
    codec.receive(b"\xf8", 0.0)
    codec.receive("...", 0.0)
    codec.receive(b"", 0.0)
    assert codec.receive("---", 0.0) == [MessageReceived(2, "O", False)]
    assert codec.packets == 2


@given(st.text() | st.binary())
def test_receive_takes_anything(message: bytes | str) -> None:
    ClassicCodec(Mode.TALK).receive(message, 0.0)


@given(st.text(min_size=1))
def test_what_is_said_is_heard_as_told(text: str) -> None:
    try:
        [code] = ClassicCodec(Mode.TAP).say(text, False)
    except UsageError:
        assert heard_as(text) == ""
        return
    assert ClassicCodec(Mode.TAP).receive(code, 0.0) == [MessageReceived(1, heard_as(text), False)]
