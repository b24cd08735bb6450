"""The clock of a pure core that forgets things: one timer, for whatever it has to forget next."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Expiry:
    """Calls ``expire`` with the loop's time when ``next_deadline`` has come."""

    def __init__(self, next_deadline: Callable[[], float | None], expire: Callable[[float], None]) -> None:
        self._next_deadline = next_deadline
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Note that there may be something to forget; deadlines only ever come later than those before."""
        deadline = self._next_deadline()
        if self._timer is None and deadline is not None:
            self._timer = asyncio.get_running_loop().call_at(deadline, self._ring)

    def stop(self) -> None:
        """Forget nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _ring(self) -> None:
        self._timer = None
        self._expire(asyncio.get_running_loop().time())
        self.arm()
