"""Runs one command and writes what it used: ``meter.py REPORT COMMAND...``, run by `bench.programs.Program`.

A parent learns exactly what its child used when the child ends (wait4), so nothing is sampled. The figures
are of the command and of those children of its own that it waited for: CPU seconds of all, peak memory of
the largest. This process is small, and forks before it has loaded anything worth counting.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def main() -> int:
    report, *command = sys.argv[1:]
    pid = os.posix_spawnp(command[0], command, os.environ)
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1):  # the command's alone, so that the end of file shows when the command closes them
        os.dup2(nothing, number)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda signum, frame: os.kill(pid, signum))
    _, status, used = os.wait4(pid, 0)
    Path(report).write_text(f"{used.ru_utime + used.ru_stime} {used.ru_maxrss}\n")
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    os._exit(main())
