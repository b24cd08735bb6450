"""Taking the loudspeaker out of the microphone, and noise with it.

Without this, a peer at a loudspeaker hears himself some 100 ms later. With a
headset there is no echo, and the canceller only does harm to the voice (it
guesses that the peer's words, spoken at the same time, were echo); so
`wanted_for` says whether to use it to begin with, and the user has a switch.

Two libraries can do it, and neither has to be there:

* pywebrtc-audio (``pip install 'tin-can[echo]'``; needs numpy): the canceller
  of web browsers, AEC3, with noise suppression. It finds the delay between
  loudspeaker and microphone by itself.
* pyaec: speexdsp, small and without dependencies. It takes away far less.

Both are asked at 48 kHz, 10 ms at a time, in the thread of the sound device.
They are looked for without being imported: numpy takes a tenth of a second.
"""

from __future__ import annotations

import enum
import re
from array import array
from importlib.util import find_spec
from typing import Any, Protocol

from tincan.audio.devices import Setup
from tincan.audio.pcm import MS, RATE, TICK, Pcm
from tincan.errors import DeviceMissing

NOISE_LEVEL = 1
"""Of 0 to 3: takes away 12 dB of steady noise. More makes voices sound hollow."""

SPEEX_TAIL = 100 * MS
"""Samples after which speexdsp no longer looks for an echo. Its work grows with this."""

_HEADSET = re.compile(r"head(set|phone)|ear(phone|bud|piece)|airpods|buds|hands-?free", re.IGNORECASE)


class Method(enum.Enum):
    """Who takes the echo away; the better one first."""

    AEC3 = "aec3"
    SPEEX = "speexdsp"


class EchoCanceller(Protocol):
    """One conversation's canceller. It learns, so it sees every period in order."""

    def clean(self, heard: Pcm, played: Pcm) -> Pcm:
        """Return ``heard`` without what the loudspeaker gave; ``played``: what it was last told to give.

        Both have `TICK` samples, and so has what is returned.
        """


_MODULES = {Method.AEC3: "pywebrtc_audio", Method.SPEEX: "pyaec"}


def available() -> Method | None:
    """Return the best method that is installed here."""
    return next((method for method, module in _MODULES.items() if find_spec(module) is not None), None)


def wanted_for(setup: Setup) -> bool:
    """Whether these devices make an echo: a microphone and a loudspeaker that is not at an ear, by its name."""
    if setup.microphone is None or setup.speaker is None:
        return False
    return not _HEADSET.search(setup.speaker.name)


def make(method: Method | None = None, *, cancelling: bool = True, noise_suppression: bool = True) -> EchoCanceller:
    """Return a fresh canceller; raise `DeviceMissing` when there is none. Without a method: the best one here.

    Not ``cancelling``: it suppresses noise only, which speexdsp cannot do alone.
    """
    chosen = method or available()
    if chosen is None:
        raise DeviceMissing("No echo canceller is installed; use a headset, or: pip install 'tin-can[echo]'")
    if chosen is Method.SPEEX and not cancelling:
        raise DeviceMissing("Suppressing noise alone needs another library: pip install 'tin-can[echo]'")
    try:
        return _Aec3(cancelling, noise_suppression) if chosen is Method.AEC3 else _Speex(noise_suppression)
    except Exception as exc:  # numpy of another version, a missing library: the call goes on without, whatever it is
        raise DeviceMissing(f"The echo canceller {chosen.value} does not load here; use a headset.") from exc


class _Aec3:
    def __init__(self, cancelling: bool, noise_suppression: bool) -> None:
        import numpy
        from pywebrtc_audio import AudioProcessor

        self._numpy = numpy
        self._processor = AudioProcessor(
            sample_rate=RATE,
            echo_cancellation=cancelling,
            noise_suppression=noise_suppression,
            ns_level=NOISE_LEVEL,
        )

    def clean(self, heard: Pcm, played: Pcm) -> Pcm:
        """See `EchoCanceller.clean`."""
        near, far = (self._numpy.frombuffer(_period(pcm), dtype=self._numpy.int16) for pcm in (heard, played))
        return array("h", self._processor.process(near, far).tobytes())


class _Speex:
    def __init__(self, noise_suppression: bool) -> None:
        import pyaec

        self._canceller: Any = pyaec.Aec(TICK, SPEEX_TAIL, RATE, noise_suppression)

    def clean(self, heard: Pcm, played: Pcm) -> Pcm:
        """See `EchoCanceller.clean`."""
        return array("h", self._canceller.cancel_echo(_period(heard), _period(played)))


def _period(pcm: Pcm) -> Pcm:
    if len(pcm) != TICK:
        raise ValueError(f"a period has {TICK} samples")
    return pcm
