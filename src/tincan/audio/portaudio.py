"""The real microphone and loudspeaker by sounddevice, where there is no miniaudio: the only module that knows it.

It needs PortAudio, which on Linux comes with the system. What it cannot do
decides what is done here:

* PortAudio looks for devices when it is initialized, and never again; so it is
  initialized anew whenever no line is open. What is plugged in meanwhile is
  taken up by the sound server, which is the device called ``default``.
* While it looks, ALSA and JACK print on file descriptor 2, on which a screen
  draws. sounddevice diverts that descriptor, and what the screen draws with it.
  So the two are told to be quiet, and PortAudio is initialized before
  sounddevice does so, which then has nothing to look for.

Everything here blocks; `tincan.audio.system` calls it from threads.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import threading
from array import array
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from tincan.audio.devices import NO_DEVICE, Device, Devices, Setup
from tincan.audio.library import BUSY, NO_VOICE, PERIOD_MS, Library, SoundFailed, hush
from tincan.audio.pcm import RATE, TICK, Pcm, silence
from tincan.audio.periods import Periods
from tincan.errors import DeviceMissing

NO_PORTAUDIO: Final = "Voice needs PortAudio here; install it from your system: libportaudio2, or portaudio."

_SERVERS: Final = ("default", "pulse", "pipewire")
"""Devices of ALSA that are a sound server; of the others only those of hardware are real."""

_turn = threading.RLock()  # PortAudio is not made for several threads
_lines: set[Line] = set()


class Line:
    """See `tincan.audio.library.Line`."""

    def __init__(self, setup: Setup, periods: Periods) -> None:
        self.periods = periods
        self._setup = setup
        self._streams: list[Any] = []
        self._closed = False

    def open(self) -> None:
        """See `Line.open`."""
        library = load()
        with _turn:
            if self._closed:
                return
            _lines.add(self)
            try:
                self._begin(library)
            except (library.PortAudioError, ValueError) as exc:
                self._end()
                raise SoundFailed(BUSY) from exc

    def close(self) -> None:
        """See `Line.close`."""
        self.periods.end()
        with _turn:
            self._closed = True
            self._end()

    def _begin(self, library: Any) -> None:
        microphone, speaker = self._setup.microphone, self._setup.speaker
        if microphone is None and speaker is None:
            raise SoundFailed(NO_DEVICE)
        if microphone is not None:
            self._start(library.RawInputStream, _number(library, microphone), self._hear(alone=speaker is None))
        if speaker is not None:
            self._start(library.RawOutputStream, _number(library, speaker), self._play(alone=microphone is None))

    def _start(self, kind: Any, number: int, feed: Callable[..., None]) -> None:
        form = {"samplerate": RATE, "blocksize": TICK, "latency": PERIOD_MS / 1000, "channels": 1, "dtype": "int16"}
        stream = kind(device=number, callback=feed, **form)
        self._streams.append(stream)
        stream.start()

    def _end(self) -> None:
        for stream in self._streams:
            stream.abort(ignore_errors=True)
            stream.close(ignore_errors=True)
        self._streams.clear()
        _lines.discard(self)

    def _hear(self, *, alone: bool) -> Callable[..., None]:
        """Return the callback of the microphone. ``alone``: what would be played is thrown away."""

        def hear(data: Any, *_: object) -> None:
            heard: Pcm = array("h")
            heard.frombytes(bytes(data))
            self.periods.heard(heard)
            if alone:
                self.periods.played(len(heard))

        return hear

    def _play(self, *, alone: bool) -> Callable[..., None]:
        """Return the callback of the loudspeaker. ``alone``: silence is heard."""

        def play(data: Any, samples: int, *_: object) -> None:
            if alone:
                self.periods.heard(silence(samples))
            data[:] = self.periods.played(samples).tobytes()

        return play


def list_devices() -> Devices:
    """Return what is there; while a line is open, what was there before."""
    library = load()
    with _turn:
        if not _lines:
            _look_anew(library)
        for system in library.query_hostapis():
            if system["devices"]:
                return _listed(library, system)
    return Devices()


def _listed(library: Any, system: Any) -> Devices:
    about = {number: library.query_devices(number) for number in system["devices"]}
    if system["name"] == "ALSA":
        about = {number: it for number, it in about.items() if it["name"] in _SERVERS or "(hw:" in it["name"]}

    def made(way: str) -> tuple[Device, ...]:
        usual = system[f"default_{way}_device"]
        names = {number: it["name"] for number, it in about.items() if it[f"max_{way}_channels"] > 0}
        return tuple(Device(name.encode(), name, number == usual) for number, name in names.items())

    return Devices(made("input"), made("output"))


def _number(library: Any, device: Device) -> int:
    """Return how PortAudio calls a device now; raise `ValueError` when it is gone."""
    return [about["name"].encode() for about in library.query_devices()].index(device.key)


def _look_anew(library: Any) -> None:
    """Initialize PortAudio once more: twice each, as we have done so and sounddevice as well."""
    for step in ("Pa_Terminate", "Pa_Terminate", "Pa_Initialize", "Pa_Initialize"):
        getattr(library._lib, step)()


@cache
def load() -> Any:
    """Return the library; raise `DeviceMissing` where there is none."""
    hush("libasound.so.2", "snd_lib_error_set_handler")
    hush("libjack.so.0", "jack_set_error_function")
    hush("libjack.so.0", "jack_set_info_function")
    if name := ctypes.util.find_library("portaudio"):
        ctypes.CDLL(name).Pa_Initialize()
    try:
        import sounddevice
    except ImportError as exc:
        raise DeviceMissing(NO_VOICE) from exc
    except OSError as exc:
        raise DeviceMissing(NO_PORTAUDIO) from exc
    return sounddevice


LIBRARY = Library(list_devices, Line)
