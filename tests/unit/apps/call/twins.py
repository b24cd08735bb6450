"""Two call protocols back to back, with a channel between them that a test can hold up."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from tincan.apps.call.events import CallEvent
from tincan.apps.call.protocol import CallProtocol


@dataclass
class End:
    """One side: its core, what it was told, and what is on its way to it."""

    core: CallProtocol
    told: list[CallEvent] = field(default_factory=list)
    inbox: deque[bytes] = field(default_factory=deque)

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.told]


class Twins:
    """Two sides. Whatever was done, `flush` sends on what came of it; `settle` delivers until nothing moves."""

    def __init__(self, seed: int = 1) -> None:
        self.now = 100.0
        self.ada = End(CallProtocol(random.Random(seed)))
        self.bob = End(CallProtocol(random.Random(seed + 1000)))

    def flush(self) -> None:
        for end, other in ((self.ada, self.bob), (self.bob, self.ada)):
            other.inbox.extend(end.core.data_to_send())
            while (event := end.core.next_event()) is not None:
                end.told.append(event)

    def deliver(self, end: End) -> None:
        """Let one frame arrive, if one is on its way."""
        if end.inbox:
            end.core.receive(end.inbox.popleft(), self.now)
        self.flush()

    def settle(self) -> None:
        self.flush()
        while self.ada.inbox or self.bob.inbox:
            self.deliver(self.ada)
            self.deliver(self.bob)

    def wait(self, seconds: float) -> None:
        """Let time pass, deadlines included."""
        self.now += seconds
        for end in (self.ada, self.bob):
            end.core.expire(self.now)
        self.settle()
