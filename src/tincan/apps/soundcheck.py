"""`tin-can talk --test`: is sound ready for a call? Needs no peer.

Three seconds are recorded and played back, then three chirps are played, and
looked for in what the microphone hears: that is how long the devices take, and
whether there will be an echo. `Rehearsal` is the core, driven by the device's
periods alone; `check` runs it with a real `Sound`.
"""

from __future__ import annotations

import asyncio
import enum
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final, TypeAlias

from tincan.audio import echo, probe
from tincan.audio.devices import PERIOD, Playing, Setup, Silent, Sound, SoundNews
from tincan.audio.levels import SILENT, LevelMeter, VoiceActivity, dbov
from tincan.audio.pcm import RATE, TICK, Pcm, loudness, silence
from tincan.errors import DeviceMissing
from tincan.tasks import settle

RECORDED: Final = 3.0
"""Seconds."""

CHIRPS: Final = 3
FULL_SCALE: Final = 32_000
"""A sample above this has been cut off."""

SLACK: Final = 10.0
"""Seconds that the devices may take longer than what they play."""

_LISTENED: Final = 0.8
"""Seconds after each chirp in which it may come back."""
_SHOWN_EVERY: Final = 0.1


class Stage(enum.Enum):
    """What goes on; the value is for programs."""

    SETTLING = "settling"
    RECORDING = "recording"
    PLAYING = "playing"
    MEASURING = "measuring"
    DONE = "done"


LENGTHS: Final = {
    Stage.SETTLING: 50,
    Stage.RECORDING: round(RECORDED / PERIOD),
    Stage.PLAYING: round(RECORDED / PERIOD) + 20,
    Stage.MEASURING: CHIRPS * round(_LISTENED / PERIOD),
}
"""Periods of each stage, in this order."""


@dataclass(frozen=True)
class StageBegan:
    """Another stage has begun. ``setup``: with which devices."""

    stage: Stage
    setup: Setup


@dataclass(frozen=True)
class Level:
    """How loud the microphone is now, in dBov."""

    stage: Stage
    level: float


@dataclass(frozen=True)
class Trouble:
    """The devices have changed or stopped; it is begun again."""

    text: str


@dataclass(frozen=True)
class Report:
    """What came out. Levels in dBov, times in milliseconds."""

    setup: Setup
    loudest: float
    quietest: float
    spoken: bool
    """Whether a voice was heard."""
    cut_off: bool
    """Whether it was too loud to be recorded whole."""
    latency: float | None
    """From the loudspeaker to the microphone, device to device; None: the microphone does not hear it."""
    period: float
    """Between two calls of the device, on average: 10 when all is well."""
    longest_gap: float
    """The longest time between two calls."""
    canceller: echo.Method | None
    """What could take an echo away here."""


CheckEvent: TypeAlias = StageBegan | Level | Trouble


class Rehearsal:
    """The check, period by period. ``exchange`` may be called in a thread of its own; the rest is read meanwhile."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.stage = Stage.SETTLING
        self.level = SILENT
        self._meter = LevelMeter()
        self._voice = VoiceActivity()
        self._recorded: Pcm = array("h")
        self._measured: Pcm = array("h")
        self._playing: Pcm = array("h")
        self._periods = 0
        self._spoken = False
        self._levels: list[float] = []
        self._calls: list[float] = []

    def exchange(self, heard: Pcm, now: float) -> Pcm:
        """Take 10 ms from the microphone; return 10 ms for the loudspeaker."""
        self.level = self._meter.add(heard)
        if self.stage is Stage.DONE:
            return silence(TICK)
        if self.stage is Stage.RECORDING:
            self._recorded += heard
            self._levels.append(dbov(loudness(heard)))
            self._spoken |= self._voice.add(heard)
        elif self.stage is Stage.MEASURING:
            self._measured += heard
        if self.stage is not Stage.SETTLING:
            self._calls.append(now)
        self._periods += 1
        played = self._playing[:TICK]
        del self._playing[:TICK]
        if self._periods == LENGTHS[self.stage]:
            self._begin_next()
        return played + silence(TICK - len(played))

    def report(self) -> Report:
        """Say what came out; it is done."""
        gaps = [1000 * (after - before) for before, after in zip(self._calls, self._calls[1:], strict=False)]
        ordered = sorted(self._levels)
        return Report(
            setup=self.setup,
            loudest=ordered[-1],
            quietest=ordered[len(ordered) // 20],
            spoken=self._spoken,
            cut_off=max(map(abs, self._recorded)) > FULL_SCALE,
            latency=self._latency(),
            period=sum(gaps) / len(gaps),
            longest_gap=max(gaps),
            canceller=echo.available(),
        )

    def _begin_next(self) -> None:
        stages = list(Stage)
        self.stage = stages[stages.index(self.stage) + 1]
        self._periods = 0
        if self.stage is Stage.PLAYING:
            self._playing = self._recorded[:]
        elif self.stage is Stage.MEASURING:
            once = probe.chirp() + silence(round(_LISTENED * RATE) - probe.LENGTH)
            self._playing = once * CHIRPS

    def _latency(self) -> float | None:
        """The median of the chirps that were found, if most of them were."""
        length = round(_LISTENED * RATE)
        found = [probe.find(self._measured[n * length : (n + 1) * length]) for n in range(CHIRPS)]
        heard = [1000 * place / RATE for place in found if place is not None]
        return median(heard) if len(heard) > CHIRPS // 2 else None


async def check(sound: Sound, tell: Callable[[CheckEvent], None]) -> Report:
    """Run all of it; raises `DeviceMissing` when there is no sound here, or none that flows."""
    loop = asyncio.get_running_loop()
    running: Rehearsal | None = None
    trouble: list[str] = []

    def exchange(heard: Pcm) -> Pcm:
        return running.exchange(heard, loop.time()) if running is not None else silence(TICK)

    def hear(news: SoundNews) -> None:
        nonlocal running
        if isinstance(news, Silent) or running is not None:
            trouble.append(news.reason if isinstance(news, Silent) else "The sound devices have changed.")
            tell(Trouble(trouble[-1]))
        running = Rehearsal(news.setup) if isinstance(news, Playing) else None

    playing = asyncio.create_task(sound.run(exchange, hear))
    try:
        async with asyncio.timeout(sum(LENGTHS.values()) * PERIOD + SLACK):
            said: tuple[Rehearsal, Stage] | None = None
            while True:
                await asyncio.wait([playing], timeout=_SHOWN_EVERY)
                if playing.done():
                    playing.result()  # it ends by an error only
                if running is None:
                    continue
                stage = running.stage
                if stage is Stage.DONE:
                    return running.report()
                if said != (running, stage):
                    said = running, stage
                    tell(StageBegan(stage, running.setup))
                elif stage is Stage.RECORDING:
                    tell(Level(stage, running.level))
    except TimeoutError:
        raise DeviceMissing(trouble[-1] if trouble else "The sound devices do not deliver any sound.") from None
    finally:
        await settle(playing)
