"""Each letter counts once, and only for a while. Pure.

A letter names its time and carries a random number; both are signed. What is
older or newer than `WINDOW` is refused, so numbers need not be remembered for
longer. Each sender has room of its own: one who floods loses only his own
letters. When that room is full, what is no newer than the oldest letter in it
is refused as well, rather than taken twice.
"""

from __future__ import annotations

import collections
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 300.0
"""Seconds by which the clocks of two members may differ, the way of a letter included."""

PER_SENDER: Final = 1024
SENDERS: Final = 4096


@dataclass
class _Sender:
    seen: dict[bytes, float] = field(default_factory=dict)
    floor: float = float("-inf")
    """What was written until then counts as seen."""


class ReplayGuard:
    """Tells letters that are new from those that were there before. Times are seconds since the epoch."""

    def __init__(self) -> None:
        self._senders: collections.OrderedDict[bytes, _Sender] = collections.OrderedDict()

    def admit(self, sender: bytes, number: bytes, written: float, now: float) -> bool:
        """Return whether a letter may be taken, and take note of it. Ask only about what is authentic."""
        if not abs(now - written) <= WINDOW:
            return False
        one = self._senders.get(sender)
        if one is None:
            if len(self._senders) >= SENDERS:
                self._senders.popitem(last=False)
            one = self._senders[sender] = _Sender()
        self._senders.move_to_end(sender)
        if written <= one.floor or number in one.seen:
            return False
        if len(one.seen) >= PER_SENDER:
            self._make_room(one, now)
            if written <= one.floor:
                return False
        one.seen[number] = written
        return True

    @staticmethod
    def _make_room(one: _Sender, now: float) -> None:
        one.seen = {number: at for number, at in one.seen.items() if at >= now - WINDOW}
        if len(one.seen) >= PER_SENDER:
            oldest = sorted(one.seen.items(), key=lambda item: item[1])[: PER_SENDER // 2]
            one.floor = max(one.floor, oldest[-1][1])
            one.seen = {number: at for number, at in one.seen.items() if at > one.floor}
