"""Two small things about asyncio that every room needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator

from tincan.errors import TinCanError


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Let one error out of a TaskGroup's bundle: ours if there is one, else the first."""
    try:
        yield
    except BaseExceptionGroup as bundle:
        found = list(_leaves(bundle))
        ours = [exc for exc in found if isinstance(exc, TinCanError)]
        chosen = (ours or found)[0]
        raise chosen from chosen.__cause__


def _leaves(bundle: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for exc in bundle.exceptions:
        if isinstance(exc, BaseExceptionGroup):
            yield from _leaves(exc)
        else:
            yield exc


async def settle(task: asyncio.Task[object]) -> None:
    """Cancel a task and wait for its end, whatever that is."""
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await task
