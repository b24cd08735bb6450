"""Opus, by calling libopus itself: 48 kHz, mono, 16 bit, sent in frames of 20 ms.

The library is the one that comes inside the wheel of PyAV, which is installed
anyway; PyAV's own interface has no decoding of in-band FEC and no DTX. PyAV is
not imported for this: the file is found among the wheel's files, and loading it
alone takes a few milliseconds. Where PyAV was built against the system, the
system's libopus is taken.

Encoder and decoder may be used in the thread of the sound device. Each belongs
to one thread at a time; only `Encoder.settings` may be set from another one,
and takes effect with the next frame. Payloads are hostile: nothing is handed to
the library before its length was looked at, and what comes out is as long as
the caller knew before (`duration`), or an `OpusError`.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import re
import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from typing import Any

from tincan.audio.pcm import FRAME, LONGEST, RATE, Pcm, silence
from tincan.errors import DeviceMissing, TinCanError

MAX_PAYLOAD = 1500
"""Bytes of the longest payload that is looked at. One of ours has at most 1276; no datagram brings more than this."""

SHORTEST = RATE // 400
"""Samples in 2.5 ms, the step of all lengths in Opus."""

LOWEST_BITRATE, HIGHEST_BITRATE = 6_000, 256_000

_VOIP = 2048  # OPUS_APPLICATION_VOIP
_SET_BITRATE, _SET_COMPLEXITY, _SET_INBAND_FEC, _SET_PACKET_LOSS_PERC, _SET_DTX = 4002, 4010, 4012, 4014, 4016
_SET_MAX_BANDWIDTH, _WIDEBAND, _FULLBAND = 4004, 1103, 1105
_SET_SIGNAL, _SIGNAL_VOICE = 4024, 3001
_BAD_ARG, _INVALID_PACKET = -1, -4

_FILE = re.compile(r"(lib)?opus(-0)?(-[0-9a-f]+)?(\.so[.0-9]*|(\.\d+)*\.dylib|\.dll)")
"""Its name in a wheel: ``libopus-114e2b1a.so.0.11.1``, ``libopus.0.dylib``, ``libopus-0-278e2dd2.dll``."""


class OpusError(TinCanError):
    """The codec refused something, for the most part a damaged payload. ``code``: what libopus said."""

    exit_code = 8

    def __init__(self, code: int, doing: str) -> None:
        self.code = code
        super().__init__(f"Opus could not {doing} (error {code}).")


@dataclass(frozen=True)
class Settings:
    """How to encode.

    ``expected_loss``: the part of packets that will not arrive; FEC grows with
    it. ``wideband``: nothing above 8 kHz is sent, so the bits go where words
    are (at 32 kbit/s PESQ 4.2 instead of 3.8). That it is a voice is always said,
    as the library's own guess swings at high bitrates (at 64 kbit/s PESQ 4.3
    instead of 3.8).
    """

    bitrate: int = 32_000
    fec: bool = True
    expected_loss: float = 0.0
    dtx: bool = False
    complexity: int = 9
    wideband: bool = False

    def __post_init__(self) -> None:
        if not LOWEST_BITRATE <= self.bitrate <= HIGHEST_BITRATE:
            raise ValueError(f"a bitrate is {LOWEST_BITRATE} to {HIGHEST_BITRATE} bit/s")
        if not 0 <= self.expected_loss <= 1:
            raise ValueError("the expected loss is a part, 0 to 1")
        if not 0 <= self.complexity <= 10:
            raise ValueError("the complexity is 0 to 10")

    def controls(self) -> list[tuple[int, int]]:
        """Return the requests to the library and their values."""
        return [
            (_SET_BITRATE, self.bitrate),
            (_SET_INBAND_FEC, int(self.fec)),
            (_SET_PACKET_LOSS_PERC, round(100 * self.expected_loss)),
            (_SET_DTX, int(self.dtx)),
            (_SET_COMPLEXITY, self.complexity),
            (_SET_SIGNAL, _SIGNAL_VOICE),
            (_SET_MAX_BANDWIDTH, _WIDEBAND if self.wideband else _FULLBAND),
        ]


class Encoder:
    """Turns frames of sound into payloads."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._lib = library()
        problem = ctypes.c_int(0)
        self._state = self._lib.opus_encoder_create(RATE, 1, _VOIP, ctypes.byref(problem))
        _check(problem.value, "begin to encode")
        _freed_with(self, self._lib.opus_encoder_destroy, self._state)
        self._out = ctypes.create_string_buffer(MAX_PAYLOAD)
        self._in_use: Settings | None = None
        self.settings = settings or Settings()

    def encode(self, frame: Pcm) -> bytes:
        """Return the payload of 20 ms of sound.

        With DTX a payload of one or two bytes stands for silence, and need
        not be sent.
        """
        if len(frame) != FRAME:
            raise ValueError(f"a frame has {FRAME} samples")
        wanted = self.settings
        if wanted is not self._in_use:
            for request, value in wanted.controls():
                _check(self._lib.opus_encoder_ctl(self._state, request, ctypes.c_int(value)), "change its settings")
            self._in_use = wanted
        length = self._lib.opus_encode(self._state, _address(frame), FRAME, self._out, MAX_PAYLOAD)
        return ctypes.string_at(self._out, _check(length, "encode a frame"))


class Decoder:
    """Turns payloads into sound, and makes up what is missing."""

    def __init__(self) -> None:
        self._lib = library()
        problem = ctypes.c_int(0)
        self._state = self._lib.opus_decoder_create(RATE, 1, ctypes.byref(problem))
        _check(problem.value, "begin to decode")
        _freed_with(self, self._lib.opus_decoder_destroy, self._state)

    def decode(self, payload: bytes) -> Pcm:
        """Return the sound of a payload, `duration` samples; raise `OpusError` when it is damaged."""
        return self._decode(payload, duration(payload), fec=False)

    def decode_fec(self, following: bytes, samples: int = FRAME) -> Pcm:
        """Return the sound that was lost just before the payload ``following``, from the copy in that.

        Without such a copy the library makes it up, as `conceal` does.
        """
        duration(following)
        return self._decode(following, samples, fec=True)

    def conceal(self, samples: int = FRAME) -> Pcm:
        """Return sound made up from what was before, fading away when called again and again."""
        return self._decode(None, samples, fec=False)

    def _decode(self, payload: bytes | None, samples: int, *, fec: bool) -> Pcm:
        if not SHORTEST <= samples <= LONGEST or samples % SHORTEST:
            raise ValueError(f"sound is decoded in steps of {SHORTEST} samples, up to {LONGEST}")
        sound = silence(samples)
        length = 0 if payload is None else len(payload)
        done = self._lib.opus_decode(self._state, payload, length, _address(sound), samples, int(fec))
        if _check(done, "decode a payload") != samples:
            raise OpusError(_INVALID_PACKET, "find all of a payload")
        return sound


def duration(payload: bytes) -> int:
    """Return how many samples a payload holds; raise `OpusError` when it cannot be one."""
    if not 0 < len(payload) <= MAX_PAYLOAD:
        raise OpusError(_BAD_ARG, "take a payload of this length")
    samples = _check(library().opus_packet_get_nb_samples(payload, len(payload), RATE), "read a payload")
    if not samples:  # a packet may count its frames and say none, which libopus leaves to others to refuse
        raise OpusError(_INVALID_PACKET, "find sound in a payload")
    return samples


def version() -> str:
    """Return what the library calls itself."""
    return str(library().opus_get_version_string().decode("ascii", "replace"))


@cache
def library() -> ctypes.CDLL:
    """Return libopus, loaded; raise `DeviceMissing` when this installation has none."""
    return load(installed_files())


def load(files: Iterable[str]) -> ctypes.CDLL:
    """Load the first of these that is libopus and made for this processor."""
    for file in files:
        try:
            return _declared(ctypes.CDLL(file))
        except (OSError, AttributeError):
            continue
    raise DeviceMissing("The Opus codec for voice is not there; install it with: pip install --force-reinstall av")


def installed_files() -> Iterator[str]:
    """Where libopus may be, best first."""
    try:
        packed = metadata.files("av") or []
    except metadata.PackageNotFoundError:
        packed = []
    yield from (os.fspath(file.locate()) for file in packed if is_library(file.name))
    if system := ctypes.util.find_library("opus"):  # asks a program, so only when it must
        yield system


def is_library(name: str) -> bool:
    """Whether a file of this name is libopus."""
    return _FILE.fullmatch(name) is not None


def _declared(lib: ctypes.CDLL) -> ctypes.CDLL:
    """Tell ctypes what the functions take."""
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    int32, problem = ctypes.c_int32, ctypes.POINTER(ctypes.c_int)
    taken = {
        "opus_encoder_create": (pointer, [int32, integer, integer, problem]),
        "opus_encoder_destroy": (None, [pointer]),
        "opus_encode": (int32, [pointer, pointer, integer, ctypes.c_char_p, int32]),
        # Variadic: only the fixed arguments are declared, so that ctypes passes the others where this platform
        # looks for them (the stack on Apple's ARM, a register elsewhere).
        "opus_encoder_ctl": (integer, [pointer, integer]),
        "opus_decoder_create": (pointer, [int32, integer, problem]),
        "opus_decoder_destroy": (None, [pointer]),
        "opus_decode": (integer, [pointer, ctypes.c_char_p, int32, pointer, integer, integer]),
        "opus_packet_get_nb_samples": (integer, [ctypes.c_char_p, int32, int32]),
        "opus_get_version_string": (ctypes.c_char_p, []),
    }
    for name, (returned, arguments) in taken.items():
        function = getattr(lib, name)
        function.restype, function.argtypes = returned, arguments
    return lib


def _freed_with(owner: object, destroy: Any, state: int) -> None:
    """Free what the library holds when its owner goes.

    Not at the end of the program: a device that hangs may still call its owner then.
    """
    weakref.finalize(owner, destroy, state).atexit = False


def _address(sound: Pcm) -> int:
    """Where the samples are. The array must live, and keep its length, while the library uses this."""
    return sound.buffer_info()[0]


def _check(result: int, doing: str) -> int:
    """Turn an error of the library into ours."""
    if result < 0:
        raise OpusError(result, doing)
    return result
