"""The states of a playout and the table of steps between them.

The picture in docs/voice.md is drawn from `TRANSITIONS`; a test compares them.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """What is heard at the moment, and why."""

    IDLE = "idle"
    """Nothing has ever come; silence."""
    FILLING = "filling"
    """Something is there, and is held back until the delay is the wanted one."""
    PLAYING = "playing"
    CONCEALING = "concealing"
    """The next frame is not there: late, lost, or never sent. The decoder makes one up."""
    PAUSED = "paused"
    """That took too long to be made up; the noise of the room is heard."""


class Step(enum.Enum):
    """What moves a playout from one state to the next."""

    ARRIVED = "a packet came"
    DUE = "it is time"
    MISSING = "nothing to play"
    FOUND = "something to play"
    FADED = "faded out"
    RESTARTED = "the sender began again"


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.IDLE: {Step.ARRIVED: State.FILLING},
    State.FILLING: {Step.DUE: State.PLAYING},
    State.PLAYING: {Step.MISSING: State.CONCEALING, Step.RESTARTED: State.FILLING},
    State.CONCEALING: {Step.FOUND: State.PLAYING, Step.FADED: State.PAUSED, Step.RESTARTED: State.FILLING},
    State.PAUSED: {Step.ARRIVED: State.FILLING},
}
