"""Something that is to be done soon, once for many wishes: each time a file is written costs a while."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

APART: Final = 1.0
"""Seconds between two times."""


class Soon:
    """Does the first time at once, and gathers wishes after it. `run` it in a task; `finish` when that has ended."""

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action
        self._wanted = asyncio.Event()

    def want(self) -> None:
        """Have it done."""
        self._wanted.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._wanted.wait()
            self.finish()
            await asyncio.sleep(APART)

    def finish(self) -> None:
        """Do it now, if it is wanted."""
        if self._wanted.is_set():
            self._wanted.clear()
            self._action()
