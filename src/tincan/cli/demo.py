"""``tin-can demo``: the main job, shown with two real processes on this machine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import click

from tincan.errors import NobodyCame

PATIENCE = 30.0
"""Seconds for the whole demo; it takes about one."""


class _Can:
    """One tin-can process and the events it has told."""

    def __init__(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-m", "tincan", *arguments, "--json", "--quiet", "--name", name]
        self.name = name
        self._events: list[dict[str, object]] = []
        self._over = False
        self._news = threading.Condition()
        # The user's phrase and places are for talking to others.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("TIN_CAN_")}
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        for line in self._process.stdout:
            with self._news:
                self._events.append(json.loads(line))
                self._news.notify_all()
        with self._news:
            self._over = True
            self._news.notify_all()

    def wait(self, event: str, deadline: float) -> dict[str, object]:
        """Return the first event of a kind."""

        def find() -> dict[str, object] | None:
            return next((e for e in self._events if e["event"] == event), None)

        with self._news:
            self._news.wait_for(lambda: self._over or find() is not None, max(0.0, deadline - time.monotonic()))
            found = find()
            if found is None:
                raise NobodyCame(f"The demo got stuck: {self.name} did not get to {event!r}. See tin-can doctor.")
            return found

    def say(self, text: str) -> None:
        """Type a line."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.write(text + "\n")

    def end(self) -> int:
        """Close its stdin and return its exit code."""
        assert self._process.stdin is not None  # noqa: S101 - asked for above
        self._process.stdin.close()
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):  # what was typed and never read
                    stream.close()


@click.command()
def demo() -> int:
    """Start two cans on this machine and let them find each other and talk."""
    deadline = time.monotonic() + PATIENCE
    return _show(print, deadline)


def _show(say: Callable[[str], None], deadline: float) -> int:
    cans: list[_Can] = []
    try:
        alice = _Can("Alice", "attach-string")
        cans.append(alice)
        phrase = str(alice.wait("waiting", deadline)["phrase"])
        say(f"Alice types   tin-can attach-string      and gets the phrase  {phrase}")
        started = time.monotonic()
        bob = _Can("Bob", "tap", phrase)
        cans.append(bob)
        say(f"Bob types     tin-can tap {phrase}")
        connected = bob.wait("connected", deadline)
        bob.say("Hello Alice, can you hear me?")
        heard = alice.wait("message", deadline)
        seconds = time.monotonic() - started
        say(f"Alice reads   {heard['from']}: {heard['text']}")
        alice.say("Loud and clear, Bob.")
        answer = bob.wait("message", deadline)
        say(f"Bob reads     {answer['from']}: {answer['text']}")
        bob.wait("message", deadline)
        codes = [bob.end(), alice.end()]
        say("")
        say(f"{seconds:.2f} s from Bob's Enter to his first message on Alice's screen,")
        say(f"met at: {connected['place']}, path in use: {connected['path']}, no server, both ended with {codes}.")
        return 0 if codes == [0, 0] else 1
    finally:
        for can in cans:
            can.kill()
