"""How large a packet a link's path takes: found by probes and followed (RFC 8899, datagram PLPMTUD).

Sizes are those of packets, as they come out of the tap (with a frame's header
in switch mode); the datagram and the headers around it are the same for all of
them, so they need no thought here. Nothing larger than the tap gives is looked for.

A search sends the largest first, which mostly is the answer, and after that
all sizes of a table at once, a few times. What was answered is good. Where nothing is answered, not even the
smallest, nobody is there (yet): that says nothing of the path, and the search goes on, more and more slowly.

While data flows, the size in use is confirmed every now and then; when it is not answered but the smallest is,
the path has changed, and the search starts again from there (section 4.3, black hole detection).
"""

from __future__ import annotations

import enum

BASE = 1200
"""Taken for granted (RFC 8899, section 5.1.2, BASE_PLPMTU)."""

STEPS = (1232, 1280, 1304, 1328, 1344, 1360, 1372, 1384, 1392, 1400, 1408, 1412, 1420, 1428, 1436, 1440, 1446)
"""What paths with tunnels of their own, PPPoE, or IPv6 leave."""

ROUND = 0.3
"""Seconds until a round of probes counts as unanswered."""
ROUNDS = 4
RAISE = 600.0
"""Seconds until a larger size is tried again (PMTU_RAISE_TIMER)."""
CONFIRM = 5.0
"""Seconds between confirmations, when something was sent in them."""
MISSING = 3
"""Confirmations in a row that failed while the smallest size got through (MAX_PROBES)."""


class State(enum.Enum):
    """What a `PathMtu` is doing."""

    SEARCHING = "searching"
    """Probes are out; what is larger than the limit may be cut by IP on the way."""
    FOUND = "found"
    CONFIRMING = "confirming"
    """The size in use is being tried again."""


class PathMtu:
    """The path of one link. Call `probes` when `deadline` has come, `answered` with each answer."""

    def __init__(self, largest: int, now: float) -> None:
        self.largest = max(BASE, largest)
        self.limit = BASE
        """The largest packet known to get through."""
        self.state = State.SEARCHING
        self.deadline = now
        self._round = 0
        self.active = False
        """To be set when data is sent: then the size in use is confirmed every now and then."""
        self._base_answered = self._limit_answered = False
        self._missed = 0
        self._raise_at = 0.0
        self._heard = False
        """Whether anything was answered in this search."""
        self._silent = 0
        """Rounds without an answer since its beginning."""

    @property
    def searching(self) -> bool:
        """Whether more than the limit may get through."""
        return self.state is State.SEARCHING

    def restart(self, now: float, largest: int | None = None) -> None:
        """Begin again: the path is another one."""
        self.__init__(largest or self.largest, now)  # type: ignore[misc]

    def probes(self, now: float) -> list[int]:
        """Say which sizes to probe now."""
        if now < self.deadline:
            return []
        if self.state is State.FOUND:
            if now >= self._raise_at and self.limit < self.largest:
                self._search(now)
            elif self.active:
                self.state = State.CONFIRMING
                self._missed = 0
                self._base_answered = self._limit_answered = False
                self.deadline = now + ROUND
                return [self.limit, BASE]
            else:
                self.deadline = now + CONFIRM
                return []
        if self.state is State.CONFIRMING:
            return self._confirm(now)
        if self._round > 1 and not self._heard:
            self._silent += 1
            self.deadline = now + min(CONFIRM, ROUND * 2**self._silent)
            return [BASE, self.largest]
        self._round += 1
        if self._round > ROUNDS or self.limit == self.largest:
            self._found(now)
            return []
        self.deadline = now + ROUND
        if self._round == 1:
            return [self.largest]
        base = () if self._heard else (BASE,)
        return [*base, *(size for size in (*STEPS, self.largest) if self.limit < size <= self.largest)]

    def _confirm(self, now: float) -> list[int]:
        if self._limit_answered:
            self.state, self.active = State.FOUND, False
            self.deadline = now + CONFIRM
            return []
        if self._base_answered:
            self._missed += 1
        if self._missed >= MISSING:
            self.limit = BASE
            self._search(now)
            return self.probes(now)
        self._base_answered = False
        self.deadline = now + ROUND
        return [self.limit, BASE]

    def answered(self, size: int, now: float) -> bool:
        """Take the answer to a probe; True if the limit has changed."""
        if self.state is State.CONFIRMING:
            self._base_answered |= size == BASE
            self._limit_answered |= size >= self.limit
        if self.state is not State.SEARCHING:
            return False
        self._heard = True
        if self._silent:  # somebody is there now: begin, without waiting for the end of a long round
            self._silent, self._round, self.deadline = 0, 1, now
        if not self.limit < size <= self.largest:
            return False
        self.limit = size
        if size == self.largest:
            self._found(now)
        return True

    def refused(self, size: int, now: float) -> bool:
        """Take note that our own system will not send so much; True if the limit has changed."""
        if size > self.limit or self.limit == BASE:
            return False
        self.limit = BASE
        self._search(now)
        return True

    def _search(self, now: float) -> None:
        self.state, self.deadline = State.SEARCHING, now
        self._round = self._silent = 0
        self._heard = False

    def _found(self, now: float) -> None:
        self.state, self.active = State.FOUND, False
        self._raise_at = now + RAISE
        self.deadline = now + CONFIRM
