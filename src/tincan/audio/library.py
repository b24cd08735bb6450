"""What stands between this room and a library of the system's sound: which calls there are, and how they fail.

`tincan.audio.sound` is miniaudio, `tincan.audio.portaudio` is sounddevice, for
machines that miniaudio has no package for.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from tincan.audio.devices import Devices, Setup
from tincan.audio.pcm import RATE, TICK
from tincan.audio.periods import Periods
from tincan.errors import WorldError

PERIOD_MS: Final = 1000 * TICK // RATE
"""What a library is asked for."""

NO_VOICE: Final = "Voice is not installed here; for calls: pip install 'tin-can[voice]'"
BUSY: Final = "The sound device does not open; another program may be using it, or it is forbidden to this one."


class SoundFailed(WorldError):
    """The device did not open."""

    exit_code = 9


class Line(Protocol):
    """A setup, opened or to be opened. Both calls may hang as long as the sound server does."""

    def open(self) -> None:
        """Open the devices and let the sound flow; does nothing after `close`. Raises `SoundFailed`."""

    def close(self) -> None:
        """Close the devices, waiting for an `open` that is on its way; nothing is heard or played from now on."""


@dataclass(frozen=True)
class Library:
    """One of them. ``devices`` says what is there and raises `DeviceMissing` where the library is not."""

    devices: Callable[[], Devices]
    line: Callable[[Setup, Periods], Line]


def hush(file: str, function: str) -> None:
    """Give a C library that would print, to report errors to, a function that does nothing."""
    with contextlib.suppress(OSError, AttributeError):
        setter = getattr(ctypes.CDLL(file), function)
        setter.argtypes = [ctypes.c_void_p]
        setter(ctypes.cast(ctypes.CDLL(None).getpid, ctypes.c_void_p))
