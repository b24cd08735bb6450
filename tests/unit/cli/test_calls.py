"""What a line about a call does, what is told of one, and how ``talk`` ends without any sound."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner

from tincan.apps.call.events import (
    CallEnded,
    CallEvent,
    CallOffered,
    CallPlaced,
    CallStarted,
    CallStatus,
    EndReason,
    PeerMuted,
    SoundFlows,
    SoundTrouble,
)
from tincan.apps.call.interface import Switch
from tincan.apps.call.memory import MemoryCalls
from tincan.cli.calls import CallLines, SoundKept, talk_options, words
from tincan.cli.output import JsonOutput, Output


class Noted(Output):
    """Keeps what is said to the person."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


class Talking:
    """As much of a conversation as lines about calls need."""

    def __init__(self, *, takes: bool = True) -> None:
        self.told: list[CallEvent] = []
        self.calls: MemoryCalls | None = MemoryCalls(self.told.append, takes=takes)
        self.output = Noted()
        self._lines = CallLines(self, self.output)  # type: ignore[arg-type]

    async def line(self, line: str) -> bool:
        return await self._lines.take(line)


@pytest.mark.parametrize(
    ("line", "wish"),
    [
        ("/hangup", "hangup"),
        ("/mute", "mute on"),
        ("/mute on", "mute on"),
        ("/mute off", "mute off"),
        ("/echo off", "echo off"),
        ("/noise on", "noise on"),
        ("/ptt", "push-to-talk on"),
        ("/press on", "pressed on"),
        ("/device microphone headset", "choose Headset microphone None"),
        ("  /device speaker Headset ", "choose None Headset"),
    ],
)
async def test_lines_are_wishes(line: str, wish: str) -> None:
    here = Talking()
    assert here.calls is not None
    here.calls.ring()
    assert await here.line("/accept")
    assert await here.line(line)
    assert here.calls.wishes == ["accept", wish]


async def test_calling_and_what_a_call_is_like() -> None:
    here = Talking()
    assert await here.line("/status")
    assert here.output.notes == ["There is no call."]
    assert await here.line("/call")
    assert here.told == [CallPlaced()]
    assert here.calls is not None
    here.calls.pick_up()
    assert await here.line("/status")
    assert here.output.notes[-1].startswith(
        "0:00, you -127 dB, the other one -127 dB, Microphone / Speaker, direct-udp"
    )
    assert await here.line("/device")
    assert "* Microphone" in here.output.notes[-1]


@pytest.mark.parametrize(
    "line", ["hello", "/me waves", "/send x", "//call", "/callous", "call", "status", "/accept", "/decline"]
)
async def test_other_lines_are_not_about_calls(line: str) -> None:
    assert not await Talking().line(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/hangup", "There is no call."),
        ("/echo", "Say on or off"),
        ("/mute maybe", "Say on or off"),
        ("/press", "Say on or off"),
        ("/device speaker xylophone", "no one device called 'xylophone'"),
    ],
)
async def test_what_cannot_be_done_is_said(line: str, said: str) -> None:
    here = Talking()
    assert await here.line(line)
    assert said in here.output.notes[-1]


async def test_a_conversation_without_calls_says_so() -> None:
    here = Talking()
    here.calls = None
    assert await here.line("/call")
    assert here.output.notes == ["This conversation carries no voice."]
    assert not await here.line("/accept")  # it is about files


STATUS = CallStatus(
    61.23456,
    -20.0,
    -30.0,
    True,
    False,
    microphone="Mic",
    path="lan",
    rtt=0.0123456,
    loss=0.05,
    jitter_ms=3.0,
    mouth_to_ear_ms=77.7,
    bitrate=32000,
    redundant=True,
    loss_there=None,
)
EVENTS: list[tuple[CallEvent, str, dict[str, object]]] = [
    (CallPlaced(), "call-placed", {}),
    (CallOffered(), "call-offered", {}),
    (CallStarted(), "call-started", {}),
    (CallEnded(EndReason.NO_ANSWER), "call-ended", {"reason": "no-answer"}),
    (CallEnded(EndReason.PEER, 5.0), "call-ended", {"reason": "peer", "seconds": 5.0}),
    (PeerMuted(True), "peer-muted", {"muted": True}),
    (SoundFlows("M", None, "x"), "sound", {"microphone": "M", "text": "x"}),
    (SoundTrouble("no"), "sound-trouble", {"text": "no"}),
]


@pytest.mark.parametrize(("event", "name", "fields"), EVENTS)
def test_programs_read_events(
    event: CallEvent, name: str, fields: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    JsonOutput(quiet=True).call(event)
    assert json.loads(capsys.readouterr().out) == {"event": name, **fields}


def test_programs_read_the_status_and_people_do_not(capsys: pytest.CaptureFixture[str]) -> None:
    JsonOutput().call(STATUS)
    told = capsys.readouterr()
    read = json.loads(told.out)
    assert (read["event"], read["seconds"], read["rtt"]) == ("call-status", 61.2346, 0.0123)
    assert "loss_there" not in read
    assert "speaker" not in read
    assert told.err == ""


def test_the_status_in_words() -> None:
    assert words(STATUS) == (
        "1:01, you -20 dB, the other one -30 dB, Mic / no speaker, lan, round trip 12 ms, "
        "mouth to ear about 78 ms, loss 5.0 %, jitter 3 ms, 32 kbit/s twice, muted"
    )


@pytest.mark.parametrize("reason", EndReason)
def test_every_end_has_words(reason: EndReason) -> None:
    output = Noted()
    output.call(CallEnded(reason, 65.0 if reason is EndReason.PEER else None))
    assert output.notes[0].endswith(".")


class NoCalls:
    calls = None


def ends_with(*events: CallEvent) -> int:
    kept = SoundKept()
    for event in events:
        kept.hear(event)
    return kept.exit_code(NoCalls())  # type: ignore[arg-type]


def test_talk_ends_with_9_when_there_never_was_any_sound() -> None:
    trouble, flows = SoundTrouble("There is no microphone."), SoundFlows("M", "S", "x")
    assert ends_with(CallStarted(), trouble) == 9
    assert ends_with(CallStarted(), trouble, flows) == 0
    assert ends_with(CallStarted(), flows, trouble) == 0
    assert ends_with(trouble) == 0  # the peer takes no calls: nothing is missing here
    assert ends_with() == 0


def test_options_of_talk() -> None:
    import click

    seen: list[Any] = []

    @click.command()
    @talk_options
    def command(wishes: Any) -> None:
        seen.append(wishes)

    invoke: Callable[..., Any] = CliRunner().invoke
    assert invoke(command, []).exit_code == 0
    assert invoke(command, ["--mute", "--no-echo", "--noise", "--microphone", "usb"]).exit_code == 0
    assert (seen[0].microphone, seen[0].switches) == (None, ())
    assert seen[1].microphone == "usb"
    assert dict(seen[1].switches) == {Switch.MUTED: True, Switch.ECHO: False, Switch.NOISE: True}
