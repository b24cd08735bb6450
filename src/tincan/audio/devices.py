"""Microphones and loudspeakers: the interface of sound, and which devices to take.

`Sound` is a microphone and a loudspeaker that work together: for each 10 ms
heard it asks for 10 ms to play. `tincan.audio.sound` has the real one,
`tincan.audio.memory` one for tests. What is decided (which device, what to
fall back to, what to say about it) is decided here, from lists.

The names of devices come from outside (anybody may give a Bluetooth headset a
name), so they are made fit to be shown when a `Device` is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from tincan.audio.pcm import Pcm
from tincan.errors import DeviceMissing

PERIOD = 0.01
"""Seconds of sound that change hands at a time; `TICK` samples."""

NO_DEVICE = "There is no microphone and no speaker here; plug one in, or start the sound server."

MAX_NAME = 80
"""Characters of a device's name; what is longer is cut."""

Exchange: TypeAlias = Callable[[Pcm], Pcm]
"""Takes `TICK` samples from the microphone, returns `TICK` samples for the loudspeaker."""


@dataclass(frozen=True)
class Ends:
    """The same in two: nothing waits for the other half, which saves some 20 ms on the way through the devices.

    ``hear`` takes `TICK` samples from the microphone, ``play`` returns `TICK`
    samples for the loudspeaker. Both may be called at the same time, by
    different threads.
    """

    hear: Callable[[Pcm], None]
    play: Callable[[], Pcm]


@dataclass(frozen=True)
class Device:
    """A microphone or a loudspeaker. ``key``: how the system knows it. ``default``: what the system would take."""

    key: bytes
    name: str
    default: bool = False

    def __post_init__(self) -> None:
        shown = "".join(letter if letter.isprintable() else "?" for letter in self.name[:MAX_NAME])
        object.__setattr__(self, "name", shown)


@dataclass(frozen=True)
class Devices:
    """What is there at the moment."""

    microphones: tuple[Device, ...] = ()
    speakers: tuple[Device, ...] = ()


@dataclass(frozen=True)
class Choice:
    """What the user wants: names, or parts of them. None: what the system would take."""

    microphone: str | None = None
    speaker: str | None = None


@dataclass(frozen=True)
class Setup:
    """What is used. Without a microphone one can only listen, without a loudspeaker only talk."""

    microphone: Device | None = None
    speaker: Device | None = None
    missing: tuple[str, ...] = ()
    """What was chosen and is not there; something else is used in its place."""
    refused: tuple[str, ...] = ()
    """What is there and does not open."""

    @property
    def nothing(self) -> bool:
        """Whether there is no device at all."""
        return self.microphone is None and self.speaker is None

    def uses_the_devices_of(self, other: Setup) -> bool:
        """Whether going over to the other would change nothing one can hear."""
        return _keys(self) == _keys(other)


@dataclass(frozen=True)
class Playing:
    """Sound flows, with these devices."""

    setup: Setup


@dataclass(frozen=True)
class Silent:
    """No sound flows. It is tried again and again; ``reason`` is a sentence."""

    reason: str


SoundNews: TypeAlias = Playing | Silent


class Sound(Protocol):
    """A microphone and a loudspeaker."""

    async def devices(self) -> Devices:
        """Return what is there at the moment; nothing at all when there is no sound here."""

    def choose(self, choice: Choice) -> None:
        """Use these devices, at once when it runs. Before the first call: what the system would take."""

    async def run(self, exchange: Exchange | Ends, tell: Callable[[SoundNews], None]) -> None:
        """Let sound flow until cancelled; ``tell`` hears of every change, in the loop's own thread.

        ``exchange`` (each of its ends) is called about every 10 ms, in another
        thread perhaps, but never twice at the same time: with silence when there
        is no microphone, and with its sound thrown away when there is no
        loudspeaker. An error in it is raised from here. When the devices fail, others are taken or the
        same ones opened again. Raises `DeviceMissing` when there is no device
        at all to begin with.
        """


def set_up(choice: Choice, there: Devices) -> Setup:
    """Return which devices to use. What was chosen and is not there is replaced by what the system would take."""
    microphone, no_microphone = _pick(choice.microphone, there.microphones)
    speaker, no_speaker = _pick(choice.speaker, there.speakers)
    return Setup(microphone, speaker, (*no_microphone, *no_speaker))


def find(wanted: str, devices: Sequence[Device]) -> Device | None:
    """Return the device of this name, or the only one with it in its name, upper or lower case alike."""
    folded = wanted.casefold()
    exact = [device for device in devices if device.name.casefold() == folded]
    part = [device for device in devices if folded in device.name.casefold()]
    if exact:
        return exact[0]
    return part[0] if len(part) == 1 else None


def must_find(wanted: str, devices: Sequence[Device]) -> Device:
    """Do as `find` does, for what somebody has typed: raise `DeviceMissing` with the names there are."""
    found = find(wanted, devices)
    if found is None:
        names = ", ".join(repr(device.name) for device in devices) or "none"
        raise DeviceMissing(f"There is no one device called {wanted!r}; choose one of: {names}.")
    return found


def describe(news: SoundNews) -> str:
    """Return a sentence or two for the user."""
    if isinstance(news, Silent):
        return news.reason
    setup = news.setup
    words = [f"{name!r} is not there." for name in setup.missing]
    words += [f"{name!r} does not open; it may be in use, or forbidden to this program." for name in setup.refused]
    words.append(f"Microphone: {setup.microphone.name}." if setup.microphone else "No microphone: you can listen.")
    words.append(f"Speaker: {setup.speaker.name}." if setup.speaker else "No speaker: you can talk.")
    return " ".join(words)


def _pick(wanted: str | None, devices: Sequence[Device]) -> tuple[Device | None, tuple[str, ...]]:
    found = None if wanted is None else find(wanted, devices)
    if found is not None:
        return found, ()
    usual = next((device for device in devices if device.default), devices[0] if devices else None)
    return usual, () if wanted is None else (wanted,)


def _keys(setup: Setup) -> tuple[bytes | None, ...]:
    return tuple(None if device is None else device.key for device in (setup.microphone, setup.speaker))
