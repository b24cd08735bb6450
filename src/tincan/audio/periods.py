"""Whole periods out of pieces of any length: what stands between the devices' callbacks and the voice."""

from __future__ import annotations

from array import array
from collections import deque
from typing import Final

from tincan.audio.devices import Ends, Exchange
from tincan.audio.pcm import TICK, Pcm, silence

MOST_WAITING: Final = 3
"""Periods that wait between the two ends of an `Exchange`; two devices never keep exactly the same time."""


class Periods:
    """Exchanges sound in pieces of any length by periods of `TICK` samples, without ever raising.

    Microphone and loudspeaker may do so in a thread each. A device that gives
    whole periods costs no delay. Once ``exchange`` has failed it is not called
    again, silence is played, and ``fault`` says why. The same after `end`.
    """

    def __init__(self, exchange: Exchange | Ends) -> None:
        self.fault: Exception | None = None
        self.counts = [0, 0]
        """Pieces heard and played: as long as these grow, the devices live."""
        self._ends = exchange if isinstance(exchange, Ends) else _in_two(exchange)
        self._heard: Pcm = array("h")
        self._ready: Pcm = array("h")
        self._ended = False

    def end(self) -> None:
        """Call ``exchange`` no more: others may by now, and a device that hung goes on when it likes."""
        self._ended = True

    def heard(self, piece: Pcm) -> None:
        """Take what the microphone has heard."""
        self.counts[0] += 1
        if len(piece) == TICK and not self._heard:
            self._hear(piece)
            return
        self._heard += piece
        while len(self._heard) >= TICK:
            self._hear(self._heard[:TICK])
            del self._heard[:TICK]

    def played(self, samples: int) -> Pcm:
        """Return what the loudspeaker is to play."""
        self.counts[1] += 1
        if samples == TICK and not self._ready:
            return self._play()
        while len(self._ready) < samples:
            self._ready += self._play()
        played = self._ready[:samples]
        del self._ready[:samples]
        return played

    def _hear(self, period: Pcm) -> None:
        if self.fault is None and not self._ended:
            try:
                self._ends.hear(period)
            except Exception as exc:  # the C library would end the stream, and print
                self.fault = exc

    def _play(self) -> Pcm:
        if self.fault is None and not self._ended:
            try:
                played = self._ends.play()
                if len(played) == TICK:
                    return played
                self.fault = ValueError(f"{len(played)} samples were given to be played, not {TICK}")
            except Exception as exc:
                self.fault = exc
        return silence(TICK)


def _in_two(exchange: Exchange) -> Ends:
    """Return the ends of one function. What it returns waits for the loudspeaker; nothing there: silence."""
    waiting: deque[Pcm] = deque(maxlen=MOST_WAITING)

    def play() -> Pcm:
        return waiting.popleft() if waiting else silence(TICK)

    return Ends(lambda heard: waiting.append(exchange(heard)), play)
