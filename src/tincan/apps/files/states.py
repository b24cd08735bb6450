"""The states of both ends of a transfer and the tables of steps between them; docs/files.md draws them."""

from __future__ import annotations

import enum
import logging

from tincan.errors import ProtocolError

_log = logging.getLogger(__name__)


class Sending(enum.Enum):
    """How far the sender is."""

    NEW = "new"
    OFFERED = "offered"
    """The receiver's user is asked."""
    ACCEPTED = "accepted"
    """The receiver tells what it has."""
    SENDING = "sending"
    SENT = "sent"
    """Everything is out; the receiver puts the last things in place."""
    DONE = "done"
    DECLINED = "declined"
    FAILED = "failed"


class Receiving(enum.Enum):
    """How far the receiver is."""

    NEW = "new"
    LISTING = "listing"
    """The manifest comes."""
    DECIDING = "deciding"
    SURVEYING = "surveying"
    """What is there already is looked at and told."""
    RECEIVING = "receiving"
    SETTLING = "settling"
    """Everything has come; folders get their times."""
    DONE = "done"
    DECLINED = "declined"
    FAILED = "failed"


class Step(enum.Enum):
    """What moves an end from one state to the next."""

    OFFER = "offer"
    LISTED = "listed"
    ACCEPT = "accept"
    DECLINE = "decline"
    READY = "ready"
    SENT = "sent"
    DONE = "done"
    FAILURE = "failure"


SENDER: dict[Sending, dict[Step, Sending]] = {
    Sending.NEW: {Step.OFFER: Sending.OFFERED},
    Sending.OFFERED: {
        Step.ACCEPT: Sending.ACCEPTED,
        Step.DECLINE: Sending.DECLINED,
        Step.FAILURE: Sending.FAILED,
    },
    Sending.ACCEPTED: {Step.READY: Sending.SENDING, Step.FAILURE: Sending.FAILED},
    Sending.SENDING: {Step.SENT: Sending.SENT, Step.FAILURE: Sending.FAILED},
    Sending.SENT: {Step.DONE: Sending.DONE, Step.FAILURE: Sending.FAILED},
    Sending.DONE: {},
    Sending.DECLINED: {},
    Sending.FAILED: {},
}

RECEIVER: dict[Receiving, dict[Step, Receiving]] = {
    Receiving.NEW: {Step.OFFER: Receiving.LISTING, Step.FAILURE: Receiving.FAILED},
    Receiving.LISTING: {Step.LISTED: Receiving.DECIDING, Step.FAILURE: Receiving.FAILED},
    Receiving.DECIDING: {
        Step.ACCEPT: Receiving.SURVEYING,
        Step.DECLINE: Receiving.DECLINED,
        Step.FAILURE: Receiving.FAILED,
    },
    Receiving.SURVEYING: {Step.READY: Receiving.RECEIVING, Step.FAILURE: Receiving.FAILED},
    Receiving.RECEIVING: {Step.SENT: Receiving.SETTLING, Step.FAILURE: Receiving.FAILED},
    Receiving.SETTLING: {Step.DONE: Receiving.DONE, Step.FAILURE: Receiving.FAILED},
    Receiving.DONE: {},
    Receiving.DECLINED: {},
    Receiving.FAILED: {},
}


def sender_step(state: Sending, step: Step) -> Sending:
    """Return the sender's next state; `ProtocolError` when the step cannot come now."""
    new = SENDER[state].get(step)
    if new is None:
        raise ProtocolError(f"The peer sent {step.value.upper()} while this side is {state.value}.")
    _log.debug("send: %s -> %s (%s)", state.value, new.value, step.value)
    return new


def receiver_step(state: Receiving, step: Step) -> Receiving:
    """Return the receiver's next state; `ProtocolError` when the step cannot come now."""
    new = RECEIVER[state].get(step)
    if new is None:
        raise ProtocolError(f"The peer sent {step.value.upper()} while this side is {state.value}.")
    _log.debug("receive: %s -> %s (%s)", state.value, new.value, step.value)
    return new
