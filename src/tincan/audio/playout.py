"""The playout: packets come as they like, and every 10 ms the device gets 10 ms of sound.

How to drive a `Playout`: call `receive` for each packet of the peer, and
`pull` whenever the device wants sound, both in one thread and with the time
of one clock that never goes back. Nothing waits in here, nothing is decoded
before it is asked for, and no packet makes either of them raise.

The *head* is the timestamp of the next sample to decode. Its delay is how
much later it is asked for than the fastest packet would bring it (`arrivals`).
Everything is decided by comparing that with the wanted delay:

* The frame at the head is there: decode it. Is the delay off, leave out or
  repeat a pitch period (`stretch`).
* It is not, but a later one is: a redundant copy would stand in its place, so
  there is none. The next packet may hold it (FEC), else make it up
  (`concealment`), but no more than keeps the delay what it should be.
* Nothing is there at all: make something up and *hold* the head where it is,
  for nobody knows yet whether the frame is lost, late, or was never sent. When
  more comes, what was made up counts for what turns out to be missing.

Where two pieces do not follow one another, they are cross-faded.
"""

from __future__ import annotations

import logging
import random
from array import array
from collections.abc import Callable, Sequence
from typing import Final

from tincan.audio.adaptation import Adaptation
from tincan.audio.arrivals import Arrival, Arrivals, Kind
from tincan.audio.concealment import Concealment, usable
from tincan.audio.decoder import Decoder
from tincan.audio.pcm import FRAME, MS, RATE, TICK, Pcm, crossfade
from tincan.audio.red import Block
from tincan.audio.shelf import MAX_PAYLOAD, Frame, Shelf
from tincan.audio.states import TRANSITIONS, State, Step
from tincan.audio.statistics import Counters, Origin, Statistics
from tincan.errors import TinCanError

JUMP: Final = 300 * MS
"""How far the delay may be above the wanted one before frames are dropped instead."""

MAX_COPIES: Final = 4
"""Redundant frames in one packet that are looked at."""

_TOO_LATE: Final = 8
"""Packets in a row that come after their time, which make a new beginning."""

_log = logging.getLogger(__name__)


class Playout:
    """One voice. ``rng`` is for the noise in pauses."""

    def __init__(self, decoder: Decoder, rng: random.Random) -> None:
        self._decoder = decoder
        self._arrivals = Arrivals()
        self._shelf = Shelf()
        self._concealment = Concealment(decoder.conceal, rng)
        self._counters = Counters()
        self._state = State.IDLE
        self._clock = 0.0
        self._ahead: Pcm = array("h")
        """Decoded and not yet pulled."""
        self._head = 0
        self._sequence: int | None = None
        """Of the frame before the head; None when that is not known."""
        self._held = 0
        """Samples made up since the head stands still."""
        self._silent = False
        """The head stepped over a time in which the peer sent nothing."""
        self._broken = False
        """What comes next does not follow what was decoded last."""
        self._adaptation = Adaptation()
        self._delay = 0.0
        self._late_in_a_row = 0

    @property
    def state(self) -> State:
        """What is heard at the moment."""
        return self._state

    def statistics(self) -> Statistics:
        """Return how it goes."""
        return self._counters.statistics(
            self._state,
            target=self._arrivals.target,
            current=self._delay,
            buffered=len(self._ahead) + self._shelf.samples,
            loss=self._arrivals.loss,
            jitter=self._arrivals.jitter,
        )

    def restart(self) -> None:
        """Take the next packet for the beginning of another stream: the sender has a new SSRC."""
        self._arrivals.restart()

    # -- packets in ---------------------------------------------------------------------

    def receive(
        self, sequence: int, timestamp: int, payload: bytes, redundant: Sequence[Block] = (), *, now: float
    ) -> None:
        """Take a packet; ``redundant``: the older frames that it carries too, the oldest first."""
        self._clock = max(self._clock, now * RATE)
        counters = self._counters
        counters.received += 1
        arrival = self._arrivals.receive(sequence, timestamp, self._clock)
        if arrival.kind is Kind.DUPLICATE:
            counters.duplicate += 1
            return
        if arrival.kind is Kind.WILD or not 0 < len(payload) <= MAX_PAYLOAD:
            counters.rejected += 1
            return
        if arrival.kind is Kind.RESTART or self._state is State.IDLE:
            self._begin_at(arrival)
        frame = Frame(arrival.sequence, arrival.timestamp, payload, copy=False)
        copies = [
            Frame(arrival.sequence - back, arrival.timestamp - block.offset, block.payload, copy=True)
            for back, block in enumerate(reversed(redundant[-MAX_COPIES:]), 1)
            if block.offset > 0 and 0 < len(block.payload) <= MAX_PAYLOAD
        ]
        self._put(frame, copies, arrival)

    def _put(self, frame: Frame, copies: list[Frame], arrival: Arrival) -> None:
        for copy in copies:
            if copy.timestamp >= self._head:
                self._shelf.add(copy)
        if frame.timestamp >= self._head:
            self._shelf.add(frame)
            self._late_in_a_row = 0
        else:
            self._counters.late += 1
            self._late_in_a_row += 1
            if self._late_in_a_row >= _TOO_LATE:
                self._begin_at(arrival)
                self._shelf.add(frame)
        if self._state in (State.IDLE, State.PAUSED) and self._shelf:
            self._move(Step.ARRIVED)

    def _begin_at(self, arrival: Arrival) -> None:
        """Forget what waits, and go on with this packet when its time comes."""
        if self._state is not State.IDLE:
            self._counters.restarts += 1
        self._shelf.clear()
        self._head, self._sequence = arrival.timestamp, None
        self._late_in_a_row = 0
        if self._state in (State.PLAYING, State.CONCEALING):
            self._move(Step.RESTARTED)

    def _delay_of(self, timestamp: float) -> float:
        """How late what belongs there would be, had it to be there now; what is decoded already comes on top."""
        return self._clock - timestamp - self._arrivals.base

    # -- sound out ----------------------------------------------------------------------

    def pull(self, now: float) -> Pcm:
        """Return the next 10 ms: always exactly 480 samples."""
        self._clock = max(self._clock, now * RATE)
        self._adaptation.asked(self._clock)
        while len(self._ahead) < TICK:
            self._ahead.extend(self._piece())
        pulled = self._ahead[:TICK]
        del self._ahead[:TICK]
        return pulled

    def _piece(self) -> Pcm:
        """Return the next samples; none: ask again."""
        if self._state in (State.IDLE, State.PAUSED) or (self._state is State.FILLING and not self._due()):
            return self._make_up(TICK)
        self._catch_up()
        frame = self._shelf.take(self._head)
        if frame is not None:
            origin = Origin.COPY if frame.copy else Origin.PACKET
            return self._play(frame.sequence, origin, lambda: self._decoder.decode(frame.payload))
        first = self._shelf.first
        if first is None:
            return self._hold()
        return self._bridge(first)

    def _due(self) -> bool:
        """Whether the held back frames may be played; the head is then at the first of them."""
        first = self._shelf.first
        if first is None or self._delay_of(first.timestamp) < self._arrivals.target:
            return False
        self._move(Step.DUE)
        self._silent = first.timestamp > self._head
        self._skip_to(first.timestamp)
        return True

    def _catch_up(self) -> None:
        """After an outage that ends with everything at once: drop what would only be heard far too late."""
        newest_useful = self._clock - self._arrivals.base - self._arrivals.target - FRAME
        if newest_useful - self._head > JUMP:
            there = self._shelf.since(newest_useful)
            if there is not None and there > self._head:
                self._counters.dropped += there - self._head
                self._skip_to(there)

    def _skip_to(self, timestamp: int) -> None:
        self._head = timestamp
        self._shelf.drop_before(timestamp)
        self._held = 0
        self._broken = True
        self._adaptation.forget()

    def _hold(self) -> Pcm:
        if self._state is State.PLAYING:
            self._move(Step.MISSING)
        self._held += TICK
        made = self._make_up(TICK)
        if self._concealment.faded:
            self._held = 0
            self._move(Step.FADED)
        return made

    def _bridge(self, first: Frame) -> Pcm:
        """Get over the gap between the head and the first frame."""
        gap = first.timestamp - self._head
        follows = self._sequence is not None and first.sequence == self._sequence + 1
        if not follows and gap <= FRAME and not first.copy:
            missing = first.sequence - 1
            return self._play(missing, Origin.FEC, lambda: self._decoder.decode_fec(first.payload)[-gap:])
        self._silent = follows
        counted = min(self._held, gap)
        self._head += counted
        self._held -= counted
        gap -= counted
        if gap == 0:
            return array("h")
        if self._delay_of(first.timestamp) >= self._arrivals.target:
            self._skip_to(first.timestamp)
            return array("h")
        if self._state is State.PLAYING:
            self._move(Step.MISSING)
        samples = min(gap, TICK)
        self._head += samples
        return self._make_up(samples)

    def _make_up(self, samples: int) -> Pcm:
        if self._state is not State.IDLE:
            self._counters.made_up += samples
        return self._concealment.take(samples)

    def _play(self, sequence: int, origin: Origin, decode: Callable[[], Pcm]) -> Pcm:
        """Return what is at the head, less what was made up in its place; that may be nothing."""
        late = self._delay_of(self._head) > self._arrivals.target + self._adaptation.late
        if self._held and not late:
            # All of it is played, though something was heard in its place: so the delay grows.
            self._held, self._broken = 0, True
        broken = self._broken or self._concealment.fading
        tail = self._concealment.tail() if broken else None  # before the decoder goes on
        pcm = self._decoded(decode)
        self._head += len(pcm)
        self._shelf.drop_before(self._head)
        cut = min(self._held, len(pcm))
        self._held -= cut
        follows = None if self._sequence is None else sequence == self._sequence + 1
        self._counters.play(origin, follows=follows and not cut, silent=self._silent)
        self._sequence, self._silent = sequence, False
        if cut == len(pcm):
            return array("h")
        if self._state is State.CONCEALING:
            self._move(Step.FOUND)
        begin = self._head - len(pcm) + cut
        self._adaptation.note(self._clock - begin)
        self._delay = self._delay_of(begin) + len(self._ahead)
        tail = tail or self._concealment.rest()
        pcm = crossfade(tail, pcm[cut:]) if tail else self._adapted(pcm)
        self._broken = False
        self._concealment.played(pcm)
        return pcm

    def _decoded(self, decode: Callable[[], Pcm]) -> Pcm:
        try:
            return usable(decode())
        except TinCanError:
            self._counters.rejected += 1
            return usable(self._decoder.conceal())

    def _adapted(self, pcm: Pcm) -> Pcm:
        changed = self._adaptation.apply(pcm, self._arrivals.base + self._arrivals.target)
        longer = len(changed) - len(pcm)
        if longer > 0:
            self._counters.stretched += longer
        else:
            self._counters.shrunk -= longer
        return changed

    def _move(self, step: Step) -> None:
        new = TRANSITIONS[self._state][step]
        _log.debug("playout: %s -> %s (%s)", self._state.value, new.value, step.value)
        self._state = new
