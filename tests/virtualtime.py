"""An event loop whose clock jumps: what waits for a minute is tested in a millisecond, and the same each time.

    @in_virtual_time
    async def test_patience() -> None:
        await asyncio.sleep(600)

Whenever nothing is ready to run, the clock is set to the next timer. A test
that waits for something that can never happen fails at once. Sockets and
threads have a clock of their own, so nothing under test may use them.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class NothingCanHappen(AssertionError):
    """All tasks wait, and no timer runs that could end it."""


class _Selector(selectors.SelectSelector):
    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and timeout is None:
            raise NothingCanHappen
        if not ready and timeout is not None:
            self.now += max(0.0, timeout)
        return ready


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """A loop that begins at time 0."""

    def __init__(self) -> None:
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an async test one that runs in virtual time."""

    @functools.wraps(test)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        run(test(*args, **kwargs))

    return wrapped


async def after(what: Awaitable[object]) -> float:
    """Wait for something; return how many seconds that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    await what
    return loop.time() - began
