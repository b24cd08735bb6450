"""Echo: the loudspeaker goes, the voice stays, and a headset is left alone."""

from __future__ import annotations

import random
import subprocess
import sys
from array import array
from types import ModuleType

import pytest

from tincan.audio import echo
from tincan.audio.devices import Device, Setup
from tincan.audio.echo import Method, make
from tincan.audio.pcm import RATE, TICK, Pcm, loudness, silence
from tincan.errors import DeviceMissing

pytest.importorskip("pywebrtc_audio")
pytest.importorskip("pyaec")

DELAY = 4
"""Periods from the loudspeaker to the microphone."""

BOTH = pytest.mark.parametrize("method", Method)


def babble(seconds: float, seed: int) -> list[Pcm]:
    """Noise in syllables, low like a voice: steady noise would be taken for what it is."""
    chance = random.Random(seed)
    pieces, low = [], 0.0
    for n in range(int(seconds * RATE / TICK)):
        gain = 9000 if (n // 12) % 3 else 300
        piece = array("h")
        for _ in range(TICK):
            low += 0.2 * (chance.uniform(-gain, gain) - low)
            piece.append(int(low))
        pieces.append(piece)
    return pieces


def echoed(played: list[Pcm]) -> list[Pcm]:
    late = [silence(TICK)] * DELAY + played
    return [array("h", (value // 2 for value in piece)) for piece in late[: len(played)]]


@BOTH
def test_the_loudspeaker_is_taken_out_of_the_microphone(method: Method) -> None:
    canceller = echo.make(method)
    played = babble(4, seed=1)
    heard = echoed(played)
    cleaned = [canceller.clean(*both) for both in zip(heard, played, strict=True)]
    assert all(len(piece) == TICK for piece in cleaned)
    before, after = (sum(map(loudness, pieces[-100:])) for pieces in (heard, cleaned))
    assert after < before / 3  # about 10 dB at least


@BOTH
def test_a_voice_alone_stays(method: Method) -> None:
    canceller = echo.make(method, noise_suppression=False)
    voice = babble(3, seed=2)
    cleaned = [canceller.clean(piece, silence(TICK)) for piece in voice]
    before, after = (sum(map(loudness, pieces[-100:])) for pieces in (voice, cleaned))
    assert after > before / 3


@BOTH
def test_a_period_of_another_length_is_refused(method: Method) -> None:
    canceller = echo.make(method)
    with pytest.raises(ValueError):
        canceller.clean(silence(TICK), silence(TICK - 1))


def test_the_better_one_is_taken() -> None:
    assert echo.available() is Method.AEC3


def test_looking_for_one_imports_none() -> None:
    code = "import sys; from tincan.audio import echo; echo.available(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=240, check=True)
    assert {"numpy", "pywebrtc_audio", "pyaec"} & set(done.stdout.split()) == set()


@pytest.mark.parametrize(
    ("speaker", "wanted"),
    [
        ("Built-in Audio Analog Stereo", True),
        ("HDMI 1", True),
        ("USB Headset", False),
        ("Headphones (Realtek)", False),
        ("Anna's AirPods Pro", False),
        ("Galaxy Buds2", False),
        ("Car Hands-Free", False),
        (None, False),
    ],
)
def test_only_a_loudspeaker_makes_an_echo(speaker: str | None, wanted: bool) -> None:
    device = None if speaker is None else Device(b"s", speaker)
    assert echo.wanted_for(Setup(Device(b"m", "Microphone"), device)) is wanted


def test_without_a_microphone_there_is_no_echo() -> None:
    assert not echo.wanted_for(Setup(None, Device(b"s", "Built-in")))


def test_a_canceller_that_does_not_load_is_told_whatever_it_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ModuleType("pyaec")
    broken.Aec = lambda *_: 1 // 0  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyaec", broken)
    with pytest.raises(DeviceMissing, match="does not load here"):
        make(Method.SPEEX)
