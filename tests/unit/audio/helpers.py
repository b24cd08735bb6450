"""A speaker, a network that misbehaves the same way each time, and a listener, in time that is only counted."""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from operator import sub
from random import Random

from tincan.audio.decoder import Decoder
from tincan.audio.pcm import FRAME, RATE, TICK, Pcm
from tincan.audio.playout import Playout
from tincan.audio.red import Block
from tincan.audio.tones import AMPLITUDE, ToneDecoder, tone_number, tone_payload

Delay = Callable[[Random, float], float]
"""What the network adds to a packet sent at a time, in seconds."""


def even(spread: float) -> Delay:
    """Up to so many seconds, all equally likely."""
    return lambda rng, at: rng.uniform(0, spread)


def bell(sigma: float) -> Delay:
    """So many seconds of standard deviation, never less than none."""
    return lambda rng, at: max(0.0, rng.gauss(3 * sigma, sigma))


@dataclass(frozen=True)
class Path:
    """A network. ``lost`` and ``delay`` are asked for each packet."""

    loss: float = 0.0
    delay: Delay = lambda rng, at: 0.0
    lost: Callable[[int, float], bool] = lambda number, at: False
    copies: bool = False
    """Whether the sender adds each frame to the next packet once more."""
    drift: float = 0.0
    """How much faster the sender's clock is, in millionths."""
    spoken: Callable[[int], bool] = lambda number: True
    """Which frames are sent at all; for the others the sender's voice activity found silence."""
    first_sequence: int = 65_000
    first_timestamp: int = 2**32 - 100_000
    """Both wrap soon."""


@dataclass(frozen=True)
class Sent:
    """A packet on its way. ``at``: when it was sent."""

    number: int
    sequence: int
    timestamp: int
    at: float
    copies: tuple[Block, ...] = ()


def packets(path: Path, seconds: float, seed: int) -> Iterator[tuple[float, Sent]]:
    """The packets that arrive, with when, in that order."""
    rng = Random(seed)
    waiting: list[tuple[float, int, Sent]] = []
    sequence = path.first_sequence
    period = FRAME / RATE / (1 + path.drift / 1e6)
    for number in range(int(seconds / period)):
        at = 1.0 + number * period
        while waiting and waiting[0][0] <= at:
            yield waiting[0][0], heapq.heappop(waiting)[2]
        if not path.spoken(number):
            continue
        sequence += 1
        copies = (
            (Block(111, FRAME, tone_payload(number - 1)),)
            if path.copies and number and path.spoken(number - 1)
            else ()
        )
        sent = Sent(number, sequence & 0xFFFF, (path.first_timestamp + number * FRAME) & 0xFFFFFFFF, at, copies)
        arrives = at + path.delay(rng, at)
        if rng.random() >= path.loss and not path.lost(number, at):
            heapq.heappush(waiting, (arrives, number, sent))
    while waiting:
        yield waiting[0][0], heapq.heappop(waiting)[2]


@dataclass
class Heard:
    """What a listener heard."""

    playout: Playout
    delays: list[float] = field(default_factory=list)
    """Milliseconds of the playout's own delay, once a second."""
    steepest: int = 0
    """The largest difference of two samples that follow each other."""
    steepest_at: float = 0.0
    pulls: int = 0
    sound: Pcm = field(default_factory=lambda: array("h"))
    """All of it, if it was to be kept."""


def listen(
    arriving: Iterable[tuple[float, Sent]],
    decoder: Decoder,
    *,
    seconds: float,
    keep: bool = False,
    phase: float = 0.003,
) -> Heard:
    """Give the packets to a playout as they arrive, and pull every 10 ms."""
    heard = Heard(Playout(decoder, Random(1)))
    playout = heard.playout
    coming = iter(arriving)
    following = next(coming, None)
    last = 0
    inner = lru_cache(2000)(_steepest)  # a tone repeats itself: an hour has few pieces that are new
    for pull in range(int((seconds + 1) * 100)):
        now = phase + pull * TICK / RATE
        while following is not None and following[0] <= now:
            at, sent = following
            playout.receive(sent.sequence, sent.timestamp, tone_payload(sent.number), sent.copies, now=at)
            following = next(coming, None)
        pcm = playout.pull(now)
        assert len(pcm) == TICK
        heard.pulls += 1
        step = max(abs(pcm[0] - last), inner(pcm.tobytes()))
        last = pcm[-1]
        if step > heard.steepest:
            heard.steepest, heard.steepest_at = step, now
        if keep:
            heard.sound.extend(pcm)
        if pull % 100 == 0:
            heard.delays.append(playout.statistics().current_ms)
    return heard


def _steepest(piece: bytes) -> int:
    """The largest difference of two samples within a piece."""
    pcm = array("h", piece)
    return max(map(abs, map(sub, pcm[1:], pcm)))


class NumberDecoder:
    """A `Decoder` whose sound is the number of the frame, so that it shows when each is heard."""

    def __init__(self) -> None:
        self._last = 0

    def decode(self, payload: bytes, /) -> Pcm:
        return self._of(tone_number(payload))

    def decode_fec(self, next_payload: bytes, /) -> Pcm:
        return self._of(tone_number(next_payload) - 1)

    def conceal(self) -> Pcm:
        return self._of(self._last)

    def _of(self, number: int) -> Pcm:
        self._last = number
        return array("h", [number + 100]) * FRAME


def first_heard(sound: Pcm) -> dict[int, float]:
    """When each frame of a `NumberDecoder` begins."""
    found: dict[int, float] = {}
    for place, (before, sample) in enumerate(pairwise(sound), 1):
        if sample != before and sample >= 100:
            found.setdefault(sample - 100, place / RATE)
    return found


def mouth_to_ear(path: Path, seconds: float = 30.0, seed: int = 5, phase: float = 0.003) -> list[float]:
    """Milliseconds from each frame's sending to its first sample, on a network without delay of its own."""
    heard = listen(packets(path, seconds, seed), NumberDecoder(), seconds=seconds, keep=True, phase=phase)
    began = {sent.number: sent.at for _, sent in packets(path, seconds, seed)}
    starts = first_heard(heard.sound)
    return sorted(
        1000 * (starts[number] + phase - at) for number, at in began.items() if at > 4.0 and number in starts
    )


def share(values: list[float], part: float) -> float:
    """The value that this part of the sorted values is not above."""
    return values[int(part * (len(values) - 1))]


TONE_STEP = 340
"""The steepest a tone of 250 Hz with this amplitude is, and a little."""

CLICK = AMPLITUDE // 8
"""A tone that stops or jumps somewhere has a larger step; comfort noise has none as large."""


def hear(path: Path, seconds: float = 30.0, seed: int = 5, decoder: ToneDecoder | None = None) -> Heard:
    return listen(packets(path, seconds, seed), decoder or ToneDecoder(), seconds=seconds)
