"""What is printed: exact names for programs, harmless text for people."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tincan.apps.chat.events import Delivered, MessageReceived, PeerHello, PeerTyping
from tincan.apps.desk_events import FilesEnded, FilesMoved, FilesOffered
from tincan.apps.files import Offered, Progress, TopEntry
from tincan.cli.output import JsonOutput, Output, TerminalOutput, route, with_places
from tincan.errors import AuthenticationFailed
from tincan.link.dial import Connected, LinkEvent
from tincan.meet.events import PeerFound, PlaceReady, PlaceTrouble, Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase

Captured = pytest.CaptureFixture[str]
WAITING = Waiting("abc", Phrase("7-guitar-banana", 7))
HELLO = PeerHello("B\u00f6b", "tin-can/1", 1, frozenset())
NASTY = "\x1b]52;c;x\x07red\u202e\r\n\u200b"


def events(capsys: Captured) -> list[dict[str, Any]]:
    out = capsys.readouterr().out
    assert out.isascii()
    assert all(character.isprintable() or character == "\n" for character in out)
    found = [json.loads(line) for line in out.splitlines()]
    assert all(isinstance(event, dict) for event in found)
    return found


def test_every_event_has_exactly_the_promised_fields(capsys: Captured) -> None:
    output = JsonOutput()
    output.waiting(Waiting("abc", Phrase("7-guitar-banana", 7)), "hint")
    output.waiting(Waiting("abc", Phrase("chosen by us")), "hint")
    output.found(PeerFound("lan"))
    output.connected(Connected("lan", "can.example"), 0.12345)
    output.chat(HELLO)
    output.chat(MessageReceived(3, NASTY, False))
    output.chat(MessageReceived(4, "waves", True))
    output.chat(Delivered(5))
    output.chat(PeerTyping(True))
    output.path("relayed", None)
    output.path("direct-udp", 0.0123456)
    output.closed("peer", "The other can hung up.")
    output.error(AuthenticationFailed("Wrong."))
    output.trouble(PlaceTrouble("x", "It does not answer."))
    assert events(capsys) == [
        {"event": "waiting", "code": "abc", "phrase": "7-guitar-banana"},
        {"event": "waiting", "code": "abc"},
        {"event": "meeting", "place": "lan"},
        {"event": "connected", "path": "lan", "place": "can.example", "seconds": 0.123},
        {"event": "message", "text": NASTY, "id": 3, "from": "B\u00f6b"},
        {"event": "message", "text": "waves", "id": 4, "from": "B\u00f6b", "action": True},
        {"event": "delivered", "id": 5},
        {"event": "path", "path": "relayed"},
        {"event": "path", "path": "direct-udp", "rtt": 0.0123},
        {"event": "closed", "reason": "peer"},
        {"event": "error", "code": 5, "text": "Wrong."},
    ]


def test_a_chosen_phrase_is_shown_nowhere(capsys: Captured) -> None:
    for output in (Output(), JsonOutput()):
        output.waiting(Waiting("abc", Phrase("chosen by us")), "Waiting ...")
    shown = capsys.readouterr()
    assert "chosen" not in shown.out + shown.err


def test_for_pipes_stdout_has_only_messages(capsys: Captured) -> None:
    output = Output()
    output.waiting(Waiting("abc", Phrase("7-guitar-banana", 7)), "The phrase is 7-guitar-banana")
    output.found(PeerFound("lan"))
    output.connected(Connected("lan", "lan"), 1.0)
    output.chat(HELLO)
    output.chat(MessageReceived(1, "exactly  this\\n ", False))
    output.chat(Delivered(5))
    output.chat(MessageReceived(2, "waves", True))
    output.path("relayed", None)
    output.closed("peer", "The other can hung up.")
    shown = capsys.readouterr()
    assert shown.out == "exactly  this\\n \n* B\u00f6b waves\n"
    assert "7-guitar-banana" in shown.err
    assert "The other can hung up." in shown.err


def test_quiet_says_only_messages(capsys: Captured) -> None:
    for output in (Output(quiet=True), JsonOutput(quiet=True)):
        output.trouble(PlaceTrouble("x", "It does not answer."))
        output.note("Anything.")
    assert capsys.readouterr() == ("", "")


def test_what_a_peer_says_cannot_move_the_terminal(capsys: Captured) -> None:
    Output().chat(MessageReceived(1, NASTY, False))
    Output().note(NASTY)
    shown = capsys.readouterr()
    assert shown.out == "\\x1b]52;c;x\\x07red\\u202e\\r\\n\\u200b\n"
    assert "\x1b" not in shown.err
    assert "\u202e" not in shown.err


def test_at_a_terminal_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for plain in (True, False):
        monkeypatch.setenv("NO_COLOR", "1" if plain else "")
        monkeypatch.setenv("TERM", "xterm")
        shown: list[str] = []
        output = TerminalOutput(shown.append)
        output.peer = "Bob"
        output.message(MessageReceived(1, NASTY, False))
        output.message(MessageReceived(1, "waves", True))
        output.note(NASTY)
        text = "".join(shown)
        for colour in ("\x1b[1m", "\x1b[2m", "\x1b[0m"):
            assert (colour in text) is not plain
            text = text.replace(colour, "")
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_events_go_where_they_belong(capsys: Captured) -> None:
    tell = route(JsonOutput(quiet=True), lambda event: "hint", counting_from_arrival=True)
    told: list[LinkEvent] = [
        Waiting("abc", Phrase("x y")),
        PlaceReady("lan"),
        PlaceTrouble("y", "No."),
        PeerFound("lan"),
        Connected("lan", "lan"),
    ]
    for event in told:
        tell(event)
    found = events(capsys)
    assert [event["event"] for event in found] == ["waiting", "meeting", "connected"]
    assert 0 <= found[-1]["seconds"] < 5


def test_files_are_told_in_harmless_words(capsys: Captured) -> None:
    output = Output()
    output.files(FilesOffered(1, Offered(1, 0, 5, (TopEntry(NASTY, 5, False),), 0)))
    output.files(FilesMoved(1, False, Progress(1, 5, 1.0, 4.0, NASTY)))
    output.files(FilesEnded(1, False, NASTY, None, NASTY))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "\x1b" not in shown.err
    assert "\u202e" not in shown.err
    assert "peer offers 1 file, 5 bytes:\n  \\x1b]52" in shown.err
    assert "/accept takes it into this folder, /decline does not.\n" in shown.err
    assert "was not received: " in shown.err


@pytest.mark.parametrize("side", [Side.ATTACH, None])
def test_whoever_waits_at_a_switchboard_is_told_that_both_have_to_name_it(side: Side | None) -> None:
    hint = with_places(lambda event: "Waiting ...", side, ["wss://can.example/v1"])
    assert hint(WAITING).splitlines()[-1].endswith("the other one adds --switchboard wss://can.example/v1)")


def test_without_a_switchboard_or_for_who_was_told_the_hint_is_as_it_was() -> None:
    assert with_places(lambda event: "Waiting ...", Side.ATTACH, [])(WAITING) == "Waiting ..."
    assert with_places(lambda event: "Looking ...", Side.TAP, ["wss://can.example"])(WAITING) == "Looking ..."
