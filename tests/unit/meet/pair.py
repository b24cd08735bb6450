"""Two handshakes back to back, as h11's ConnectionPair has it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from tincan.errors import AuthenticationFailed
from tincan.meet.handshake import Handshake, State
from tincan.meet.mailbox import Side
from tincan.meet.phrase import StringKeys
from unit.meet.places import KEYS


class HandshakePair:
    """An attaching and a tapping can, with nothing sent yet."""

    def __init__(self, attach: StringKeys = KEYS, tap: StringKeys = KEYS) -> None:
        self.attach = Handshake(Side.ATTACH, attach)
        self.tap = Handshake(Side.TAP, tap)

    def share(self) -> bytes:
        return only(self.attach)

    def flight(self, payload: bytes = b"offer") -> bytes:
        """Carry the share; return what the tapping can says to it."""
        assert self.tap.receive(self.share()) is None
        self.tap.seal(payload)
        return only(self.tap)

    def answer(self, payload: bytes = b"answer") -> bytes:
        """Carry share and flight; return what the attaching can says to that."""
        assert self.attach.receive(self.flight()) == b"offer"
        self.attach.seal(payload)
        return only(self.attach)

    @classmethod
    def confirmed(cls) -> HandshakePair:
        """Return a pair that is through."""
        pair = cls()
        assert pair.tap.receive(pair.answer()) == b"answer"
        return pair


def only(handshake: Handshake) -> bytes:
    [message] = handshake.data_to_send()
    return message


def fields(message: bytes) -> dict[str, object]:
    """What is in a message, read without the code under test."""
    found = msgspec.msgpack.decode(message)
    assert isinstance(found, dict)
    return found


def _tap_ready() -> Handshake:
    pair = HandshakePair()
    pair.tap.receive(pair.share())
    return pair.tap


def _tap_committed() -> Handshake:
    pair = HandshakePair()
    pair.flight()
    return pair.tap


def _attach_confirmed() -> Handshake:
    pair = HandshakePair()
    pair.attach.receive(pair.flight())
    return pair.attach


def _failed() -> Handshake:
    pair = HandshakePair()
    pair.tap.receive(pair.share())
    with contextlib.suppress(AuthenticationFailed):
        pair.tap.receive(b"")
    pair.tap.data_to_send()
    return pair.tap


STAGES: dict[str, tuple[State, Callable[[], Handshake]]] = {
    "attach waiting": (State.WAITING, lambda: HandshakePair().attach),
    "attach confirmed": (State.CONFIRMED, _attach_confirmed),
    "attach answered": (State.CONFIRMED, lambda: HandshakePair.confirmed().attach),
    "tap waiting": (State.WAITING, lambda: HandshakePair().tap),
    "tap ready": (State.READY, _tap_ready),
    "tap committed": (State.COMMITTED, _tap_committed),
    "tap confirmed": (State.CONFIRMED, lambda: HandshakePair.confirmed().tap),
    "failed": (State.FAILED, _failed),
}
"""Every place in a handshake, with how to come there."""
