"""Removes the namespaces of a lab and whatever runs in them: `reaper.py PREFIX DIRECTORY`, once its input ends.

Names go first, so that nobody can enter any more. Whoever was about to (`ip netns exec NAME ...`) is known by the
name among its arguments until it is inside, and from then on by its namespace. All namespaces are held open
meanwhile: the number of one that is gone is given to the next one that is made, by anybody on this machine.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import time

MOUNTS = "/run/netns"  # where `ip netns` keeps the names
FILES = "/etc/netns"  # `ip netns exec NAME` mounts FILES/NAME/* over the files in /etc


def remove(prefix: str, directory: str) -> None:
    """Remove all that a lab has made."""
    paths = glob.glob(f"{MOUNTS}/{prefix}-*")
    held = [os.open(path, os.O_RDONLY) for path in paths]
    lines = "".join(f"netns del {os.path.basename(path)}\n" for path in paths)
    subprocess.run(["ip", "-force", "-batch", "-"], input=lines.encode(), check=False)
    spaces = {os.fstat(fd).st_ino for fd in held}
    while pids := entering(prefix) | inside(spaces):  # in this order: nobody comes from outside any more
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.002)  # dying takes a moment
    for path in [directory, *glob.glob(f"{FILES}/{prefix}-*")]:
        shutil.rmtree(path, ignore_errors=True)


def entering(prefix: str) -> set[int]:
    """Return who is about to enter, or was when it was started."""
    found = set()
    for pid in processes():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
            if words[:3] == [b"ip", b"netns", b"exec"] and words[3].startswith(f"{prefix}-".encode()):
                found.add(pid)
    return found


def inside(spaces: set[int]) -> set[int]:
    """Return who is in one of these; the dead, whom nobody has collected yet, are in none."""
    found = set()
    for pid in processes():
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/net").st_ino in spaces:
                found.add(pid)
    return found


def processes() -> list[int]:
    """Return the numbers of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


if __name__ == "__main__":
    sys.stdin.buffer.read()
    remove(*sys.argv[1:])
