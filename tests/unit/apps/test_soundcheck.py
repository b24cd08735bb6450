"""Trying the sound of this machine, with one that is only numbers."""

from __future__ import annotations

import asyncio
import itertools
import json
from array import array

import pytest

from tincan.apps.soundcheck import CheckEvent, Level, Report, Stage, StageBegan, Trouble, check
from tincan.audio.devices import Choice, Device, Devices
from tincan.audio.memory import ONE_OF_EACH, MemorySound
from tincan.audio.pcm import RATE, Pcm, silence
from tincan.audio.tones import ToneDecoder, tone_payload
from tincan.cli import soundcheck
from tincan.errors import DeviceMissing
from virtualtime import in_virtual_time

SPEAKER_ONLY = Devices(speakers=ONE_OF_EACH.speakers)
MICROPHONE_ONLY = Devices(microphones=ONE_OF_EACH.microphones)


def words(seconds: float = 3) -> Pcm:
    """A voice with pauses, more or less."""
    frame = ToneDecoder().decode(tone_payload(1))
    sound = frame[:0]
    for n in range(int(seconds * 50)):
        sound += frame if n % 40 < 25 else silence(len(frame))
    return sound


async def checked(sound: MemorySound) -> tuple[Report, list[CheckEvent]]:
    told: list[CheckEvent] = []
    return await check(sound, told.append), told


@in_virtual_time
async def test_what_is_said_is_played_back_and_measured() -> None:
    sound = MemorySound(echo=0.3)
    sound.speak(words(4))
    report, told = await checked(sound)
    assert [event.stage for event in told if isinstance(event, StageBegan)] == list(Stage)[:-1]
    assert any(isinstance(event, Level) and event.level > -20 for event in told)
    assert report.spoken
    assert not report.cut_off
    assert -20 < report.loudest < -10
    assert report.latency == pytest.approx(10, abs=0.3)
    assert report.period == pytest.approx(10)
    played = list(itertools.chain.from_iterable(sound.played))
    assert max(played[int(3.6 * RATE) : int(6.4 * RATE)]) == 10_000  # what was recorded
    assert max(played[: int(3.4 * RATE)]) == 0
    text = " ".join(soundcheck.words(report))
    assert "Good." in text
    assert "10 ms from the speaker to the microphone" in text


@in_virtual_time
async def test_a_headset_makes_no_echo_and_cannot_be_measured() -> None:
    report, _ = await checked(MemorySound())
    assert report.latency is None
    assert not report.spoken
    text = " ".join(soundcheck.words(report))
    assert "gives nothing at all" in text
    assert "nothing to be cancelled" in text


@in_virtual_time
async def test_a_voice_that_is_too_loud_is_told() -> None:
    sound = MemorySound()
    sound.speak(array("h", (max(-32768, min(32767, 4 * sample)) for sample in words(4))))
    report, _ = await checked(sound)
    assert report.cut_off
    assert "turn the microphone down" in " ".join(soundcheck.words(report))


@pytest.mark.parametrize(("there", "wanted"), [(SPEAKER_ONLY, "can listen"), (MICROPHONE_ONLY, "can talk")])
def test_half_of_the_devices_is_enough(there: Devices, wanted: str) -> None:
    @in_virtual_time
    async def run() -> None:
        report, _ = await checked(MemorySound(there))
        assert wanted in " ".join(soundcheck.words(report))

    run()


@in_virtual_time
async def test_it_begins_again_when_the_devices_change() -> None:
    sound = MemorySound()

    async def plug() -> None:
        await asyncio.sleep(2)
        sound.plug(Devices((Device(b"h", "Headset", True),), ONE_OF_EACH.speakers))

    (report, told), _ = await asyncio.gather(checked(sound), plug())
    assert [event.text for event in told if isinstance(event, Trouble)] == ["The sound devices have changed."]
    assert report.setup.microphone is not None
    assert report.setup.microphone.name == "Headset"


@in_virtual_time
async def test_without_devices_there_is_one_sentence() -> None:
    with pytest.raises(DeviceMissing, match="no microphone and no speaker"):
        await checked(MemorySound(Devices()))


@in_virtual_time
async def test_devices_that_vanish_for_good_are_told() -> None:
    sound = MemorySound()

    async def unplug() -> None:
        await asyncio.sleep(2)
        sound.plug(Devices())

    with pytest.raises(DeviceMissing, match="no microphone and no speaker"):
        await asyncio.gather(checked(sound), unplug())


def test_programs_are_told_by_objects(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceMissing):
        soundcheck.sound_check(MemorySound(Devices()), as_json=True)
    [error] = map(json.loads, capsys.readouterr().out.splitlines())
    assert error["event"] == "error"
    assert error["code"] == 9


def test_the_bar_goes_from_60_dB_to_0() -> None:
    assert soundcheck.bar(-127).startswith("[" + "." * 30)
    assert soundcheck.bar(-30).startswith("[" + "#" * 15 + ".")
    assert soundcheck.bar(0).startswith("[" + "#" * 30)


class Choosing(MemorySound):
    """No devices, and what was chosen among them."""

    chosen: Choice | None = None

    def choose(self, choice: Choice) -> None:
        self.chosen = choice


def test_the_devices_that_were_named_are_tried() -> None:
    sound = Choosing(Devices())
    with pytest.raises(DeviceMissing):
        soundcheck.sound_check(sound, choice=Choice("headset", "speaker"))
    assert sound.chosen == Choice("headset", "speaker")
