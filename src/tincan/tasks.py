"""Two small things about asyncio that every room needs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

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


async def settle(*tasks: asyncio.Future[Any]) -> None:
    """Cancel tasks and wait for their ends, whatever these are.

    A cancellation of the caller gets through; the tasks have been cancelled by then.
    """
    for task in tasks:
        task.cancel()
        task.add_done_callback(_looked_at)
    if tasks:
        await asyncio.wait(tasks)


def _looked_at(task: asyncio.Future[Any]) -> None:
    """Take note of how a task ended, or Python complains that nobody did."""
    if not task.cancelled():
        task.exception()
