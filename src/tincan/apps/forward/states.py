"""The states of one forwarded connection and the table of steps between them.

The picture in docs/forward.md is drawn from `TRANSITIONS`; a test compares them.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """How far a connection is, seen from this side."""

    NEW = "new"
    OPENING = "opening"
    """We have asked; the peer has not answered."""
    ASKED = "asked"
    """The peer has asked; we have not answered."""
    OPEN = "open"
    ENDED = "ended"
    """We send no more; the peer may."""
    PEER_ENDED = "peer-ended"
    """The peer sends no more; we may."""
    CLOSED = "closed"


class Step(enum.Enum):
    """What moves a connection from one state to the next."""

    OPEN = "we open"
    PEER_OPEN = "peer opens"
    ACCEPT = "we accept"
    PEER_ACCEPT = "peer accepts"
    REFUSE = "we refuse"
    PEER_REFUSE = "peer refuses"
    EOF = "our EOF"
    PEER_EOF = "peer's EOF"
    RESET = "we reset"
    PEER_RESET = "peer resets"


_RESETS = {Step.RESET: State.CLOSED, Step.PEER_RESET: State.CLOSED}

TRANSITIONS: dict[State, dict[Step, State]] = {
    State.NEW: {Step.OPEN: State.OPENING, Step.PEER_OPEN: State.ASKED},
    State.OPENING: {Step.PEER_ACCEPT: State.OPEN, Step.PEER_REFUSE: State.CLOSED, Step.RESET: State.CLOSED},
    State.ASKED: {Step.ACCEPT: State.OPEN, Step.REFUSE: State.CLOSED, Step.PEER_RESET: State.CLOSED},
    State.OPEN: {Step.EOF: State.ENDED, Step.PEER_EOF: State.PEER_ENDED, **_RESETS},
    State.ENDED: {Step.PEER_EOF: State.CLOSED, **_RESETS},
    State.PEER_ENDED: {Step.EOF: State.CLOSED, **_RESETS},
    # What was sent may not have left yet, or not have been read: a reset still cuts that short.
    State.CLOSED: dict(_RESETS),
}
