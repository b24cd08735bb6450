"""Calls at the command line: options of ``talk``, commands within a conversation, and what is said about a call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

import click

from tincan.apps.call.desk import CallDesk
from tincan.apps.call.events import CallEvent, CallStarted, CallStatus, SoundFlows, SoundTrouble
from tincan.apps.call.interface import Calls, Switch
from tincan.apps.conversation import Conversation, MakeCalls
from tincan.cli.output import Output
from tincan.errors import DeviceMissing, TinCanError, UsageError

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--microphone", metavar="NAME", help="Use this microphone; a part of its name will do."),
    click.option("--speaker", metavar="NAME", help="Use this speaker."),
    click.option("--mute", is_flag=True, help="Begin with the microphone closed."),
    click.option("--push-to-talk", is_flag=True, help="The microphone is open only while you say so."),
    click.option(
        "--echo/--no-echo", default=None, help="Take the speaker's sound out of the microphone's, or do not."
    ),
    click.option("--noise/--no-noise", default=None, help="Take steady noise out of the microphone's sound."),
)

_SWITCHES: Final = {
    "/mute": Switch.MUTED,
    "/echo": Switch.ECHO,
    "/noise": Switch.NOISE,
    "/ptt": Switch.PUSH_TO_TALK,
    "/press": Switch.PRESSED,
}

COMMANDS: Final = frozenset({"/call", "/hangup", "/device", "/devices", "/status", *_SWITCHES})
"""What begins a line that is about a call; ``/accept`` and ``/decline`` are about files as well."""

HELP: Final = "Commands: /call, /accept, /decline, /hangup, /mute, /echo, /noise on|off, /ptt, /devices, /status."


@dataclass(frozen=True)
class TalkOptions:
    """What the options of ``talk`` came to."""

    microphone: str | None = None
    speaker: str | None = None
    switches: tuple[tuple[Switch, bool], ...] = ()

    @property
    def make_calls(self) -> MakeCalls:
        """What makes the calls of a conversation with these."""
        return partial(CallDesk, switches=dict(self.switches), microphone=self.microphone, speaker=self.speaker)


def talk_options(function: F) -> F:
    """Give a command the options; it receives them as one `TalkOptions` named ``wishes``."""

    def wrapper(
        microphone: str | None,
        speaker: str | None,
        mute: bool,
        push_to_talk: bool,
        echo: bool | None,
        noise: bool | None,
        **others: Any,
    ) -> Any:
        wanted = {
            Switch.MUTED: mute or None,
            Switch.PUSH_TO_TALK: push_to_talk or None,
            Switch.ECHO: echo,
            Switch.NOISE: noise,
        }
        switches = tuple((what, on) for what, on in wanted.items() if on is not None)
        return function(wishes=TalkOptions(microphone, speaker, switches), **others)

    wrapper.__doc__ = function.__doc__
    wrapper.__name__ = function.__name__
    wrapper.__dict__.update(function.__dict__)  # the options that it has already
    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value]


class SoundKept:
    """Whether there was any sound in a conversation that was for talking."""

    def __init__(self) -> None:
        self._trouble: str | None = None
        self._wanted = False
        self._had = False

    def hear(self, event: CallEvent) -> None:
        """Take note of what happens."""
        self._wanted = self._wanted or isinstance(event, CallStarted)
        self._had = self._had or isinstance(event, SoundFlows)
        if isinstance(event, SoundTrouble):
            self._trouble = event.text

    def exit_code(self, conversation: Conversation) -> int:
        """Return 9 when there was no sound and this machine is why, else 0."""
        calls = conversation.calls
        able = not isinstance(calls, CallDesk) or calls.able
        missing = not able or (self._wanted and not self._had)
        return DeviceMissing.exit_code if missing and self._trouble is not None else 0


async def about_calls(line: str, conversation: Conversation, output: Output) -> bool:
    """Do what a line asks for that is about calls; say whether it is one."""
    command, _, rest = line.strip().partition(" ")
    calls = conversation.calls
    answers = command in ("/accept", "/decline")
    if command not in COMMANDS and not (answers and calls is not None):
        return False
    try:
        if calls is None:
            raise UsageError("This conversation carries no calls.")
        if answers:
            try:
                calls.answer(command == "/accept")
            except UsageError:
                return False  # it is about files, then
        elif command in _SWITCHES:
            _switch(calls, _SWITCHES[command], rest.strip(), output)
        else:
            await _do(calls, command, rest.strip(), output)
    except TinCanError as exc:
        output.note(str(exc))
    return True


async def _do(calls: Calls, command: str, rest: str, output: Output) -> None:
    match command:
        case "/call":
            calls.call()
        case "/hangup":
            calls.hang_up()
        case "/status":
            output.note(words(calls.status) if calls.status is not None else "There is no call.")
        case "/device" if rest:
            await _choose(calls, rest, output)
        case _:
            await _list(calls, output)


def _switch(calls: Calls, what: Switch, position: str, output: Output) -> None:
    status = calls.status
    if position not in ("", "on", "off"):
        raise UsageError("Say on or off.")
    now = {} if status is None else {Switch.MUTED: status.muted, Switch.PUSH_TO_TALK: status.push_to_talk}
    if not position and what in (Switch.ECHO, Switch.NOISE):
        raise UsageError(f"Say on or off: /{what.value} on")
    calls.switch(what, not now.get(what, False) if not position else position == "on")
    if status is not None and calls.status is not None and what is Switch.MUTED:
        output.note("Your microphone is closed." if calls.status.muted else "Your microphone is open.")


async def _list(calls: Calls, output: Output) -> None:
    there = await calls.devices()
    status = calls.status
    used = (status.microphone, status.speaker) if status is not None else ()
    lines = []
    for kind, devices in (("microphone", there.microphones), ("speaker", there.speakers)):
        lines += [f"{'*' if d.name in used else ' '} {kind:<10} {d.name}" for d in devices] or [f"  no {kind}"]
    output.note("\n".join([*lines, "/device microphone NAME, /device speaker NAME change them."]))


async def _choose(calls: Calls, wish: str, output: Output) -> None:
    from tincan.audio.devices import Choice, must_find

    kind, _, name = wish.partition(" ")
    there = await calls.devices()
    status = calls.status
    chosen = Choice(status.microphone, status.speaker) if status is not None else Choice()
    if kind == "microphone" and name:
        chosen = replace(chosen, microphone=must_find(name, there.microphones).name)
    elif kind == "speaker" and name:
        chosen = replace(chosen, speaker=must_find(name, there.speakers).name)
    else:
        raise UsageError("Say which: /device microphone NAME, or /device speaker NAME.")
    calls.choose(chosen)


def words(status: CallStatus) -> str:
    """Return how a call goes, on one line."""
    minutes, seconds = divmod(int(status.seconds), 60)
    said = [f"{minutes}:{seconds:02}", status.path]
    if status.rtt is not None:
        said.append(f"round trip {1000 * status.rtt:.0f} ms")
    if status.mouth_to_ear_ms is not None:
        said.append(f"mouth to ear about {status.mouth_to_ear_ms:.0f} ms")
    if status.loss is not None:
        said.append(f"loss {100 * status.loss:.1f} %")
    if status.jitter_ms is not None:
        said.append(f"jitter {status.jitter_ms:.0f} ms")
    said.append(f"{status.bitrate // 1000} kbit/s{' twice' if status.redundant else ''}")
    said += [name for name, on in _positions(status) if on]
    return ", ".join(said)


def _positions(status: CallStatus) -> list[tuple[str, bool]]:
    return [
        ("muted", status.muted),
        ("the other one is muted", status.peer_muted),
        ("push to talk", status.push_to_talk),
        ("echo cancelling", status.echo),
        ("noise suppression", status.noise),
    ]
