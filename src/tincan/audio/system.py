"""This machine's sound, kept alive: what watches over the devices that a library opens (`tincan.audio.library`).

When the sound server dies, the library's callback just is not called any more.
So the calls are counted, and a device that is silent for `PATIENCE` is closed
and opened again, or whatever there is then. Every other second it is looked
whether a better device has come, the one in use has gone, or one that did not
open does so now.

All calls that talk to the sound server may hang as long as that does. They run
in threads that nobody has to wait for at the end of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, TypeVar

from tincan.audio import portaudio, sound
from tincan.audio.devices import NO_DEVICE, Choice, Devices, Ends, Exchange, Playing, Setup, Silent, SoundNews, set_up
from tincan.audio.library import Library, Line, SoundFailed
from tincan.audio.pcm import TICK, silence
from tincan.audio.periods import Periods
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

HANGS = "The sound server does not answer; there is sound once it does."
STOPPED = "The sound has stopped; it is opened again."
DEAD = "The sound device opens, and gives no sound."

_STEP = 0.1

_T = TypeVar("_T")


class SoundStopped(SoundFailed):
    """The device was open, and nothing came from it any more."""


def installed() -> Library:
    """Return the library to use; it is loaded with its first use, and says then if it is not there."""
    if find_spec("miniaudio") is None and find_spec("sounddevice") is not None:
        return portaudio.LIBRARY
    return sound.LIBRARY


class SystemSound:
    """This machine's sound; see `tincan.audio.devices.Sound`. ``library`` None: the one that is installed."""

    def __init__(self, library: Library | None = None) -> None:
        self._library = library or installed()
        self._choice = Choice()
        self._chosen = asyncio.Event()

    async def devices(self) -> Devices:
        """See `Sound.devices`. Raises `DeviceMissing` where no library is installed."""
        return await aside(self._library.devices)

    def choose(self, choice: Choice) -> None:
        """See `Sound.choose`."""
        self._choice = choice
        self._chosen.set()

    async def run(self, exchange: Exchange | Ends, tell: Callable[[SoundNews], None]) -> None:
        """See `Sound.run`."""
        report = _only_changes(tell)
        there = await _patiently(self._library.devices, report)
        if set_up(self._choice, there).nothing:
            raise DeviceMissing(NO_DEVICE)
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
            there = await _patiently(self._library.devices, report)

    async def _flow(self, setup: Setup, exchange: Exchange | Ends, report: Callable[[SoundNews], None]) -> None:
        """Let sound flow with one setup, or half of it, until other devices are to be used."""
        problem = SoundFailed(NO_DEVICE)
        for possible in _possible(setup):
            periods = Periods(exchange)
            line = self._library.line(possible, periods)
            try:
                await _patiently(line.open, report)
                report(Playing(possible))
                await self._watch(periods, setup, possible)
                return
            except SoundStopped:
                raise
            except SoundFailed as exc:
                problem = exc  # one of the two may still work: the other is in use elsewhere, forbidden, or dead
            finally:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(aside(line.close), CLOSING)
        raise problem

    async def _watch(self, periods: Periods, setup: Setup, used: Setup) -> None:
        """Return when other devices are to be used; raise when the device has died or ``exchange`` has failed.

        ``used``: what there is of ``setup``.
        """
        loop = asyncio.get_running_loop()
        counts, alive_until = [0, 0], [loop.time() + FIRST_PATIENCE] * 2
        look_at = loop.time() + LOOK_EVERY
        looking: asyncio.Task[bool] | None = None
        try:
            while not self._chosen.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._chosen.wait(), _STEP)
                now = loop.time()
                if periods.fault is not None:
                    raise periods.fault
                for half, count in enumerate(periods.counts):
                    if count != counts[half]:
                        counts[half], alive_until[half] = count, now + PATIENCE
                    elif now >= alive_until[half]:
                        raise SoundStopped(STOPPED) if count else SoundFailed(DEAD)
                if looking is None and now >= look_at:
                    looking = asyncio.create_task(self._has_changed(setup, used))
                elif looking is not None and looking.done():
                    if looking.result():
                        return
                    looking, look_at = None, now + LOOK_EVERY
        finally:
            if looking is not None:
                await settle(looking)

    async def _has_changed(self, setup: Setup, used: Setup) -> bool:
        """Whether other devices are to be used now, or the one that did not open does."""
        if not set_up(self._choice, await self.devices()).uses_the_devices_of(setup):
            return True
        if not used.refused:
            return False
        microphone = setup.microphone if used.microphone is None else None
        speaker = setup.speaker if used.speaker is None else None
        nobody = Periods(Ends(lambda heard: None, lambda: silence(TICK)))
        return await aside(partial(_works, self._library.line(Setup(microphone, speaker), nobody), nobody))


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


def _works(line: Line, periods: Periods) -> bool:
    """Whether a line can be opened, and sound comes of it; it is closed again."""
    try:
        line.open()
        for _ in range(round(FIRST_PATIENCE / _STEP)):
            if any(periods.counts):
                return True
            time.sleep(_STEP)
    except SoundFailed:
        pass
    finally:
        line.close()
    return False


async def _patiently(function: Callable[[], _T], report: Callable[[SoundNews], None]) -> _T:
    """Run what may hang, as `aside` does, and say so when it takes too long."""
    asking = asyncio.ensure_future(aside(function))
    try:
        await asyncio.wait([asking], timeout=FIRST_PATIENCE)
        if not asking.done():
            report(Silent(HANGS))
        return await asking
    finally:
        await settle(asking)


def _only_changes(tell: Callable[[SoundNews], None]) -> Callable[[SoundNews], None]:
    said: list[SoundNews] = []

    def report(news: SoundNews) -> None:
        if [news] != said:
            said[:] = [news]
            tell(news)

    return report


def _possible(setup: Setup) -> list[Setup]:
    """The setup, and what is left of it when one of its two devices does not open."""
    microphone, speaker, missing = setup.microphone, setup.speaker, setup.missing
    if microphone is None or speaker is None:
        return [] if setup.nothing else [setup]
    return [
        setup,
        Setup(None, speaker, missing, (microphone.name,)),
        Setup(microphone, None, missing, (speaker.name,)),
    ]
