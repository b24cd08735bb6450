"""Which echo canceller or noise suppression a call has: as the user says, else as the devices ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

from tincan.apps.call.events import CallEvent, SoundTrouble
from tincan.apps.call.interface import Switch
from tincan.apps.call.voice import Voice
from tincan.audio import echo
from tincan.audio.devices import Setup
from tincan.audio.system import aside
from tincan.errors import TinCanError


class Switches(Protocol):
    """Where the user's switches stand."""

    def is_on(self, what: Switch) -> bool | None:
        """Return how it stands; None: the user has not touched it."""


class Cleaning:
    """Gives a voice its cleaner, and a fresh one for other devices. ``tell`` hears when there is none."""

    def __init__(self, switches: Switches, tell: Callable[[CallEvent], None]) -> None:
        self.works = (False, False)
        """Whether echo, and noise, are taken out."""
        self._switches = switches
        self._tell = tell
        self._changed = asyncio.Event()

    def look(self) -> None:
        """A switch or the devices may have changed."""
        self._changed.set()

    async def run(self, voice: Voice, setup: Callable[[], Setup]) -> None:
        """Do so until cancelled. ``setup``: the devices in use."""
        made_for: object = None
        while True:
            await self._changed.wait()
            self._changed.clear()
            devices = setup()
            wanted = self._wanted(devices)
            if (wanted, devices) == made_for:
                continue
            made_for = wanted, devices
            cleaner, self.works = None, (False, False)
            if any(wanted):
                cancelling, noise = wanted
                try:
                    cleaner = await aside(partial(echo.make, cancelling=cancelling, noise_suppression=noise))
                    self.works = wanted
                except TinCanError as exc:
                    self._tell(SoundTrouble(str(exc)))
            voice.cleaner = cleaner

    def _wanted(self, setup: Setup) -> tuple[bool, bool]:
        """Whether echo, and noise, are to be taken out."""
        if setup.microphone is None:
            return False, False
        cancelling = self._switches.is_on(Switch.ECHO)
        if cancelling is None:
            cancelling = echo.available() is not None and echo.wanted_for(setup)
        return cancelling, bool(self._switches.is_on(Switch.NOISE))
