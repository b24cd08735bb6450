"""What is played into a sound room, and how it is told when it came out again."""

from __future__ import annotations

import math
import subprocess
from array import array
from operator import mul

from lab.soundroom import RATE

CHIRP_SECONDS = 0.05


def chirp() -> array[int]:
    """A short glide from 300 to 3000 Hz, fading in and out: found again exactly, whatever is around it."""
    count = int(CHIRP_SECONDS * RATE)
    sound = array("h")
    for n in range(count):
        t = n / RATE
        phase = 2 * math.pi * (300 * t + (3000 - 300) / CHIRP_SECONDS * t * t / 2)
        sound.append(int(20_000 * math.sin(phase) * math.sin(math.pi * n / count) ** 2))
    return sound


def chirps(count: int, every: float) -> array[int]:
    """A chirp every so many seconds, the first after one such pause."""
    one = chirp()
    pause = array("h", bytes(2 * (int(every * RATE) - len(one))))
    sound = array("h")
    for _ in range(count):
        sound += pause + one
    return sound


def arrivals(sound: array[int]) -> list[float]:
    """Return the second at which each chirp begins, by correlation: coarse first, then to the sample."""
    coarse = 8
    pattern, thin = chirp(), chirp()[::coarse]
    heard = sound[::coarse]
    scores = _scores(thin, heard)
    best = max(scores, default=0.0)
    found: list[float] = []
    n = 0
    reach = len(thin)
    while best > 0 and n < len(scores):
        if scores[n] < 0.4 * best:
            n += 1
            continue
        peak = max(range(n, min(n + reach, len(scores))), key=scores.__getitem__)
        near = range(max(0, (peak - 2) * coarse), min((peak + 3) * coarse, len(sound) - len(pattern)))
        if near:
            at = max(near, key=lambda start: sum(map(mul, pattern, sound[start : start + len(pattern)])))
            found.append(at / RATE)
        n = peak + 2 * reach
    return found


def _scores(pattern: array[int], heard: array[int]) -> list[float]:
    return [sum(map(mul, pattern, heard[n : n + len(pattern)])) for n in range(max(0, len(heard) - len(pattern)))]


def delays(early: array[int], late: array[int], longest: float = 0.5) -> list[float]:
    """Return for each chirp in the one how many seconds later it came in the other."""
    second = arrivals(late)
    return [
        min(after)
        for began in arrivals(early)
        if (after := [at - began for at in second if 0 <= at - began < longest])
    ]


def speech(words: str) -> array[int]:
    """Let espeak-ng say something; 48 kHz, mono."""
    done = subprocess.run(["espeak-ng", "--stdout", "-v", "en", words], capture_output=True, timeout=60, check=True)
    spoken = array("h")
    spoken.frombytes(done.stdout[44 : 44 + (len(done.stdout) - 44) // 2 * 2])  # a WAV file of 22 050 Hz
    step = 22_050 / RATE
    return array("h", (_between(spoken, n * step) for n in range(int((len(spoken) - 1) / step))))


def _between(sound: array[int], at: float) -> int:
    n = int(at)
    return int(sound[n] + (sound[n + 1] - sound[n]) * (at - n))
