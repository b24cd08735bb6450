"""Commands typed into a conversation: ``/me waves``.

The table `COMMANDS` is the whole of it. An app that has commands of its own
hands a longer table to the controller. A line that begins with two slashes is
a message that begins with one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tincan.apps.call.commands import COMMANDS as CALL_COMMANDS
from tincan.apps.text import visible, visible_name
from tincan.tui.talk import Phase, Talk
from tincan.tui.words import path_words, round_trip


class Scene(Protocol):
    """What a command can do; the controller is one."""

    @property
    def talk(self) -> Talk:
        """The conversation as it is now."""

    @property
    def commands(self) -> Sequence[SlashCommand]:
        """The table in use."""

    def say(self, text: str, action: bool = False) -> None:
        """Say something to the peer."""

    def note(self, text: str) -> None:
        """Tell the user something."""

    def send_file(self, path: str) -> None:
        """Offer a file or folder to the peer."""

    def answer(self, accepted: bool) -> None:
        """Answer the peer's call if it rings, else its oldest offer of files."""

    def about_call(self, name: str, rest: str) -> None:
        """Carry out a command about calls (`tincan.apps.call.commands`)."""

    def rename(self, name: str) -> None:
        """Call the user something else from now on."""

    def ask_to_leave(self) -> None:
        """Leave the conversation as soon as it can be left."""


@dataclass(frozen=True)
class SlashCommand:
    """One command. ``handler`` is given the scene and what stands after the name, trimmed."""

    name: str
    arguments: str
    help: str
    handler: Callable[[Scene, str], None]


def run_slash(line: str, scene: Scene) -> bool:
    """Run what the user typed if it is a command; say whether it was one."""
    if not line.startswith("/") or line.startswith("//"):
        return False
    name, _, rest = line[1:].partition(" ")
    for command in scene.commands:
        if command.name == name:
            command.handler(scene, rest.strip())
            return True
    scene.note(f"There is no command /{visible(name)}; /help lists them, and // begins a message with a slash.")
    return True


def message_text(line: str) -> str:
    """Return the message in a line that is no command."""
    return line[1:] if line.startswith("//") else line


def summary(commands: Sequence[SlashCommand]) -> list[tuple[str, str]]:
    """Return usage and help of each command."""
    return [(f"/{command.name} {command.arguments}".strip(), command.help) for command in commands]


def _help(scene: Scene, _: str) -> None:
    rows = summary(scene.commands)
    width = max(len(usage) for usage, _ in rows) + 2
    scene.note("\n".join(f"{usage:<{width}}{text}" for usage, text in rows))


def _me(scene: Scene, rest: str) -> None:
    if rest:
        scene.say(rest, action=True)
    else:
        scene.note("Say what you do: /me waves")


def _name(scene: Scene, rest: str) -> None:
    if not rest:
        own, peer = scene.talk.own_name or "you have given no name", scene.talk.peer or "not there yet"
        program = f" ({scene.talk.agent})" if scene.talk.agent else ""
        scene.note(f"You: {own}. The other can: {peer}{program}.")
        return
    name = visible_name(rest)
    # The protocol tells names once, in the hello; a person reads it as well this way.
    scene.say(f"is called {name} from now on", action=True)
    scene.rename(name)


def _path(scene: Scene, _: str) -> None:
    talk = scene.talk
    if talk.phase not in (Phase.TALKING, Phase.RECONNECTING):
        scene.note("There is no string.")
        return
    took = f", {round_trip(talk.rtt)} there and back" if talk.rtt is not None else ""
    met = f"; met at {talk.met_at}" if talk.met_at else ""
    scene.note(f"Connected {path_words(talk.path)}{took}{met}.")


def _send(scene: Scene, rest: str) -> None:
    if rest:
        scene.send_file(rest)
    else:
        scene.note("Say what to send: /send PATH, a file or a folder")


def _accept(scene: Scene, _: str) -> None:
    scene.answer(accepted=True)


def _decline(scene: Scene, _: str) -> None:
    scene.answer(accepted=False)


def _about_call(name: str) -> Callable[[Scene, str], None]:
    return lambda scene, rest: scene.about_call(name, rest)


def _quit(scene: Scene, _: str) -> None:
    scene.ask_to_leave()


COMMANDS = (
    SlashCommand("help", "", "these commands; F1 shows the keys", _help),
    SlashCommand("me", "DOES", "say what you do", _me),
    SlashCommand("name", "[NAME]", "both names; or call yourself NAME", _name),
    SlashCommand("path", "", "the way the string takes, and how fast it is", _path),
    SlashCommand("send", "PATH", "offer a file or a folder", _send),
    *(SlashCommand(name, arguments, help, _about_call(name)) for name, arguments, help in CALL_COMMANDS),
    SlashCommand("accept", "", "take the call, or the files into this folder", _accept),
    SlashCommand("decline", "", "do not take the call, or the files", _decline),
    SlashCommand("quit", "", "say goodbye and leave", _quit),
)
