"""Whole periods out of pieces of any length: what stands between a device's callback and the voice."""

from __future__ import annotations

from array import array

from tincan.audio.devices import Exchange
from tincan.audio.pcm import TICK, Pcm, silence


class Periods:
    """Exchanges sound in pieces of any length by periods of `TICK` samples, without ever raising.

    A device that gives whole periods costs no delay; one that gives other
    pieces costs one period. Once ``exchange`` has failed it is not called
    again, silence is played, and ``fault`` says why.
    """

    def __init__(self, exchange: Exchange) -> None:
        self.fault: Exception | None = None
        self.count = 0
        """Pieces that came: as long as this grows, the device lives."""
        self._exchange = exchange
        self._heard: Pcm = array("h")
        self._ready: Pcm = array("h")

    def turn(self, piece: Pcm) -> Pcm:
        """Take what was heard; return as many samples to play."""
        self.count += 1
        if len(piece) == TICK and not self._heard and not self._ready:
            return self._one(piece)
        if len(piece) % TICK and not self._ready:
            self._ready = silence(TICK)  # so that it never runs dry
        self._heard += piece
        while len(self._heard) >= TICK:
            self._ready += self._one(self._heard[:TICK])
            del self._heard[:TICK]
        played = self._ready[: len(piece)]
        del self._ready[: len(piece)]
        return played

    def _one(self, period: Pcm) -> Pcm:
        if self.fault is None:
            try:
                played = self._exchange(period)
                if len(played) == TICK:
                    return played
                self.fault = ValueError(f"{len(played)} samples were given to be played, not {TICK}")
            except Exception as exc:  # the C library would end the stream, and print
                self.fault = exc
        return silence(TICK)
