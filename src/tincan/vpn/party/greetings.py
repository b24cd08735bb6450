"""When hello is said, and to whom. Pure; a part of `tincan.vpn.party.peers`.

To all: some times in a row when there is news, then regularly. To one: in
answer to its own hello, once a second at most, and in a large group not
everybody at once.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

from tincan.vpn.party.messages import Hello
from tincan.vpn.party.states import Say

FIRST_HELLOS: Final = (0.0, 2.0, 6.0)
"""Seconds after the start when hello is said to all with a wish for answers: the first may be lost."""

FEW: Final = 16
"""In a group that is not larger, answers are asked for more than once: each asking makes one letter of everybody."""


class Greetings:
    """The hellos of one run. ``every``: seconds between regular ones; ``card`` is asked whenever one is said."""

    def __init__(self, session: bytes, every: float, chance: random.Random, card: Callable[[], bytes]) -> None:
        self._session = session
        self._every = every
        self._chance = chance
        self._card = card
        self._hellos: list[float] = []
        self._replies: dict[str, float] = {}
        self._replied: dict[str, float] = {}
        self.started = False

    def times(self) -> list[float]:
        """Return when something is to be said."""
        return [*self._hellos, *self._replies.values()]

    def announce(self, now: float) -> None:
        """Say hello to all, and ask them to answer."""
        self._hellos = [now + wait for wait in FIRST_HELLOS]

    def stop(self) -> None:
        """Say no more."""
        self.started = False
        self._hellos = []
        self._replies = {}

    def forget(self, uid: str) -> None:
        """Say nothing to somebody who is no peer any more."""
        self._replies.pop(uid, None)
        self._replied.pop(uid, None)

    def reply_later(self, uid: str, now: float, peers: int) -> None:
        """Answer somebody's hello."""
        if self.started and uid not in self._replies:
            wait = self._chance.random() * min(3.0, 0.02 * peers)
            self._replies[uid] = max(now, self._replied.get(uid, float("-inf")) + 1.0) + wait

    def due(self, now: float, peers: int) -> list[Say]:
        """Return what is to be said now, among so many peers."""
        said = []
        if any(at <= now for at in self._hellos):
            self._hellos = [at for at in self._hellos if at > now]
            left = len(self._hellos)  # the last one of a row is the first of the regular ones
            wishes = left == len(FIRST_HELLOS) - 1 or (left > 0 and peers <= FEW)
            said.append(self._hello(None, reply=wishes, peers=peers))
            if not self._hellos:
                self._hellos = [now + self._between(peers) * (0.8 + 0.4 * self._chance.random())]
        for uid in [uid for uid, at in self._replies.items() if at <= now]:
            del self._replies[uid]
            self._replied[uid] = now
            said.append(self._hello(uid, reply=False, peers=peers))
        return said

    def _between(self, peers: int) -> float:
        return max(self._every, float(peers))

    def _hello(self, to: str | None, *, reply: bool, peers: int) -> Say:
        every = min(self._between(peers) * 1.2, 3600.0)
        return Say(to, Hello(self._session, reply, every, self._card()))
