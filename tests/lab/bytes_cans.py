"""Real tin-can processes in the laboratory that move bytes: files in, files out, their events on stderr."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab.cans import SECRET, TIN_CAN, settings
from lab.netlab import PATIENCE, Host


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

    def event(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
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

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return its exit code."""
        return self.process.wait(timeout)


def digest(path: Path) -> str:
    """Return what two files with the same content have in common."""
    return hashlib.blake2b(path.read_bytes()).hexdigest()


@dataclass
class Transfer:
    """A `send` and a `receive` of the same phrase."""

    sender: ByteCan
    receiver: ByteCan

    @classmethod
    def begin(
        cls, hosts: tuple[Host, Host], source: Path, target: Path, *options: str, phrase: str = SECRET, **more: bool
    ) -> Transfer:
        """Start both; ``overwrite=True``: what differs in the target is replaced."""
        sender = ByteCan(hosts[0], "send", "--phrase", phrase, *options, str(source))
        taking = ["--to", str(target), "--yes", *(["--overwrite"] if more.get("overwrite") else [])]
        return cls(sender, ByteCan(hosts[1], "receive", phrase, *options, *taking))

    def codes(self, timeout: float = PATIENCE) -> tuple[int, int]:
        """Return both exit codes, the sender's first."""
        return self.sender.wait(timeout), self.receiver.wait(timeout)

    def until(self, share: float) -> None:
        """Wait until the receiver has this share of it."""
        while True:
            told = self.receiver.event("progress")
            if told["done"] >= share * told["total"]:
                return

    def sentences(self) -> tuple[str, str]:
        """Return the one sentence each side complained with."""
        found = []
        for can in (self.sender, self.receiver):
            (line,) = [line for line in can.process.stderr.splitlines() if line.startswith("tin-can: ")]
            assert "Traceback" not in can.process.stderr
            found.append(line.removeprefix("tin-can: "))
        return found[0], found[1]

    def report(self) -> str:
        """Say what both wrote."""
        return f"{self.sender.process.report()}\n{self.receiver.process.report()}"


def slow_down(host: Host, megabits: int) -> None:
    """Let a host send no quicker than this."""
    limit = ["tbf", "rate", f"{megabits}mbit", "burst", "256kb", "latency", "50ms"]
    if host.run(["tc", "qdisc", "replace", "dev", "eth0", "root", *limit]).returncode:
        pytest.skip("needs tc and the kernel's token bucket")


def bytes_sent(host: Host) -> int:
    """Return how many bytes have left a host so far."""
    return int(host.run(["cat", "/sys/class/net/eth0/statistics/tx_bytes"]).stdout)


def described(root: Path) -> dict[str, tuple[int, int, str]]:
    """Return everything below a folder: mode, time, and what is in it."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        content = digest(path) if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(root.parent))] = (status.st_mode, status.st_mtime_ns, content)
    return found
