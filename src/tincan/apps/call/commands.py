"""What a user types about calls: ``/call``, ``/mute``, ``/device Headset``. The same on screens and in lines.

The room of sound is entered only when somebody asks about devices: a chat loads nothing of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from tincan.apps.call.interface import Calls, Switch
from tincan.errors import DeviceMissing, UsageError

if TYPE_CHECKING:
    from tincan.audio.devices import Choice, Device, Devices

COMMANDS: Final = (
    ("call", "", "call the other one, or take the call"),
    ("hangup", "", "end the call"),
    ("mute", "[on|off]", "close your microphone, or open it again"),
    ("ptt", "[on|off]", "push to talk: the microphone is open only while you hold F3"),
    ("echo", "on|off", "take the speaker's sound out of the microphone's"),
    ("noise", "on|off", "take steady noise out of the microphone's sound"),
    ("device", "[NAME]", "the microphones and speakers there are; or use this one"),
)
"""Name, arguments, help. ``/accept`` and ``/decline`` answer files as well, so they belong to whoever knows both."""

_SWITCHES: Final = {
    "mute": (Switch.MUTED, "The microphone is closed.", "The microphone is open."),
    "ptt": (Switch.PUSH_TO_TALK, "Push to talk: the microphone is open while you hold F3.", "Push to talk is off."),
    "echo": (Switch.ECHO, "Echo cancelling is on.", "Echo cancelling is off."),
    "noise": (Switch.NOISE, "Noise suppression is on.", "Noise suppression is off."),
}
_KINDS: Final = {"microphone": "microphone", "mic": "microphone", "speaker": "speaker"}


class CallCommands:
    """Carries them out, and remembers which devices were chosen."""

    def __init__(self) -> None:
        self._choice: Choice | None = None

    async def run(self, calls: Calls | None, name: str, rest: str) -> str:
        """Do what ``/name rest`` asks for; return what to tell the user, if anything.

        Raises `UsageError` or `DeviceMissing` with a sentence.
        """
        if calls is None:
            raise UsageError("This conversation carries no voice.")
        return await self._device(calls, rest) if name == "device" else at_once(calls, name, rest)

    async def _device(self, calls: Calls, rest: str) -> str:
        from tincan.audio.devices import Choice, must_find

        there = await calls.devices()
        if not rest:
            return _listed(calls, there)
        kind, _, wanted = rest.partition(" ")
        if kind in _KINDS and wanted.strip():
            devices = there.microphones if _KINDS[kind] == "microphone" else there.speakers
            found = {_KINDS[kind]: must_find(wanted.strip(), devices)}
        else:
            found = _both(rest, there)
        self._choice = replace(self._choice or Choice(), **{kind: device.name for kind, device in found.items()})
        calls.choose(self._choice)
        # In a call the change is told as an event, once it is done.
        return "" if calls.status is not None else f"{_sentence(found)} From the next call on."


def at_once(calls: Calls, name: str, rest: str) -> str:
    """Do the same for what waits for nothing: every command but ``/device``."""
    if name == "call":
        calls.call()
    elif name == "hangup":
        calls.hang_up()
    else:
        return _turn(calls, name, rest)
    return ""


def _turn(calls: Calls, name: str, rest: str) -> str:
    what, on_text, off_text = _SWITCHES[name]
    if rest in ("on", "off"):
        on = rest == "on"
    elif not rest and what in (Switch.MUTED, Switch.PUSH_TO_TALK):
        status = calls.status
        if status is None:
            raise UsageError(f"There is no call; /{name} on or /{name} off sets it for the next one.")
        on = not (status.muted if what is Switch.MUTED else status.push_to_talk)
    else:
        raise UsageError(f"Say on or off: /{name} on, /{name} off")
    calls.switch(what, on)
    return on_text if on else off_text


def _both(wanted: str, there: Devices) -> dict[str, Device]:
    """A headset is a microphone and a speaker: take whichever there is of this name."""
    from tincan.audio.devices import find

    pairs = {"microphone": find(wanted, there.microphones), "speaker": find(wanted, there.speakers)}
    found = {kind: device for kind, device in pairs.items() if device is not None}
    if not found:
        names = ", ".join(repr(device.name) for device in (*there.microphones, *there.speakers)) or "none"
        raise DeviceMissing(f"There is no one device called {wanted!r}; choose one of: {names}.")
    return found


def _listed(calls: Calls, there: Devices) -> str:
    status = calls.status
    lines = []
    for title, devices, used in (
        ("Microphones", there.microphones, status.microphone if status else None),
        ("Speakers", there.speakers, status.speaker if status else None),
    ):
        lines.append(f"{title}:" if devices else f"{title}: none")
        lines += [f"{'*' if device.name == used else ' '} {device.name}" for device in devices]
    return "\n".join(
        [*lines, "/device NAME takes one; /device microphone NAME or /device speaker NAME where both fit."]
    )


def _sentence(found: dict[str, Device]) -> str:
    return " ".join(f"{kind.capitalize()}: {device.name}." for kind, device in found.items())
