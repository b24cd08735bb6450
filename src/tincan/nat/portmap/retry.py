"""When to send a request again, and when to give up: a core that is told the time.

retries = Retries(NAT_PMP, now)
if retries.take(now): send the request
wait for an answer until retries.next_deadline(), and ask again; None: give up
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

NAT_PMP: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Seconds after each request. RFC 6886 (3.1) doubles nine times, over two minutes; whoever has no answer after
8 s has no such router."""

GOODBYE: Final = (0.25, 0.5)
"""The same for the request to delete, which has one second."""

UNHEARD: Final = (0.05,)
"""And for a router that never said a word, where most likely there is nobody to answer."""

_PCP_FIRST: Final = 3.0  # RFC 6887, 8.1.1: IRT


def pcp_schedule(chance: float) -> tuple[float, ...]:
    """Return the waits of RFC 6887 (8.1.1) for two requests. ``chance``: 0 to 1, spreads them by a tenth."""
    spread = 0.9 + 0.2 * chance
    return (_PCP_FIRST * spread, 2 * _PCP_FIRST * spread)


class Retries:
    """The times at which one request is sent, the last of them being the time to give up."""

    def __init__(self, waits: Sequence[float], now: float) -> None:
        self._sends = [now + passed for passed in accumulate((0.0, *waits))]
        self._end = self._sends.pop()

    def take(self, now: float) -> bool:
        """Say whether to send now; what is overdue several times is sent once."""
        due = False
        while self._sends and self._sends[0] <= now:
            self._sends.pop(0)
            due = True
        return due

    def next_deadline(self, now: float) -> float | None:
        """Return the time until which to wait for an answer; None when there is nothing more to wait for."""
        if self._sends:
            return self._sends[0]
        return self._end if now < self._end else None
