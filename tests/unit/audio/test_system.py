"""What watches over the devices, with a library whose devices are busy, dead, or do not answer."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

import pytest

from tincan.apps.call import desk
from tincan.audio import portaudio, sound
from tincan.audio.devices import Choice, Devices, Playing, Setup, Silent, SoundNews, describe
from tincan.audio.library import BUSY, Library, SoundFailed
from tincan.audio.memory import ONE_OF_EACH
from tincan.audio.pcm import TICK, Pcm, silence
from tincan.audio.periods import Periods
from tincan.audio.system import DEAD, HANGS, SystemSound, installed
from tincan.tasks import settle

PATIENCE = 60.0
"""Seconds that a busy machine may take; none of the tests waits for it."""

[MICROPHONE] = ONE_OF_EACH.microphones
[SPEAKER] = ONE_OF_EACH.speakers


class Fake:
    """A library. ``busy``: devices that do not open; ``dead``: those that open, and no sound comes of them."""

    def __init__(self) -> None:
        self.busy: set[str] = set()
        self.dead: set[str] = set()
        self.answers = threading.Event()
        self.answers.set()
        self.open: list[Setup] = []

    @property
    def library(self) -> Library:
        return Library(self.devices, lambda setup, periods: FakeLine(self, setup, periods))

    def devices(self) -> Devices:
        self.answers.wait(PATIENCE)
        return ONE_OF_EACH


class FakeLine:
    def __init__(self, fake: Fake, setup: Setup, periods: Periods) -> None:
        self._fake, self._setup, self._periods = fake, setup, periods
        self._names = {device.name for device in (setup.microphone, setup.speaker) if device is not None}
        self._over = threading.Event()
        self._flowing = threading.Thread(target=self._flow, daemon=True)

    def open(self) -> None:
        if self._names & self._fake.busy:
            raise SoundFailed(BUSY)
        self._fake.open.append(self._setup)
        self._flowing.start()

    def close(self) -> None:
        self._periods.end()
        self._over.set()
        if self._setup in self._fake.open:
            self._fake.open.remove(self._setup)
            self._flowing.join()

    def _flow(self) -> None:
        while not self._over.wait(0.01):
            if not self._names <= self._fake.dead:
                if self._setup.microphone is None or MICROPHONE.name not in self._fake.dead:
                    self._periods.heard(silence(TICK))
                if self._setup.speaker is None or SPEAKER.name not in self._fake.dead:
                    self._periods.played(TICK)


class Listener:
    def __init__(self) -> None:
        self.news: list[SoundNews] = []
        self._came = asyncio.Event()

    def hear(self, news: SoundNews) -> None:
        self.news.append(news)
        self._came.set()

    async def told(self, wanted: Callable[[SoundNews], bool]) -> SoundNews:
        """Wait until the last news are wanted ones."""
        async with asyncio.timeout(PATIENCE):
            while not (self.news and wanted(self.news[-1])):
                self._came.clear()
                await self._came.wait()
        return self.news[-1]


@asynccontextmanager
async def listening(fake: Fake) -> AsyncIterator[Listener]:
    listener = Listener()
    sound = SystemSound(fake.library)
    task = asyncio.create_task(sound.run(echoed, listener.hear))
    try:
        yield listener
    finally:
        await settle(task)
        assert fake.open == []


def echoed(heard: Pcm) -> Pcm:
    return heard


def with_all(news: SoundNews) -> bool:
    return news == Playing(Setup(MICROPHONE, SPEAKER))


@pytest.mark.parametrize(("busy", "left"), [(MICROPHONE, "you can listen"), (SPEAKER, "you can talk")])
async def test_a_device_in_use_elsewhere_is_told_and_taken_once_it_is_free(busy: object, left: str) -> None:
    fake, name = Fake(), getattr(busy, "name")  # noqa: B009
    fake.busy = {name}
    async with listening(fake) as listener:
        news = describe(await listener.told(lambda news: isinstance(news, Playing)))
        assert f"'{name}' does not open" in news
        assert left in news
        fake.busy = set()
        await listener.told(with_all)


async def test_a_microphone_that_gives_nothing_does_not_silence_the_speaker() -> None:
    fake = Fake()
    fake.dead = {MICROPHONE.name}
    async with listening(fake) as listener:
        await listener.told(lambda news: isinstance(news, Playing) and news.setup.microphone is None)
        fake.dead = set()
        await listener.told(with_all)


async def test_when_everything_is_dead_that_is_said() -> None:
    fake = Fake()
    fake.busy = {MICROPHONE.name}
    fake.dead = {SPEAKER.name}
    async with listening(fake) as listener:
        assert await listener.told(lambda news: isinstance(news, Silent)) in (Silent(DEAD), Silent(BUSY))


async def test_a_sound_server_that_does_not_answer_is_told() -> None:
    fake = Fake()
    fake.answers.clear()
    async with listening(fake) as listener:
        assert await listener.told(lambda news: True) == Silent(HANGS)
        fake.answers.set()
        await listener.told(with_all)


async def test_the_choice_is_kept_for_when_it_comes() -> None:
    fake = Fake()
    sound = SystemSound(fake.library)
    listener = Listener()
    sound.choose(Choice("headset"))
    task = asyncio.create_task(sound.run(echoed, listener.hear))
    assert "'headset' is not there." in describe(await listener.told(lambda news: isinstance(news, Playing)))
    sound.choose(Choice())
    await listener.told(with_all)
    await settle(task)


def test_sounddevice_is_taken_where_miniaudio_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("there")
    there.__spec__ = ModuleSpec("there", None)
    for miniaudio, sounddevice, taken in [
        (there, there, sound.LIBRARY),
        (there, None, sound.LIBRARY),
        (None, there, portaudio.LIBRARY),
        (None, None, sound.LIBRARY),  # says what to install
    ]:
        monkeypatch.setitem(sys.modules, "miniaudio", miniaudio)  # type: ignore[arg-type]
        monkeypatch.setitem(sys.modules, "sounddevice", sounddevice)  # type: ignore[arg-type]
        assert installed() is taken
        assert desk.installed() is (miniaudio is not None or sounddevice is not None)
