"""How a playout is doing, for screens and tests."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from tincan.audio.pcm import MS
from tincan.audio.states import State


class Origin(enum.Enum):
    """Where a frame comes from."""

    PACKET = "its own packet"
    COPY = "a copy in a later packet"
    FEC = "the next packet's FEC"


@dataclass(frozen=True)
class Statistics:
    """A playout's state, its delays now, and what happened since it began.

    Delays count from when the fastest packet could have been heard. ``loss``
    is of the last 250 packets. What was made up is counted once it is known
    for what: ``concealed_ms`` in place of lost packets, ``waited_ms`` until late
    ones came, ``silent_ms`` while the peer sent nothing.
    """

    state: State
    target_ms: float
    current_ms: float
    buffered_ms: float
    loss: float
    jitter_ms: float
    received: int = 0
    late: int = 0
    """Packets that came when something else had been heard in their place."""
    duplicate: int = 0
    rejected: int = 0
    """Packets that are too large, undecodable, or whose numbers are wild."""
    copies: int = 0
    """Frames heard from a later packet's redundant copy."""
    fec: int = 0
    """Frames heard from the next packet's in-band FEC, or what the decoder makes of it."""
    restarts: int = 0
    concealed_ms: float = 0.0
    waited_ms: float = 0.0
    silent_ms: float = 0.0
    dropped_ms: float = 0.0
    """Left out at once, to catch up after an outage."""
    stretched_ms: float = 0.0
    shrunk_ms: float = 0.0


@dataclass
class Counters:
    """The same while it is counted; times in samples."""

    received: int = 0
    late: int = 0
    duplicate: int = 0
    rejected: int = 0
    copies: int = 0
    fec: int = 0
    restarts: int = 0
    concealed: int = 0
    waited: int = 0
    silent: int = 0
    dropped: int = 0
    stretched: int = 0
    shrunk: int = 0

    made_up: int = 0
    """Since the last real sample; counted when it is known for what."""

    def play(self, origin: Origin, *, follows: bool | None, silent: bool) -> None:
        """Count a frame, and what was made up before it.

        ``follows``: whether it is the one after the last; None: it begins a
        stream. ``silent``: the sender left a gap in time.
        """
        self.copies += origin is Origin.COPY
        self.fec += origin is Origin.FEC
        if follows is False:
            self.concealed += self.made_up
        elif follows and silent:
            self.silent += self.made_up
        else:
            self.waited += self.made_up
        self.made_up = 0

    def statistics(
        self, state: State, *, target: float, current: float, buffered: int, loss: float, jitter: float
    ) -> Statistics:
        """Return all of it at this moment; ``target``, ``current``, ``buffered`` and ``jitter`` in samples."""
        return Statistics(
            state=state,
            target_ms=target / MS,
            current_ms=current / MS,
            buffered_ms=buffered / MS,
            loss=loss,
            jitter_ms=jitter / MS,
            received=self.received,
            late=self.late,
            duplicate=self.duplicate,
            rejected=self.rejected,
            copies=self.copies,
            fec=self.fec,
            restarts=self.restarts,
            concealed_ms=self.concealed / MS,
            waited_ms=self.waited / MS,
            silent_ms=self.silent / MS,
            dropped_ms=self.dropped / MS,
            stretched_ms=self.stretched / MS,
            shrunk_ms=self.shrunk / MS,
        )
