"""The loop of a pump, with halves that only take notes."""

from __future__ import annotations

import socket
import sys
from dataclasses import dataclass, field

import pytest

if sys.platform != "linux":
    pytest.skip("virtual networks need Linux", allow_module_level=True)

from tincan.vpn.path.hub import Figures, Hub
from tincan.vpn.path.words import Heard, Order, Received, ToIn, ToOut, pack


@dataclass
class Notes:
    """A half that tells the other one something in its first turn, if it has something to say."""

    name: str
    hub: Hub
    notes: list[object]
    says: list[ToIn | ToOut] = field(default_factory=list)

    def obey(self, order: Order, sockets: list[int]) -> Figures:
        return {}

    def told(self, word: ToIn | ToOut) -> None:
        self.notes.append((self.name, word))

    def received(self, message: Received) -> None:
        self.notes.append((self.name, message.datagram))

    def turn(self, now: float) -> float:
        self.notes.append((self.name, "turn"))
        while self.says:
            self.hub.tell_other(self, self.says.pop())
        return float("inf")


def test_what_came_together_is_dealt_with_in_one_turn_and_answered_in_it() -> None:
    """The in half is added last. What it tells the out half goes out without anybody waking the loop up again."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    tap, other = socket.socketpair()
    with tap, other:
        hub = Hub(theirs.detach(), None, tap.fileno())
        notes: list[object] = []
        hub.add(Notes("out", hub, notes))
        hub.add(Notes("in", hub, notes, [Heard(1, 0)]))
        for datagram in (b"one", b"two"):
            ours.send(pack(Received(1, datagram)))
        ours.close()  # which ends the loop
        assert hub.run() == 0
    assert [note for note in notes if note[1] in (b"one", b"two") and note[0] == "in"] == [  # type: ignore[index]
        ("in", b"one"),
        ("in", b"two"),
    ]
    assert notes[-3:] == [("in", "turn"), ("out", Heard(1, 0)), ("out", "turn")]
