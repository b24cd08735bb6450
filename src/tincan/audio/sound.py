"""The real microphone and loudspeaker by miniaudio: the only module that knows that library.

The library is loaded when sound is first asked for. What it needs to be handled
with, all of it learnt by measuring:

* It calls back in a thread of its own; an error there would end the stream for
  good, so `Periods` lets none through.
* Its duplex stream holds the microphone's sound back until the loudspeaker asks
  (20 ms at the least, and more after each hitch). So there are two streams.
* It never closes the context (the connection to the sound server) that it opens
  for a stream. So a stream is given one of ours, which is closed with it.
* libasound writes on file descriptor 2 when there is no device. A screen draws
  on that same descriptor, so it is not diverted: libasound is told to be quiet.
* A monitor of a loudspeaker is listed as a microphone; taken for one, it would
  send the peer its own voice. ALSA's plugins are listed as well, among them
  ``null``, which asks for 300 000 periods a second.

Everything here blocks; `tincan.audio.system` calls it from threads.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from array import array
from collections.abc import Generator
from functools import cache
from typing import Any

from tincan.audio.devices import NO_DEVICE, Device, Devices, Setup
from tincan.audio.library import BUSY, NO_VOICE, PERIOD_MS, Library, SoundFailed, hush
from tincan.audio.pcm import RATE, Pcm, silence
from tincan.audio.periods import Periods
from tincan.errors import DeviceMissing

_BACKENDS = {
    "linux": ["PULSEAUDIO", "ALSA"],  # JACK would print, and PipeWire is reached by PulseAudio's protocol
    "darwin": ["COREAUDIO"],
    "win32": ["WASAPI", "DSOUND", "WINMM"],
}
"""What to ask, in this order. The library's own list ends with one that only pretends to play."""


class Line:
    """See `tincan.audio.library.Line`."""

    def __init__(self, setup: Setup, periods: Periods) -> None:
        self.periods = periods
        self._setup = setup
        self._streams: list[Any] = []
        self._context: Any = None
        self._closed = False
        self._turn = threading.Lock()

    def open(self) -> None:
        """See `Line.open`."""
        library = load()
        with self._turn:
            if self._closed:
                return
            try:
                self._begin(library)
            except library.MiniaudioError as exc:
                self._end(library)
                raise SoundFailed(BUSY) from exc

    def close(self) -> None:
        """See `Line.close`."""
        self.periods.end()
        with self._turn:
            self._closed = True
            self._end(load())

    def _begin(self, library: Any) -> None:
        microphone, speaker = self._setup.microphone, self._setup.speaker
        device = microphone or speaker
        if device is None:
            raise SoundFailed(NO_DEVICE)
        self._context = _open_context(library, device.key[0])
        if microphone is not None:
            self._start(library, library.CaptureDevice, microphone, self._hear(alone=speaker is None))
        if speaker is not None:
            self._start(library, library.PlaybackDevice, speaker, self._play(alone=microphone is None))

    def _start(self, library: Any, kind: Any, device: Device, feed: Generator[Pcm | None, Any, None]) -> None:
        ours = type("Stream", (kind,), {"_make_context": lambda *_: self._context})
        stream = ours(nchannels=1, sample_rate=RATE, buffersize_msec=PERIOD_MS, device_id=_id(library, device))
        self._streams.append(stream)
        next(feed)
        stream.start(feed)

    def _end(self, library: Any) -> None:
        for stream in self._streams:
            stream.close()
        if self._context is not None:
            library.lib.ma_context_uninit(self._context)
        self._streams.clear()
        self._context = None

    def _hear(self, *, alone: bool) -> Generator[Pcm | None, bytearray, None]:
        """The callback of the microphone. ``alone``: what would be played is thrown away."""
        while True:
            heard: Pcm = array("h")
            heard.frombytes((yield None))
            self.periods.heard(heard)
            if alone:
                self.periods.played(len(heard))

    def _play(self, *, alone: bool) -> Generator[Pcm | None, int, None]:
        """The callback of the loudspeaker. ``alone``: silence is heard."""
        played: Pcm | None = None
        while True:
            samples: int = yield played
            if alone:
                self.periods.heard(silence(samples))
            played = self.periods.played(samples)


def list_devices() -> Devices:
    """Return what is there."""
    library = load()
    for backend in _backends(library):
        with contextlib.suppress(library.MiniaudioError):
            context = _open_context(library, backend)
            try:
                return _listed(library, backend, context)
            finally:
                library.lib.ma_context_uninit(context)
    return Devices()


def _listed(library: Any, backend: int, context: Any) -> Devices:
    ffi = library.ffi
    speakers, microphones = ffi.new("ma_device_info **"), ffi.new("ma_device_info **")
    numbers = ffi.new("ma_uint32[2]")
    done = library.lib.ma_context_get_devices(context, speakers, numbers, microphones, numbers + 1)
    if done != library.lib.MA_SUCCESS:
        raise library.MiniaudioError("the devices are not told", done)
    heard = [_device(library, backend, microphones[0][n]) for n in range(numbers[1])]
    played = [_device(library, backend, speakers[0][n]) for n in range(numbers[0])]
    microphones, speakers = (tuple(one for one in some if _is_real(backend, one)) for some in (heard, played))
    return Devices(microphones, speakers)


def _open_context(library: Any, backend: int) -> Any:
    """Connect to a sound server, or get hold of the system's sound otherwise."""
    ffi, lib = library.ffi, library.lib
    name = ffi.new("char[]", b"tin-can")
    config = lib.ma_context_config_init()
    config.pulse.pApplicationName = config.jack.pClientName = name
    context = ffi.new("ma_context *")
    done = lib.ma_context_init(ffi.new("ma_backend[]", [backend]), 1, ffi.addressof(config), context)
    if done != lib.MA_SUCCESS:
        raise library.MiniaudioError("no sound here", done)
    return context


@cache
def load() -> Any:
    """Return the library; raise `DeviceMissing` where there is none."""
    try:
        import miniaudio
    except (ImportError, OSError) as exc:
        raise DeviceMissing(NO_VOICE) from exc
    if sys.platform == "linux":
        hush("libasound.so.2", "snd_lib_error_set_handler")
    return miniaudio


def _backends(library: Any) -> list[int]:
    wanted = [library.Backend[name] for name in _BACKENDS.get(sys.platform, ["SNDIO", "AUDIO4", "OSS"])]
    return [backend.value for backend in wanted if library.is_backend_enabled(backend)]


def _device(library: Any, backend: int, info: Any) -> Device:
    name = library.ffi.string(info.name).decode("utf-8", "replace")
    key = bytes([backend]) + bytes(library.ffi.buffer(library.ffi.addressof(info.id)))
    return Device(key, name, bool(info.isDefault))


def _id(library: Any, device: Device) -> Any:
    made = library.ffi.new("ma_device_id *")
    library.ffi.buffer(made)[:] = device.key[1:]
    return made


def _is_real(backend: int, device: Device) -> bool:
    """Whether sound goes through it: no monitor of PulseAudio's, no plugin of ALSA's (cards have a colon)."""
    name = device.key[1:].partition(b"\0")[0]
    if backend == load().Backend.ALSA.value:
        return name == b"default" or b":" in name
    return not name.endswith(b".monitor")


LIBRARY = Library(list_devices, Line)
