"""Calls at the command line: options of ``talk``, commands within a conversation, and what is said about a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import click

from tincan.apps.call.commands import COMMANDS, CallCommands
from tincan.apps.call.desk import CallDesk
from tincan.apps.call.events import CallEvent, CallStarted, CallStatus, SoundFlows, SoundTrouble
from tincan.apps.call.interface import Calls, Switch
from tincan.apps.call.words import devices, duration
from tincan.apps.conversation import Conversation
from tincan.apps.desks import MakeCalls
from tincan.cli.gather import gathered
from tincan.cli.output import Output
from tincan.errors import DeviceMissing, TinCanError, UsageError

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

_NAMES: Final = frozenset({*(name for name, _, _ in COMMANDS), "press", "status"})
"""What a line that is about a call begins with, after the slash; ``/accept`` and ``/decline`` are about files too."""


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


def _read(given: Mapping[str, Any]) -> TalkOptions:
    wanted = {
        Switch.MUTED: given["mute"] or None,
        Switch.PUSH_TO_TALK: given["push_to_talk"] or None,
        Switch.ECHO: given["echo"],
        Switch.NOISE: given["noise"],
    }
    switches = tuple((what, on) for what, on in wanted.items() if on is not None)
    return TalkOptions(given["microphone"], given["speaker"], switches)


talk_options = gathered("wishes", _OPTIONS, _read)
"""Gives a command the options; it receives them as one `TalkOptions` named ``wishes``."""


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


class CallLines:
    """Lines that a user types about calls."""

    def __init__(self, conversation: Conversation, output: Output) -> None:
        self._conversation = conversation
        self._output = output
        self._commands = CallCommands()

    async def take(self, line: str) -> bool:
        """Do what a line asks for; say whether it is about calls."""
        command, _, rest = line.strip().partition(" ")
        calls = self._conversation.calls
        if command in ("/accept", "/decline"):
            return calls is not None and _answered(calls, command == "/accept")
        name = command.removeprefix("/")
        if name not in _NAMES or name == command:
            return False
        try:
            said = await self._do(calls, name, rest.strip())
        except TinCanError as exc:
            said = str(exc)
        if said:
            self._output.note(said)
        return True

    async def _do(self, calls: Calls | None, name: str, rest: str) -> str:
        if calls is None or name not in ("press", "status"):
            return await self._commands.run(calls, name, rest)
        if name == "status":
            return words(calls.status) if calls.status is not None else "There is no call."
        if rest not in ("on", "off"):
            raise UsageError("Say on or off: /press on, /press off")
        calls.switch(Switch.PRESSED, rest == "on")
        return ""


def _answered(calls: Calls, accepted: bool) -> bool:
    """Answer the peer's call; say whether there is one."""
    try:
        calls.answer(accepted)
    except UsageError:
        return False  # it is about files, then
    return True


def words(status: CallStatus) -> str:
    """Return how a call goes, on one line."""
    said = [duration(status.seconds), f"you {status.level:.0f} dB, the other one {status.peer_level:.0f} dB"]
    said += [devices(status), status.path]
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
