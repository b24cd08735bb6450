"""Two voices and the network between them, in virtual time."""

from __future__ import annotations

import heapq
import random
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from tincan.apps.call.protocol import Talk
from tincan.apps.call.voice import Voice
from tincan.audio.pcm import FRAME, TICK, Pcm, silence
from tincan.audio.rate import Rate
from tincan.audio.tones import ToneDecoder, tone_payload

ADA, BOB = 0x11111111, 0x22222222
LOUD: Pcm = array("h", [8000, -8000] * (TICK // 2))


class ToneEncoder:
    """Says the number of each frame; silence is one byte, as with DTX."""

    def __init__(self) -> None:
        self.rate: Rate | None = None
        self.frames = 0

    def encode(self, frame: Pcm) -> bytes:
        assert len(frame) == FRAME
        self.frames += 1
        return tone_payload(self.frames) if any(frame) else b"\x00"

    def adjust(self, rate: Rate) -> None:
        self.rate = rate


@dataclass
class End:
    """One of the two, and what it heard of the other one."""

    name: str
    source: int
    other: int
    red: bool = True
    says: Pcm = field(default_factory=lambda: LOUD[:])
    alter: Callable[[bytes], bytes | None] = lambda packet: packet
    heard: list[Pcm] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.encoder, self.decoder = ToneEncoder(), ToneDecoder()
        talk = Talk(self.source, self.other, self.red)
        self.voice = Voice(talk, self.encoder, self.decoder, random.Random(self.source), 0.0)

    @property
    def hears(self) -> bool:
        """Whether the last 100 ms were the other one's tone."""
        return all(max(map(abs, piece)) > 5000 for piece in self.heard[-10:])


class Line:
    """Both ends, and packets on their way."""

    def __init__(self, *, delay: float = 0.02, loss: float = 0.0, red: bool = True) -> None:
        self.ada, self.bob = End("ada", ADA, BOB, red), End("bob", BOB, ADA, red)
        self.now = 0.0
        self.delay, self.loss = delay, loss
        self._chance = random.Random(9)
        self._way: list[tuple[float, int, End, bytes]] = []
        self._count = 0

    def send(self, to: End, packet: bytes) -> None:
        self._count += 1
        heapq.heappush(self._way, (self.now + self.delay, self._count, to, packet))

    def run(self, seconds: float) -> None:
        """Let time pass in steps of 10 ms."""
        for _ in range(round(seconds * 100)):
            self.now += 0.01
            while self._way and self._way[0][0] <= self.now:
                at, _, to, packet = heapq.heappop(self._way)
                to.voice.arrived(packet, at)
            for end, other in ((self.ada, self.bob), (self.bob, self.ada)):
                end.voice.hear(end.says[:], self.now)
                for packet in end.voice.data_to_send():
                    end.sent.append(packet)
                    altered = end.alter(packet)
                    if altered is not None and self._chance.random() >= self.loss:
                        self.send(other, altered)
                end.heard.append(end.voice.play(self.now))


def quiet() -> Pcm:
    return silence(TICK)
