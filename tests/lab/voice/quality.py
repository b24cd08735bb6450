"""How what was heard at one end compares with what was said at the other.

Both were recorded on one clock (`lab.soundroom`). `pesq` is there where the
package of this name is installed; it is built from C, so the tests do without.
"""

from __future__ import annotations

import importlib
import itertools
import statistics
from array import array

import numpy as np
from numpy.typing import NDArray

from lab.signals import CHIRP_SECONDS, chirp
from lab.soundroom import RATE

Wave = NDArray[np.float64]

LONGEST = 2.0
"""Seconds that a voice may take from end to end and still be found."""

BEFORE_THE_NEXT = 0.5
"""Seconds in which a chirp is looked for; they are said at longer intervals."""

BANDS = (200, 300, 450, 650, 900, 1300, 1800, 2500, 3500)
"""Hertz between the bands in which two voices are compared."""

_FRAME = RATE // 50


def wave(sound: array[int]) -> Wave:
    """Return samples as numbers from -1 to 1."""
    return np.frombuffer(sound.tobytes(), dtype=np.int16).astype(np.float64) / 32768


def level(sound: Wave) -> float:
    """Return how loud something is on average, in dB below the loudest; -127 is nothing at all."""
    power = float(np.mean(sound**2)) if len(sound) else 0.0
    return max(-127.0, 10 * float(np.log10(power))) if power > 0 else -127.0


def voice_begins(sound: Wave) -> float:
    """Return the second at which something is first heard."""
    loud = np.flatnonzero(np.abs(sound) > 0.02)
    return int(loud[0]) / RATE if len(loud) else 0.0


def lag(said: Wave, heard: Wave) -> float:
    """Return by how many seconds the one is like the other, but later."""
    size = 1 << (len(said) + len(heard)).bit_length()
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(said, size))
    score = np.fft.irfft(product, size)[: int(LONGEST * RATE)]
    return int(np.argmax(np.abs(score))) / RATE


def chirp_delays(said: Wave, heard: Wave) -> list[float]:
    """Return for each chirp that was said after how many seconds it was heard; those not heard are left out."""
    pattern = wave(chirp())
    length = int((CHIRP_SECONDS + BEFORE_THE_NEXT) * RATE)
    found = []
    for began in _places(said, pattern):
        piece = heard[began : began + length]
        if len(piece) == length:
            score = np.abs(np.correlate(piece, pattern, "valid"))
            at = int(np.argmax(score))
            if score[at] > 0.2 * float(np.dot(pattern, pattern)):
                found.append(at / RATE)
    return found


def _places(sound: Wave, pattern: Wave) -> list[int]:
    """Where a pattern occurs, unchanged."""
    size = 1 << (len(sound) + len(pattern)).bit_length()
    score = np.fft.irfft(np.fft.rfft(sound, size) * np.conj(np.fft.rfft(pattern, size)), size)[: len(sound)]
    enough = 0.7 * float(np.dot(pattern, pattern))
    places: list[int] = []
    for at in np.flatnonzero(score > enough):
        if places and at - places[-1] < len(pattern):
            if score[at] > score[places[-1]]:
                places[-1] = int(at)
        else:
            places.append(int(at))
    return places


def likeness(said: Wave, heard: Wave) -> float:
    """Return how much of what was said can be understood, 0 to 1, roughly: how alike loudness in each band moves.

    What came late is moved back as a whole, and then half a second at a time,
    as a playout may do. 1 is the same, above 0.8 every word is there, noise and other
    words come to less than 0.3.
    """
    late = round(lag(said, heard) * RATE)
    heard = heard[late:]
    size = min(len(said), len(heard))
    a, b = _bands(said[:size]), _bands(heard[:size])
    loud = a.max(axis=0) > a.max() - 4.0  # where nobody speaks there is nothing to compare
    if loud.sum() < 10:
        return 0.0
    scores = [_correlation(a[band][loud], b[band][loud]) for band in range(len(a))]
    return statistics.fmean(scores)


def _bands(sound: Wave) -> Wave:
    """The logarithm of the power in each band, every 20 ms."""
    frames = sound[: len(sound) // _FRAME * _FRAME].reshape(-1, _FRAME) * np.hanning(_FRAME)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    hertz = np.fft.rfftfreq(_FRAME, 1 / RATE)
    edges = list(itertools.pairwise(BANDS))
    rows = [power[:, (hertz >= low) & (hertz < high)].sum(axis=1) for low, high in edges]
    return np.log(np.array(rows) + 1e-4)


def _correlation(a: Wave, b: Wave) -> float:
    if a.std() < 1e-9 or b.std() < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def pesq_available() -> bool:
    """Whether there is what `pesq` needs."""
    try:
        importlib.import_module("pesq")
    except ImportError:
        return False
    return True


def pesq(said: Wave, heard: Wave) -> float:
    """Return the wide-band PESQ (ITU-T P.862.2) of what was heard: 1 is bad, 4.64 is the same."""
    scorer = importlib.import_module("pesq").pesq
    late = round(lag(said, heard) * RATE)
    heard = heard[late : late + len(said)]
    said = said[: len(heard)]
    return float(scorer(16_000, _at_16_khz(said), _at_16_khz(heard), "wb"))


def _at_16_khz(sound: Wave) -> Wave:
    """Every third sample, after what lies above 7.6 kHz is taken out."""
    taps = 97
    n = np.arange(taps) - taps // 2
    low_pass = np.sinc(2 * 7600 / RATE * n) * np.hamming(taps)
    filtered = np.convolve(sound, low_pass / low_pass.sum(), "same")
    return np.ascontiguousarray(filtered[::3])
