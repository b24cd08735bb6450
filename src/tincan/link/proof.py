"""The proof that opens a punched connection: who cannot give it learns nothing and gets nothing.

A TCP port that listens is found by anybody. Before TLS begins, each end shows
a token made from a key that only the link has told both. Whoever connected
speaks first (where two SYNs crossed, both did); whoever was connected to
answers a right token only. So a stranger who knocks gets no byte, whatever it
says; whoever relays or replays the tokens meets TLS with certificates pinned
through the link behind them (`tincan.link.tls`).

Pure: bytes in, bytes out.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import logging
from typing import Final

from tincan.meet.mailbox import Side

logger = logging.getLogger(__name__)

TOKEN: Final = 32
"""Bytes of a token: HMAC-SHA-256 (RFC 2104)."""

NONCE: Final = 32
"""Bytes that each side adds to the key."""


class State(enum.Enum):
    """How far the proof of one connection is."""

    WAITING = "waiting"
    """The peer's token is not complete."""
    PROVEN = "proven"
    """It was right."""
    STRANGER = "stranger"
    """It was wrong: say nothing, and close."""


_MOVES: Final = {State.WAITING: {State.PROVEN, State.STRANGER}, State.PROVEN: set(), State.STRANGER: set()}


class Proof:
    """One end of one connection. ``key``: see `punch_key`; ``first``: this end connected, so it speaks first.

    Send `data_to_send` at the beginning and after each `receive`; give every
    byte that comes to `receive` until the state is no more WAITING.
    """

    def __init__(self, side: Side, key: bytes, *, first: bool) -> None:
        self.state = State.WAITING
        self._mine = _token(key, side)
        self._expected = _token(key, side.other)
        self._arrived = b""
        self._outgoing = self._mine if first else b""
        self._first = first

    @property
    def missing(self) -> int:
        """How many bytes of the peer's token have not come; read no more than these."""
        return TOKEN - len(self._arrived)

    def data_to_send(self) -> bytes:
        """Return what is to be sent now."""
        data, self._outgoing = self._outgoing, b""
        return data

    def receive(self, data: bytes) -> None:
        """Take bytes of the peer; raise ValueError for more than `missing`."""
        if len(data) > self.missing or self.state is not State.WAITING:
            raise ValueError("more than a token")
        self._arrived += data
        if self.missing:
            return
        if hmac.compare_digest(self._arrived, self._expected):
            if not self._first:
                self._outgoing = self._mine
            self._move(State.PROVEN)
        else:
            self._move(State.STRANGER)

    def _move(self, state: State) -> None:
        if state not in _MOVES[self.state]:
            raise AssertionError(f"{self.state} -> {state}")
        logger.debug("proof: %s -> %s", self.state.value, state.value)
        self.state = state


def punch_key(nonce_of_tap: bytes, nonce_of_attach: bytes) -> bytes:
    """Return the key of one stream's punched connections, from what each side drew and told through the link."""
    if len(nonce_of_tap) != NONCE or len(nonce_of_attach) != NONCE:
        raise ValueError(f"each nonce has {NONCE} bytes")
    return hashlib.sha256(b"tin-can/1 punch" + nonce_of_tap + nonce_of_attach).digest()


def _token(key: bytes, side: Side) -> bytes:
    return hmac.digest(key, b"tin-can/1 punch " + side.value.encode(), "sha256")
