"""Real tin-can processes in the laboratory that move bytes: files in, files out, their events on stderr."""

from __future__ import annotations

import hashlib
import json
import shlex
from pathlib import Path
from typing import Any

from lab.cans import TIN_CAN, settings
from lab.netlab import Host


class ByteCan:
    """One tin-can process with --json, its stdin and stdout being files, and its events on ``stream``."""

    def __init__(
        self, host: Host, command: str, *arguments: str, stdin: Path | None = None, stdout: Path | None = None
    ) -> None:
        self.host = host
        self._events = "stderr" if command == "pipe" else "stdout"
        line = shlex.join([*TIN_CAN, command, "--json", "--name", host.name, *arguments])
        script = f"exec {line} < {shlex.quote(str(stdin or '/dev/null'))}"
        if stdout is not None:
            script += f" > {shlex.quote(str(stdout))}"
        self.process = host.start(["sh", "-c", script], env=settings())

    def event(self, kind: str, timeout: float = 30) -> dict[str, Any]:
        """Return the next event of a kind, passing over others."""

        def wanted(text: str) -> bool:
            return text.startswith("{") and bool(json.loads(text)["event"] == kind)

        line = self.process.wait_line(wanted, timeout=timeout, stream=self._events)  # type: ignore[arg-type]
        found: dict[str, Any] = json.loads(line)
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        """Return all events of a kind so far."""
        text = self.process.stderr if self._events == "stderr" else self.process.stdout
        found = [json.loads(line) for line in text.splitlines() if line.startswith("{") and line.endswith("}")]
        return [event for event in found if event["event"] == kind]

    def wait(self, timeout: float = 60) -> int:
        """Return its exit code."""
        return self.process.wait(timeout)


def digest(path: Path) -> str:
    """Return what two files with the same content have in common."""
    return hashlib.blake2b(path.read_bytes()).hexdigest()
