"""Real tin-can processes in the laboratory: a switchboard, and cans that tell their events as JSON."""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from lab.netlab import Host, Process

TIN_CAN = [sys.executable, "-m", "tincan"]
PORT = 8080


class Switchboard:
    """A switchboard process on a host."""

    def __init__(self, host: Host, *options: str, address: str | None = None, port: int = PORT) -> None:
        self.host = host
        shown = address or host.address
        self.url = f"ws://[{shown}]:{port}" if ":" in shown else f"ws://{shown}:{port}"
        self._argv = [*TIN_CAN, "switchboard", "--listen", f"[::]:{port}", *options]
        self.process = self._start()

    def _start(self) -> Process:
        process = self.host.start(self._argv)
        process.wait_line("listens at", timeout=20, stream="stderr")
        return process

    def kill(self) -> None:
        """Kill it without a chance to say anything."""
        self.process.signal(9)
        self.process.wait(5)

    def restart(self) -> None:
        """Start it again, with nothing remembered."""
        self.process = self._start()


class Can:
    """One tin-can process with --json."""

    def __init__(self, host: Host, command: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.started = time.monotonic()
        self.process = host.start([*TIN_CAN, command, *arguments, "--json", "--name", host.name], env=env)

    def event(self, kind: str, timeout: float = 20) -> dict[str, Any]:
        """Return the next event of a kind, passing over others."""
        line = self.process.wait_line(lambda text: json.loads(text)["event"] == kind, timeout=timeout)
        found: dict[str, Any] = json.loads(line)
        return found

    def say(self, text: str) -> None:
        """Type a line."""
        self.process.write_line(text)

    def hang_up(self, timeout: float = 20) -> int:
        """End its input and return its exit code."""
        self.process.close_stdin()
        return self.process.wait(timeout)

    def wait(self, timeout: float = 20) -> int:
        """Return its exit code."""
        return self.process.wait(timeout)

    @property
    def error(self) -> str:
        """What it said on stderr so far."""
        return self.process.stderr


def meet(attached: Host, tapping: Host, *options: str, phrase: str | None = None) -> tuple[Can, Can]:
    """Let two cans meet with the same options; return both, each on its way to the other."""
    can = Can(attached, "attach-string", *([phrase] if phrase else []), *options)
    waiting = can.event("waiting")
    other = Can(tapping, "tap", phrase or waiting["phrase"], *options)
    return can, other


def converse(a: Can, b: Can) -> tuple[str, str]:
    """Say something each way over the string; return the paths that both report."""
    path_a = a.event("connected", 40)["path"]
    path_b = b.event("connected", 40)["path"]
    a.say("one way, ümläut ✓")
    assert b.event("message")["text"] == "one way, ümläut ✓"
    b.say("and back")
    assert a.event("message")["text"] == "and back"
    b.event("delivered")
    return path_a, path_b
