"""Programs started in a namespace: lines in and out with deadlines, output kept for failure messages."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Literal

from lab.namespaces import LabError, Namespace

Matcher = str | re.Pattern[str] | Callable[[str], bool]
Stream = Literal["stdout", "stderr"]

PATIENCE = 120.0
"""Seconds to wait for anything, unless somebody says otherwise: a machine may be slow, and busy with other tests."""

LINGER = 30.0
"""Seconds in which all that a program wrote is read once it has ended; a daemonized child may keep the pipe open."""

SHOWN = 4000  # characters of each stream in a failure message


class WaitTimeout(LabError, TimeoutError):
    """What was waited for did not come in time."""


class Process:
    """A program running in a namespace.

    A regular expression is searched for in a line, not matched against all of it. Every line is given out
    once: `wait_line` passes over the lines before the one it returns, and the next call begins after it.
    """

    def __init__(
        self,
        namespace: Namespace,
        argv: Sequence[str | os.PathLike[str]],
        *,
        stdin: int | IO[bytes] = subprocess.PIPE,
        stdout: int | IO[bytes] = subprocess.PIPE,
        stderr: int | IO[bytes] = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.argv = [os.fspath(word) for word in argv]
        self.where = namespace.name
        self._popen = subprocess.Popen(
            namespace.argv(self.argv),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            bufsize=0,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        self._streams = {
            "stdout": _Reader(self._popen.stdout, f"{self.where} stdout"),
            "stderr": _Reader(self._popen.stderr, f"{self.where} stderr"),
        }

    @property
    def pid(self) -> int:
        """The program's process id."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, None while it runs."""
        return self._popen.poll()

    @property
    def stdout(self) -> str:
        """Everything written to standard output until now."""
        return self._streams["stdout"].content.decode(errors="replace")

    @property
    def stdout_bytes(self) -> bytes:
        """The same, undecoded."""
        return self._streams["stdout"].content

    @property
    def stderr(self) -> str:
        """Everything written to standard error until now."""
        return self._streams["stderr"].content.decode(errors="replace")

    def wait_line(self, wanted: Matcher, timeout: float = PATIENCE, stream: Stream = "stdout") -> str:
        """Return the next matching line, without its line end; fails at the deadline or the stream's end."""
        line = self._streams[stream].find(_predicate(wanted), time.monotonic() + timeout)
        if line is None:
            ended = self._streams[stream].ended
            problem = f"{stream} ended without" if ended else f"no line on {stream} in {timeout:g} s that is"
            raise WaitTimeout(f"{problem} {wanted!r}\n{self.report()}")
        return line

    def read_line(self, timeout: float = PATIENCE, stream: Stream = "stdout") -> str:
        """Return the next line, whatever it says."""
        return self.wait_line(_anything, timeout, stream)

    def write(self, data: str | bytes) -> None:
        """Write to standard input; waits while the pipe is full."""
        if self._popen.stdin is None:
            raise LabError(f"{self.argv[0]} was started without a pipe to its standard input")
        view = memoryview(data.encode() if isinstance(data, str) else data)
        try:
            while view:
                view = view[os.write(self._popen.stdin.fileno(), view) :]
        except BrokenPipeError as exc:
            raise LabError(f"standard input is closed\n{self.report()}") from exc

    def write_line(self, text: str) -> None:
        """Write one line to standard input."""
        self.write(text + "\n")

    def close_stdin(self) -> None:
        """End standard input."""
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def signal(self, number: int) -> None:
        """Send a signal to the program alone."""
        self._popen.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait for the end and return the exit status; the output is complete then."""
        try:
            status = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise WaitTimeout(f"still running after {timeout:g} s\n{self.report()}") from None
        for reader in self._streams.values():
            reader.join(LINGER)
        return status

    def stop(self, timeout: float = PATIENCE) -> int:
        """Ask the program to end (SIGTERM), and insist (SIGKILL) after the timeout."""
        self.signal(signal.SIGTERM)
        try:
            return self.wait(timeout)
        except WaitTimeout:
            self.signal(signal.SIGKILL)
            return self.wait(timeout)

    def close(self) -> None:
        """Kill the program with all of its group and let go of the pipes."""
        if self._popen.returncode is None:  # else its number may be another program's by now
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._popen.pid, signal.SIGKILL)
        self.close_stdin()
        self._popen.wait()
        for reader in self._streams.values():
            reader.join(LINGER)

    def report(self) -> str:
        """Say what was run and what it wrote."""
        status = self.returncode
        state = f"pid {self.pid}, running" if status is None else f"exit status {status}"
        text = [f"{self.where}: {' '.join(self.argv)} ({state})"]
        for name, content in (("stdout", self.stdout), ("stderr", self.stderr)):
            text.append(f"--- {name} ---\n{content[-SHOWN:].rstrip()}")
        return "\n".join(text)


class _Reader:
    """Collects one stream in a thread and looks for lines in it."""

    def __init__(self, stream: IO[bytes] | None, name: str) -> None:
        self._data = bytearray()
        self._cursor = 0
        self._changed = threading.Condition()
        self.ended = stream is None
        self._thread: threading.Thread | None = None
        if stream is not None:
            self._thread = threading.Thread(target=self._read, args=(stream,), name=name, daemon=True)
            self._thread.start()

    @property
    def content(self) -> bytes:
        with self._changed:
            return bytes(self._data)

    def join(self, timeout: float) -> None:
        if self._thread is not None:
            self._thread.join(timeout)

    def find(self, wanted: Callable[[str], bool], deadline: float) -> str | None:
        with self._changed:
            while True:
                while (line := self._next_line()) is not None:
                    if wanted(line):
                        return line
                remaining = deadline - time.monotonic()
                if self.ended or remaining <= 0:
                    return None
                self._changed.wait(remaining)

    def _next_line(self) -> str | None:
        end = self._data.find(b"\n", self._cursor)
        if end < 0:
            if not self.ended or self._cursor == len(self._data):
                return None
            end = len(self._data)
        line = self._data[self._cursor : end]
        self._cursor = min(end + 1, len(self._data))
        return line.decode(errors="replace").removesuffix("\r")

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := os.read(stream.fileno(), 65536):
                with self._changed:
                    self._data += chunk
                    self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()


def _anything(line: str) -> bool:
    return True


def _predicate(wanted: Matcher) -> Callable[[str], bool]:
    if callable(wanted):
        return wanted
    expression = re.compile(wanted)
    return lambda line: expression.search(line) is not None
