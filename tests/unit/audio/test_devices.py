"""Which devices are taken, what is said about them, and the contract of sound on its in-memory one."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tincan.audio.devices import (
    Choice,
    Device,
    Devices,
    Playing,
    Setup,
    Silent,
    SoundNews,
    describe,
    find,
    must_find,
    set_up,
)
from tincan.audio.memory import ONE_OF_EACH, MemorySound
from tincan.audio.pcm import RATE, TICK, Pcm, silence
from tincan.errors import DeviceMissing
from tincan.tasks import settle
from virtualtime import in_virtual_time

INTERNAL = Device(b"0", "Internal Microphone", default=True)
HEADSET = Device(b"1", "USB Headset")
SPEAKER = Device(b"2", "Built-in Speaker", default=True)
HEADPHONES = Device(b"3", "USB Headphones")
ALL = Devices((HEADSET, INTERNAL), (HEADPHONES, SPEAKER))


# -- choosing ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "there", "expected"),
    [
        (Choice(), ALL, Setup(INTERNAL, SPEAKER)),
        (Choice("USB Headset"), ALL, Setup(HEADSET, SPEAKER)),
        (Choice("usb headset", "usb"), ALL, Setup(HEADSET, HEADPHONES)),
        (Choice("headset", "headset"), ALL, Setup(HEADSET, SPEAKER, ("headset",))),
        (Choice("headset"), Devices((INTERNAL,), (SPEAKER,)), Setup(INTERNAL, SPEAKER, ("headset",))),
        (Choice(), Devices((HEADSET,), (HEADPHONES,)), Setup(HEADSET, HEADPHONES)),
        (Choice(), Devices((), (SPEAKER,)), Setup(None, SPEAKER)),
        (Choice("headset"), Devices((), (SPEAKER,)), Setup(None, SPEAKER, ("headset",))),
        (Choice(), Devices((INTERNAL,), ()), Setup(INTERNAL, None)),
        (Choice(), Devices(), Setup()),
    ],
    ids=[
        "the-system's",
        "by-name",
        "in-small-letters-and-in-part",
        "one-is-missing",
        "fall-back",
        "no-default",
        "listen-only",
        "listen-only-for-lack-of-the-chosen",
        "talk-only",
        "nothing",
    ],
)
def test_what_was_chosen_is_used_if_it_is_there(choice: Choice, there: Devices, expected: Setup) -> None:
    assert set_up(choice, there) == expected


def test_a_part_of_two_names_is_not_a_choice() -> None:
    assert find("e", ALL.speakers) is None
    assert find("USB Head", [HEADSET, HEADPHONES]) is None


def test_a_whole_name_is_one_even_if_it_is_part_of_another() -> None:
    longer = Device(b"9", "USB Headset 2")
    assert find("usb headset", [longer, HEADSET]) == HEADSET


def test_what_is_typed_and_not_there_is_answered_with_the_names() -> None:
    with pytest.raises(DeviceMissing, match="'USB Headphones', 'Built-in Speaker'"):
        must_find("gramophone", ALL.speakers)
    with pytest.raises(DeviceMissing, match="none"):
        must_find("gramophone", ())
    assert must_find("built", ALL.speakers) == SPEAKER


def test_a_setup_is_the_same_when_only_what_is_missing_differs() -> None:
    assert Setup(HEADSET, SPEAKER, ("x",)).uses_the_devices_of(Setup(HEADSET, SPEAKER))
    assert not Setup(HEADSET, SPEAKER).uses_the_devices_of(Setup(None, SPEAKER))


def test_names_are_fit_to_be_shown() -> None:
    assert Device(b"", "Anna\x1b[31m's\nbuds").name == "Anna?[31m's?buds"
    assert len(Device(b"", "x" * 1000).name) == 80


@pytest.mark.parametrize(
    ("news", "said"),
    [
        (Playing(Setup(INTERNAL, SPEAKER)), "Microphone: Internal Microphone. Speaker: Built-in Speaker."),
        (Playing(Setup(None, SPEAKER)), "No microphone: you can listen. Speaker: Built-in Speaker."),
        (Playing(Setup(INTERNAL, None)), "Microphone: Internal Microphone. No speaker: you can talk."),
        (
            Playing(Setup(INTERNAL, SPEAKER, ("headset",))),
            "'headset' is not there. Microphone: Internal Microphone. Speaker: Built-in Speaker.",
        ),
        (Silent("The sound has stopped."), "The sound has stopped."),
    ],
)
def test_news_are_told_in_sentences(news: SoundNews, said: str) -> None:
    assert describe(news) == said


# -- sound that flows --------------------------------------------------------------


class Listener:
    """What a call would be: hears the microphone, gives the loudspeaker something, takes note of the news."""

    def __init__(self) -> None:
        self.heard: list[Pcm] = []
        self.news: list[SoundNews] = []
        self.give = 7

    def exchange(self, heard: Pcm) -> Pcm:
        self.heard.append(heard)
        return ramp(TICK, self.give)


def ramp(samples: int, value: int) -> Pcm:
    made = silence(samples)
    for n in range(samples):
        made[n] = value
    return made


@asynccontextmanager
async def running(sound: MemorySound) -> AsyncIterator[Listener]:
    listener = Listener()
    task = asyncio.create_task(sound.run(listener.exchange, listener.news.append))
    try:
        yield listener
    finally:
        await settle(task)


@in_virtual_time
async def test_a_hundred_periods_flow_in_a_second_both_ways() -> None:
    sound = MemorySound()
    sound.speak(ramp(RATE // 2, 3))
    async with running(sound) as listener:
        await asyncio.sleep(0.995)
    assert len(listener.heard) == 100
    assert [piece[0] for piece in listener.heard] == [3] * 50 + [0] * 50
    assert [piece[-1] for piece in sound.played] == [7] * 100
    assert listener.news == [Playing(set_up(Choice(), ONE_OF_EACH))]


@in_virtual_time
async def test_devices_that_go_and_come_are_told() -> None:
    sound = MemorySound(ALL)
    sound.choose(Choice("headset", "headphones"))
    async with running(sound) as listener:
        await asyncio.sleep(0.1)
        sound.plug(Devices((INTERNAL,), (SPEAKER,)))
        await asyncio.sleep(0.1)
        sound.plug(Devices())
        await asyncio.sleep(0.1)
        sound.plug(ALL)
        await asyncio.sleep(0.1)
    assert [describe(news).partition(" Microphone:")[0] for news in listener.news] == [
        "Microphone: USB Headset. Speaker: USB Headphones.",
        "'headset' is not there. 'headphones' is not there.",
        "There is no microphone and no speaker here; plug one in, or start the sound server.",
        "Microphone: USB Headset. Speaker: USB Headphones.",
    ]


@in_virtual_time
async def test_a_choice_takes_effect_while_it_runs() -> None:
    sound = MemorySound(ALL)
    async with running(sound) as listener:
        await asyncio.sleep(0.1)
        sound.choose(Choice("headset"))
        await asyncio.sleep(0.1)
    assert listener.news == [Playing(Setup(INTERNAL, SPEAKER)), Playing(Setup(HEADSET, SPEAKER))]


@in_virtual_time
async def test_without_a_microphone_silence_is_heard() -> None:
    sound = MemorySound(Devices((), (SPEAKER,)))
    sound.speak(ramp(RATE, 3))
    async with running(sound) as listener:
        await asyncio.sleep(0.1)
    assert not any(map(any, listener.heard))
    assert sound.played


@in_virtual_time
async def test_without_a_speaker_nothing_is_played() -> None:
    sound = MemorySound(Devices((INTERNAL,), ()))
    async with running(sound) as listener:
        await asyncio.sleep(0.1)
    assert listener.heard
    assert not sound.played


@in_virtual_time
async def test_a_server_that_dies_is_silent_for_half_a_second() -> None:
    sound = MemorySound()
    async with running(sound) as listener:
        await asyncio.sleep(0.095)
        sound.fail()
        await asyncio.sleep(1)
    assert [type(news) for news in listener.news] == [Playing, Silent, Playing]
    assert len(listener.heard) == 10 + 49


@in_virtual_time
async def test_no_device_to_begin_with_is_an_error() -> None:
    with pytest.raises(DeviceMissing):
        await MemorySound(Devices()).run(lambda heard: heard, lambda news: None)


@in_virtual_time
async def test_an_error_of_the_listener_is_raised() -> None:
    def wrong(heard: Pcm) -> Pcm:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await MemorySound().run(wrong, lambda news: None)


@in_virtual_time
async def test_the_microphone_hears_the_speaker_when_there_is_an_echo() -> None:
    sound = MemorySound(echo=1.0)
    async with running(sound) as listener:
        await asyncio.sleep(0.05)
    assert [piece[0] for piece in listener.heard[:3]] == [0, 7, 7]


def test_the_libraries_are_loaded_when_sound_is_asked_for_and_not_before() -> None:
    code = "import sys, tincan.audio.system, tincan.audio.echo, tincan.audio.opus; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert {"miniaudio", "_miniaudio", "sounddevice", "cffi", "numpy", "av"} & set(done.stdout.split()) == set()


def test_more_than_a_minute_does_not_wait_to_be_spoken() -> None:
    sound = MemorySound()
    sound.speak(silence(60 * RATE))
    with pytest.raises(ValueError):
        sound.speak(silence(1))
