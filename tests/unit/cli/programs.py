"""The command as a process of its own, in a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tincan

SOURCE = str(Path(tincan.__file__).parents[1])
PATIENCE = 120.0
"""Seconds after which a process that hangs has failed; all of them take far less."""


def environment(home: Path, **variables: str) -> dict[str, str]:
    """Return the environment of somebody who has set nothing but this."""
    base = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT") if name in os.environ}
    places = {"HOME": str(home), "XDG_CONFIG_HOME": str(home / "config"), "PYTHONPATH": SOURCE}
    return base | places | {"PYTHONWARNINGS": "error", "LC_ALL": "C.UTF-8", "TIN_CAN_STUN": "none"} | variables


def run(
    home: Path, *arguments: str, stdin: str | bytes = "", code: str | None = None, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run ``tin-can`` with these arguments, or a piece of Python, to its end."""
    start = ["-c", code] if code is not None else ["-m", "tincan"]
    done = subprocess.run(
        [sys.executable, *start, *arguments],
        check=False,
        capture_output=True,
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        timeout=PATIENCE,
        env=environment(home, **variables),
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def sentence(done: subprocess.CompletedProcess[str], code: int) -> str:
    """Check that a command ended with one sentence on stderr, and return it."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("tin-can: ")
    assert lines[0].endswith((".", "?", "!"))
    return lines[0]
