"""Programs that must keep time, as sound servers and calls do, on a machine that is busy with other things."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


def keep_time(pid: int) -> None:
    """Let a process just started, and whatever it starts, come before all ordinary ones; where that is allowed."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(5))


@contextlib.contextmanager
def keeping_time() -> Iterator[None]:
    """The same for this process, and for threads that are made meanwhile."""
    keep_time(0)
    try:
        yield
    finally:
        with contextlib.suppress(OSError, AttributeError):
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
