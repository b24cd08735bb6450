"""The states of a call and the table of steps between them.

The picture in docs/call.md is drawn from `TRANSITIONS`; a test compares them.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """How far a call is."""

    IDLE = "idle"
    CALLING = "calling"
    """We have called, and wait for an answer."""
    RINGING = "ringing"
    """The peer has called, and waits for ours. Nothing is heard or recorded."""
    TALKING = "talking"


class Step(enum.Enum):
    """What moves a call from one state to the next."""

    CALL = "we call"
    PEER_CALL = "the peer calls"
    AGREED = "both want it"
    ENDED = "declined, hung up, or no answer"


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.IDLE: {Step.CALL: State.CALLING, Step.PEER_CALL: State.RINGING},
    State.CALLING: {Step.AGREED: State.TALKING, Step.ENDED: State.IDLE},
    State.RINGING: {Step.AGREED: State.TALKING, Step.ENDED: State.IDLE},
    State.TALKING: {Step.ENDED: State.IDLE},
}
