"""The states of a conversation and the table of steps between them.

The picture in docs/chat.md is drawn from `TRANSITIONS`; a test compares them.
"""

from __future__ import annotations

import enum


class State(enum.Enum):
    """How far a conversation is, seen from this side."""

    NEW = "new"
    GREETING = "greeting"
    """Our hello is out, the peer's has not come."""
    OPEN = "open"
    LEAVING = "leaving"
    """We have said goodbye; the peer may still talk."""
    PEER_LEFT = "peer-left"
    """The peer has said goodbye; it still acknowledges what we said before."""
    OVER = "over"
    """Both have said goodbye."""
    FAILED = "failed"
    """The peer broke the protocol."""


class Step(enum.Enum):
    """What moves a conversation from one state to the next."""

    START = "start"
    PEER_HELLO = "peer's hello"
    BYE = "our bye"
    PEER_BYE = "peer's bye"
    FAILURE = "protocol error"


TRANSITIONS: dict[State, dict[Step, State]] = {
    State.NEW: {Step.START: State.GREETING},
    State.GREETING: {Step.PEER_HELLO: State.OPEN, Step.FAILURE: State.FAILED},
    State.OPEN: {Step.BYE: State.LEAVING, Step.PEER_BYE: State.PEER_LEFT, Step.FAILURE: State.FAILED},
    State.LEAVING: {Step.PEER_BYE: State.OVER, Step.FAILURE: State.FAILED},
    State.PEER_LEFT: {Step.BYE: State.OVER, Step.FAILURE: State.FAILED},
    State.OVER: {Step.FAILURE: State.FAILED},
    State.FAILED: {},
}
