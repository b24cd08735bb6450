"""This machine's sound, kept alive: what watches over the devices that `tincan.audio.sound` opens.

When the sound server dies, the library's callback just is not called any more.
So the calls are counted, and a device that is silent for `PATIENCE` is closed
and opened again, or whatever there is then. Every other second it is looked
whether a better device has come or the one in use has gone.

All calls that talk to the sound server may hang as long as that does. They run
in threads that nobody has to wait for at the end of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from tincan.audio.devices import NO_DEVICE, Choice, Devices, Ends, Exchange, Playing, Setup, Silent, SoundNews, set_up
from tincan.audio.periods import Periods
from tincan.audio.sound import Line, SoundFailed, list_devices
from tincan.errors import DeviceMissing
from tincan.tasks import settle

PATIENCE = 0.5
"""Seconds without a call after which a device has died."""

FIRST_PATIENCE = 3.0
"""The same for a device just opened: a Bluetooth headset takes its time."""

LOOK_EVERY = 2.0
"""Seconds between two looks at which devices are there."""

RETRY_AFTER = 0.5
"""Seconds between two attempts while nothing works."""

CLOSING = 1.0
"""Seconds that a device may take to close before its thread is left to itself."""

_STEP = 0.1

_T = TypeVar("_T")


class SoundStopped(SoundFailed):
    """The device was open, and nothing came from it any more."""


class SystemSound:
    """This machine's sound; see `tincan.audio.devices.Sound`."""

    def __init__(self) -> None:
        self._choice = Choice()
        self._chosen = asyncio.Event()

    async def devices(self) -> Devices:
        """See `Sound.devices`. Raises `DeviceMissing` where miniaudio is not installed."""
        return await aside(list_devices)

    def choose(self, choice: Choice) -> None:
        """See `Sound.choose`."""
        self._choice = choice
        self._chosen.set()

    async def run(self, exchange: Exchange | Ends, tell: Callable[[SoundNews], None]) -> None:
        """See `Sound.run`."""
        there = await self.devices()
        if set_up(self._choice, there).nothing:
            raise DeviceMissing(NO_DEVICE)
        report = _only_changes(tell)
        while True:
            self._chosen.clear()
            setup = set_up(self._choice, there)
            try:
                await self._flow(setup, exchange, report)
            except SoundStopped as exc:
                report(Silent(str(exc)))  # to notice has taken long enough; there is no need to wait
            except SoundFailed as exc:
                report(Silent(str(exc)))
                await asyncio.sleep(RETRY_AFTER)
            there = await self.devices()

    async def _flow(self, setup: Setup, exchange: Exchange | Ends, report: Callable[[SoundNews], None]) -> None:
        """Let sound flow with one setup, or half of it, until other devices are to be used."""
        problem = SoundFailed(NO_DEVICE)
        for possible in _possible(setup):
            line = Line(possible, Periods(exchange))
            try:
                await aside(line.open)
                report(Playing(possible))
                await self._watch(line, setup)
                return
            except SoundStopped:
                raise
            except SoundFailed as exc:
                problem = exc  # one of the two may still work: the other is in use elsewhere, or forbidden
            finally:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(aside(line.close), CLOSING)
        raise problem

    async def _watch(self, line: Line, setup: Setup) -> None:
        """Return when other devices are to be used; raise when the device has died or ``exchange`` has failed."""
        loop = asyncio.get_running_loop()
        counts, alive_until = [0, 0], [loop.time() + FIRST_PATIENCE] * 2
        look_at = loop.time() + LOOK_EVERY
        looking: asyncio.Task[Devices] | None = None
        try:
            while not self._chosen.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._chosen.wait(), _STEP)
                now = loop.time()
                if line.periods.fault is not None:
                    raise line.periods.fault
                for half, count in enumerate(line.periods.counts):
                    if count != counts[half]:
                        counts[half], alive_until[half] = count, now + PATIENCE
                    elif now >= alive_until[half]:
                        raise SoundStopped("The sound has stopped; it is opened again.")
                if looking is None and now >= look_at:
                    looking = asyncio.create_task(self.devices())
                elif looking is not None and looking.done():
                    if not set_up(self._choice, looking.result()).uses_the_devices_of(setup):
                        return
                    looking, look_at = None, now + LOOK_EVERY
        finally:
            if looking is not None:
                await settle(looking)


async def aside(function: Callable[[], _T]) -> _T:
    """Run something that may hang in a thread of its own, which the program's end does not wait for.

    `asyncio.to_thread` would: its threads are joined at the end.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def work() -> None:
        try:
            result = function()
        except Exception as exc:
            post(future.set_exception, exc)
        else:
            post(future.set_result, result)

    def post(settle_with: Callable[[Any], None], outcome: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(lambda: None if future.done() else settle_with(outcome))

    threading.Thread(target=work, name="tin-can sound", daemon=True).start()
    return await future


def _only_changes(tell: Callable[[SoundNews], None]) -> Callable[[SoundNews], None]:
    said: list[SoundNews] = []

    def report(news: SoundNews) -> None:
        if [news] != said:
            said[:] = [news]
            tell(news)

    return report


def _possible(setup: Setup) -> list[Setup]:
    """The setup, and what is left of it when one of its two devices does not open."""
    if setup.microphone is None or setup.speaker is None:
        return [] if setup.nothing else [setup]
    return [setup, Setup(None, setup.speaker, setup.missing), Setup(setup.microphone, None, setup.missing)]
