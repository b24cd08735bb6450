"""Programs that must keep time, as sound servers and calls do, on a machine that is busy with other things."""

from __future__ import annotations

import contextlib
import os


def keep_time(pid: int) -> None:
    """Let a process just started, and whatever it starts, come before all ordinary ones; where that is allowed."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(pid, os.SCHED_RR, os.sched_param(5))
