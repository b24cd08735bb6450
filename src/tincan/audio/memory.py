"""A microphone and a loudspeaker that are only numbers: what calls are tested with.

`MemorySound` keeps the contract of `tincan.audio.devices.Sound` by the loop's
own clock, so in virtual time an hour of talking takes no longer than its
computing. Tests speak into it, listen to what it played, plug devices in and
out and let the sound server die.
"""

from __future__ import annotations

import asyncio
from array import array
from collections import deque
from collections.abc import Callable

from tincan.audio.devices import (
    NO_DEVICE,
    PERIOD,
    Choice,
    Device,
    Devices,
    Ends,
    Exchange,
    Playing,
    Silent,
    SoundNews,
    set_up,
)
from tincan.audio.pcm import RATE, TICK, Pcm, silence
from tincan.audio.periods import Periods
from tincan.errors import DeviceMissing

ONE_OF_EACH = Devices((Device(b"m", "Microphone", True),), (Device(b"s", "Speaker", True),))

REOPENED_AFTER = 0.5
"""Seconds from a failure until sound flows again."""

KEPT = 6000
"""Periods that were played and are kept: one minute."""


class MemorySound:
    """See `Sound`. ``played``: what the loudspeaker gave; ``echo``: how much of that the microphone hears."""

    def __init__(self, there: Devices = ONE_OF_EACH, *, echo: float = 0.0) -> None:
        self.played: deque[Pcm] = deque(maxlen=KEPT)
        self.echo = echo
        self._there = there
        self._choice = Choice()
        self._spoken: Pcm = array("h")
        self._failed = False
        self._held = 0.0

    def speak(self, sound: Pcm) -> None:
        """Let the microphone hear this, after what it was given before; at most a minute waits."""
        if len(self._spoken) + len(sound) > 60 * RATE:
            raise ValueError("more than a minute waits to be spoken")
        self._spoken += sound

    def plug(self, there: Devices) -> None:
        """Let these be the devices, and no others."""
        self._there = there

    def fail(self) -> None:
        """Let the sound server die. It comes back, and is opened again."""
        self._failed = True

    def hold(self, seconds: float) -> None:
        """Let nothing flow for so long, and then at once what should have: a machine that was busy."""
        self._held = seconds

    async def devices(self) -> Devices:
        """See `Sound.devices`."""
        return self._there

    def choose(self, choice: Choice) -> None:
        """See `Sound.choose`."""
        self._choice = choice

    async def run(self, exchange: Exchange | Ends, tell: Callable[[SoundNews], None]) -> None:
        """See `Sound.run`."""
        if set_up(self._choice, self._there).nothing:
            raise DeviceMissing(NO_DEVICE)
        loop = asyncio.get_running_loop()
        periods, due, said = Periods(exchange), loop.time(), None
        while periods.fault is None:
            setup = set_up(self._choice, self._there)
            news: SoundNews = Playing(setup)
            if self._failed:
                news = Silent("The sound has stopped; it is opened again.")
            elif setup.nothing:
                news = Silent(NO_DEVICE)
            if news != said:
                tell(news)
                said = news
            if self._failed:
                self._failed = False
                due += REOPENED_AFTER
            elif not setup.nothing:
                periods.heard(self._heard() if setup.microphone else silence(TICK))
                played = periods.played(TICK)
                if setup.speaker:
                    self.played.append(played)
            due += PERIOD
            held, self._held = self._held, 0.0
            await asyncio.sleep(max(held, due - loop.time()))
        raise periods.fault

    def _heard(self) -> Pcm:
        heard = self._spoken[:TICK]
        del self._spoken[:TICK]
        heard += silence(TICK - len(heard))
        if self.echo and self.played:
            mixed = (int(voice + self.echo * back) for voice, back in zip(heard, self.played[-1], strict=True))
            heard = array("h", (max(-32768, min(32767, value)) for value in mixed))
        return heard
