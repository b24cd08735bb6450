"""One call's sound for real: the thin shell that joins devices, `Voice` and the link's media.

The devices call from a thread of their own, where the voice is computed; the
packets go over to the loop to be sent. When no device is there or works, the
loop itself turns the voice, with silence, so that the call goes on: reports
are answered, and sound comes back as soon as there is a device.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from tincan.apps.call.cleaning import Cleaning, Switches
from tincan.apps.call.events import CallEvent, CallStatus, SoundFlows, SoundTrouble
from tincan.apps.call.interface import Switch
from tincan.apps.call.protocol import Talk
from tincan.apps.call.voice import Voice, mouth_to_ear_ms
from tincan.apps.text import visible_name
from tincan.audio import chimes, echo, opus
from tincan.audio.devices import Device, Ends, Playing, Setup, Silent, Sound, SoundNews, describe
from tincan.audio.pcm import RATE, TICK, Pcm, silence
from tincan.audio.rate import Rate
from tincan.audio.system import aside
from tincan.errors import TinCanError
from tincan.link.interface import Link
from tincan.tasks import settle

logger = logging.getLogger(__name__)

DEVICES_MS: Final = 20.0
"""Milliseconds that sound takes through microphone and loudspeaker together, at periods of 10 ms: measured once."""

IDLE_AFTER: Final = 0.5
"""Seconds without a call of the devices after which the loop turns the voice itself.

Less is a machine that was busy: the device gives then what it has kept, and turned meanwhile, that would be
more sound than there was time.
"""

LOOK_AGAIN: Final = 2.0
"""Seconds between two looks for devices while there is none at all."""

FAREWELL: Final = 0.25
"""Seconds that the tone at the end takes to be heard."""

COMPLEXITY: Final = 9

WIDEBAND_BELOW: Final = 40_000
"""Bits a second up to which what lies above 8 kHz is left out: words sound better for it."""

DEAF_AFTER: Final = 5 * RATE // TICK
"""Periods of nothing at all after which a microphone is switched off or, on macOS, forbidden: no room is so quiet."""

DEAF: Final = "The microphone gives nothing at all; is it switched off, or forbidden to this program?"

_UNEXPECTED: Final = "Something about the sound went wrong; with --log-file the log says what."


class OpusEncoder:
    """The `tincan.apps.call.voice.Encoder` of a call."""

    def __init__(self) -> None:
        self._opus = opus.Encoder()

    def encode(self, frame: Pcm) -> bytes:
        """See `Encoder.encode`."""
        return self._opus.encode(frame)

    def adjust(self, rate: Rate) -> None:
        """See `Encoder.adjust`. A copy of the frame says more than in-band FEC, so it is one or the other."""
        expected = rate.expected_loss / 100
        self._opus.settings = opus.Settings(
            rate.bitrate,
            rate.redundant == 0,
            0.0 if rate.redundant else expected,
            dtx=True,
            complexity=COMPLEXITY,
            wideband=rate.bitrate <= WIDEBAND_BELOW,
        )


def load() -> None:
    """Load what takes its time, where it disturbs nobody: a call that has begun would stutter meanwhile."""
    opus.library()
    if echo.available() is not None:
        with contextlib.suppress(TinCanError):
            echo.make()


class CallSession:
    """The sound of one call, as long as `run` runs. ``tell`` hears of what the user should know."""

    def __init__(
        self,
        talk: Talk,
        link: Link,
        sound: Sound,
        switches: Switches,
        tell: Callable[[CallEvent], None],
        began: float,
    ) -> None:
        self._talk = talk
        self._link = link
        self._sound = sound
        self._switches = switches
        self._tell = tell
        self._began = began
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._exchanged = self._loop.time()
        self._voice: Voice | None = None
        self._media = link.media(self._hear)
        self._setup = Setup()
        self._cleaning = Cleaning(switches, tell)
        self._trouble = ""
        self._joined = False
        self._nothing = 0

    @property
    def delay_ms(self) -> int:
        """How long sound takes through the devices here."""
        return round(DEVICES_MS)

    def open_microphone(self) -> bool:
        """Say whether the switches let the microphone be heard, and see to it."""
        pressed = bool(self._switches.is_on(Switch.PRESSED))
        muted = bool(self._switches.is_on(Switch.MUTED))
        opened = pressed if self._switches.is_on(Switch.PUSH_TO_TALK) else not muted
        if self._voice is not None:
            self._voice.open = opened
        self._cleaning.look()
        return opened

    def status(self, *, peer_muted: bool, peer_delay_ms: int | None) -> CallStatus:
        """Return how it goes."""
        link = self._link.status
        common = CallStatus(
            seconds=self._loop.time() - self._began,
            level=-127.0,
            peer_level=-127.0,
            muted=bool(self._switches.is_on(Switch.MUTED)),
            peer_muted=peer_muted,
            push_to_talk=bool(self._switches.is_on(Switch.PUSH_TO_TALK)),
            echo=self._cleaning.works[0],
            noise=self._cleaning.works[1],
            microphone=_name(self._setup.microphone),
            speaker=_name(self._setup.speaker),
            path=link.path.value,
            rtt=link.rtt,
        )
        if self._voice is None:
            return common
        quality = self._voice.quality
        heard = quality.playout.received > 0
        there = DEVICES_MS if peer_delay_ms is None else peer_delay_ms
        return replace(
            common,
            level=quality.level,
            peer_level=quality.peer_level,
            speaking=quality.speaking,
            rtt=link.rtt if quality.rtt is None else quality.rtt,
            loss=quality.playout.loss if heard else None,
            loss_there=quality.loss_there,
            jitter_ms=None if quality.jitter is None else 1000 * quality.jitter,
            delay_ms=quality.playout.current_ms if heard else None,
            mouth_to_ear_ms=mouth_to_ear_ms(quality, link.rtt, DEVICES_MS, there),
            bitrate=quality.rate.bitrate,
            redundant=quality.rate.redundant > 0,
        )

    async def run(self) -> None:
        """Let sound flow until `finish`, or until cancelled."""
        try:
            self._voice = await aside(self._make_voice)
            self.open_microphone()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._flow())
                group.create_task(self._keep_turning())
                group.create_task(self._cleaning.run(self._voice, lambda: self._setup))
        except TinCanError as exc:  # no codec: the call is one of text
            await self._be_silent(str(exc))
        except Exception:
            logger.exception("the sound of a call failed")
            await self._be_silent(_UNEXPECTED)
        finally:
            self._media.close()

    async def _be_silent(self, why: str) -> None:
        self._say_trouble(why)
        await asyncio.Event().wait()

    async def finish(self, running: asyncio.Task[None]) -> None:
        """End in good order: nothing is sent or heard any more but the tone that says so."""
        self._media.close()
        if self._voice is not None:
            self._voice.open = False
            self._chime(chimes.left())
            if not self._setup.nothing:
                await asyncio.sleep(FAREWELL)
        await settle(running)

    def _chime(self, tone: Pcm) -> None:
        if self._voice is not None:
            with self._lock:
                self._voice.chime(tone)

    # -- packets ------------------------------------------------------------------------

    def _hear(self, packet: bytes) -> None:
        if self._voice is not None:
            self._voice.arrived(packet, self._loop.time())

    def _send(self, packets: list[bytes]) -> None:
        for packet in packets:
            self._media.send(packet)

    # -- sound --------------------------------------------------------------------------

    def _make_voice(self) -> Voice:
        return Voice(self._talk, OpusEncoder(), opus.Decoder(), random.SystemRandom(), self._loop.time())

    def _hear_device(self, heard: Pcm) -> None:
        """Be the `hear` of the devices' `Ends`."""
        self._exchanged = self._loop.time()
        if self._nothing < DEAF_AFTER and self._setup.microphone is not None:
            self._listen(heard)
        self._speak(heard)

    def _listen(self, heard: Pcm) -> None:
        """Count what a fresh microphone gives as long as that is nothing at all; say so once it is too long."""
        self._nothing = DEAF_AFTER if any(heard) else self._nothing + 1
        if self._nothing == DEAF_AFTER and not any(heard):
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._say_trouble, DEAF)

    def _speak(self, heard: Pcm) -> None:
        voice = self._voice
        if voice is None:
            return
        with self._lock:
            voice.hear(heard, self._loop.time())
            packets = voice.data_to_send()
        if not packets:
            return
        if threading.get_ident() == self._thread:
            self._send(packets)
        else:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._send, packets)

    def _play(self) -> Pcm:
        """Be the `play` of the devices' `Ends`."""
        voice = self._voice
        if voice is None:
            return silence(TICK)
        with self._lock:
            return voice.play(self._loop.time())

    async def _flow(self) -> None:
        while True:
            try:
                await self._sound.run(Ends(self._hear_device, self._play), self._hear_news)
            except TinCanError as exc:
                self._say_trouble(str(exc))
            except Exception:
                logger.exception("the sound of a call failed")
                self._say_trouble(_UNEXPECTED)
            self._setup = Setup()
            await asyncio.sleep(LOOK_AGAIN)

    async def _keep_turning(self) -> None:
        """Turn the voice where no device does."""
        due = self._loop.time()
        while True:
            now = self._loop.time()
            flows = now - self._exchanged < IDLE_AFTER
            due = now + IDLE_AFTER if flows else max(due, now - IDLE_AFTER)
            while due <= now:
                self._speak(silence(TICK))
                self._play()
                due += TICK / RATE
            await asyncio.sleep(due - now)

    def _hear_news(self, news: SoundNews) -> None:
        match news:
            case Playing(setup):
                self._setup, self._trouble, self._nothing = setup, "", 0
                if setup.speaker is not None and not self._joined:  # not before it can be heard
                    self._joined = True
                    self._chime(chimes.joined())
                self._tell(SoundFlows(_name(setup.microphone), _name(setup.speaker), describe(news)))
                self._cleaning.look()
            case Silent(reason):
                self._setup = Setup()
                self._say_trouble(reason)

    def _say_trouble(self, text: str) -> None:
        if text != self._trouble:
            self._trouble = text
            self._tell(SoundTrouble(text))


def _name(device: Device | None) -> str | None:
    return None if device is None else visible_name(device.name, fallback="(no name)")
