"""Programs of the laboratory under measurement: real pipes at both ends, bytes through them, and what that cost.

The benchmark holds the far end of a program's standard input and output itself until one byte has passed, and
only then hands them on to the producer and the consumer. So connecting never counts, whoever the program is,
and nothing needs to be known of what it says when it is connected.
"""

from __future__ import annotations

import compileall
import contextlib
import os
import re
import select
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import tincan
from lab.netlab import Host, LabError, Process

METER = Path(__file__).parent / "meter.py"
FIRST_BYTE = b"."
PATIENCE = 120.0
"""Seconds for one transfer: what takes longer has stopped, or is of no interest."""
QUIET = {"LC_ALL": "C"}


class BenchError(Exception):
    """A program under measurement did not do what was expected of it."""


@dataclass(frozen=True)
class Used:
    """What a program used: CPU seconds, and bytes of memory at its peak."""

    cpu: float
    peak: int


def prepare_process() -> None:
    """Make this process clean up when it is terminated, and compile tin-can, as pip does with what it installs.

    Python compiles at the first start by itself, but not where its environment forbids writing; then each start
    would take longer and need more memory than an installed program's.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    compileall.compile_dir(str(Path(tincan.__file__).parent), quiet=2)


def roomy_folder(needed: int) -> Path:
    """Return where files go: in memory if there is room, so that no disk is measured, else with temporary files."""
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > needed:
        return memory
    return Path(tempfile.gettempdir())


def wait_for_ends(processes: Sequence[Process], timeout: float) -> float:
    """Wait until all have ended and return when the last one did, on `time.perf_counter`'s clock.

    Exact to well under a millisecond, where waiting with a timeout in the standard library looks every 50 ms.
    """
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as stack:
        for process in processes:
            if process.returncode is not None:
                continue
            ended = os.pidfd_open(process.pid)
            stack.callback(os.close, ended)
            if not select.select([ended], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BenchError(f"still running after {timeout:g} s\n{process.report()}")
    return time.perf_counter()


class Program:
    """A program on a host, with its memory and CPU time metered."""

    def __init__(self, host: Host, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.host = host
        self._report = host.lab.registry.directory / f"used-{os.urandom(8).hex()}"
        read_in, self._feeder = os.pipe()
        self._outlet, write_out = os.pipe()
        metered = [sys.executable, "-I", "-S", str(METER), str(self._report), *argv]
        try:
            self.process = host.start(metered, stdin=read_in, stdout=write_out, env=env)
        finally:
            os.close(read_in)
            os.close(write_out)

    def feed(self, data: bytes) -> None:
        """Write to its standard input."""
        try:
            os.write(self._feeder, data)
        except BrokenPipeError:
            raise BenchError(f"it takes no input\n{self.process.report()}") from None

    def expect_first_byte(self, timeout: float) -> None:
        """Read the one byte that shows that the connection stands."""
        ready = select.select([self._outlet], [], [], timeout)[0]
        found = os.read(self._outlet, 1) if ready else b""
        if found != FIRST_BYTE:
            problem = f"wrote {found!r}" if ready else f"wrote nothing in {timeout:g} s"
            raise BenchError(f"it {problem} instead of the first byte\n{self.process.report()}")

    def producer(self, command: str) -> Process:
        """Prepare a shell command to write into this program; a line to its standard input sets it going."""
        argv = ["sh", "-c", f"read -r _; exec {command}"]
        process = self.host.start(argv, stdout=self._feeder, env=QUIET)
        self.end_input()
        return process

    def consumer(self, command: str) -> Process:
        """Have a shell command read what this program writes."""
        process = self.host.start(["sh", "-c", f"exec {command}"], stdin=self._outlet, env=QUIET)
        os.close(self._outlet)
        self._outlet = -1
        return process

    def end_input(self) -> None:
        """Close our end of its standard input."""
        if self._feeder >= 0:
            os.close(self._feeder)
            self._feeder = -1

    def finish(self, timeout: float, *, politely: bool) -> Used:
        """Wait for its end, by itself if it is to end `politely`, and say what it used."""
        self.end_input()
        if politely:
            wait_for_ends([self.process], timeout)
            if (code := self.process.wait()) != 0:
                raise BenchError(f"exit code {code}\n{self.process.report()}")
        elif self.process.returncode is None:
            with contextlib.suppress(LabError):
                self.process.wait(0.5)
            self.process.stop()
        if not self._report.exists():
            raise BenchError(f"it had to be killed\n{self.process.report()}")
        cpu, peak = self._report.read_text().split()
        return Used(float(cpu), int(peak) * 1024)

    def discard(self) -> None:
        """Kill it if it still runs and let go of the pipes; always safe."""
        self.process.close()
        self.end_input()
        if self._outlet >= 0:
            os.close(self._outlet)
            self._outlet = -1


@dataclass(frozen=True)
class Direction:
    """One way through two programs: from the one's standard input to the other's standard output."""

    source: Program
    target: Program

    def connect(self, timeout: float) -> None:
        """Let one byte pass."""
        self.source.feed(FIRST_BYTE)
        self.target.expect_first_byte(timeout)


def flow(directions: Sequence[Direction], produce: Sequence[str], consume: str) -> tuple[float, list[str]]:
    """Send what the commands produce, all directions at once; return the seconds, and what each consumer printed.

    Time runs from letting the producers go to the end of the last consumer, which has then seen the end of file.
    """
    consumers = [direction.target.consumer(consume) for direction in directions]
    pairs = zip(directions, produce, strict=True)
    producers = [direction.source.producer(command) for direction, command in pairs]
    time.sleep(0.3)  # the shells are waiting by then
    started = time.perf_counter()
    for producer in producers:
        producer.write_line("")
    try:
        ended = wait_for_ends(consumers, PATIENCE)
    except BenchError as exc:
        programs = [program for direction in directions for program in (direction.source, direction.target)]
        raise BenchError("\n".join([str(exc), *(program.process.report() for program in programs)])) from None
    for process in (*producers, *consumers):
        process.wait()
    return ended - started, [process.stdout + process.stderr for process in consumers]


def counted(text: str) -> int:
    """Return the number of bytes in what ``dd`` printed."""
    match = re.search(r"^(\d+) bytes", text, re.MULTILINE)
    if match is None:
        raise BenchError(f"dd printed no number of bytes: {text!r}")
    return int(match[1])
