"""What a chat tells its screen: frozen facts, to be rendered and nothing more.

Names, agents and complaints have been made safe for a terminal
(`tincan.apps.text`); the text of a message is exactly what the peer sent.
"""

from __future__ import annotations

from dataclasses import dataclass

from tincan.errors import TinCanError
from tincan.link.interface import CloseReason


@dataclass(frozen=True)
class PeerHello:
    """The peer is there. ``version``: the chat protocol both speak from now on."""

    name: str
    agent: str
    version: int
    capabilities: frozenset[str]


@dataclass(frozen=True)
class MessageReceived:
    """The peer said something. ``action``: it is what the peer does (``/me waves``)."""

    id: int
    text: str
    action: bool


@dataclass(frozen=True)
class Delivered:
    """The peer's application has taken our message."""

    id: int


@dataclass(frozen=True)
class PeerTyping:
    """The peer began or stopped typing."""

    active: bool


@dataclass(frozen=True)
class PeerLeft:
    """The peer said goodbye. ``complaint``: what it could not take of us, if that is why."""

    complaint: str | None = None


@dataclass(frozen=True)
class Closed:
    """The chat is over; the last event of every `ChatSession`.

    ``reason``: LOCAL or PEER, whose goodbye (or orderly close) came first;
    LOST, the link died; BROKEN, one side could not understand the other.
    ``undelivered``: our messages that the peer never acknowledged.
    ``error``: what to tell the user and exit with; None for a goodbye.
    """

    reason: CloseReason
    undelivered: int
    error: TinCanError | None = None


ChatEvent = PeerHello | MessageReceived | Delivered | PeerTyping | PeerLeft | Closed
