"""make bench-send: files through tin-can, against magic-wormhole, in the same laboratory in one run.

One LAN with three hosts: a server, which has tin-can's switchboard, and wormhole's mailbox server and transit
relay; a sender; a receiver. Sender and receiver reach each other directly, whichever program runs. Each
transfer is a new pair of real commands, and the two programs take turns.

Three payloads. A small file and a large one: the sender has been waiting for a second, and the clock runs from
the start of the receiving command until both commands have ended. A folder of many files: the clock runs from
the start of the sending command, since packing is part of it; the receiver starts when the code is shown. What
arrived is compared with what was sent, after the clock has stopped. All files are in memory (/dev/shm) where
there is room, so that no disk is measured.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from bench import figures
from bench.programs import BenchError, prepare_process, roomy_folder, wait_for_ends
from bench.wormhole import Wormhole
from lab.cans import Can, Switchboard
from lab.netlab import Host, Lab, LabError, Process, root_available

SMALL = 1000
FOLDER_FILE = 10_000
PATIENCE = 300.0


class Program(Protocol):
    """A program that sends files."""

    name: str

    def send(self, host: Host, path: Path) -> tuple[Process, str]:
        """Start sending; returns once the code is shown."""

    def receive(self, host: Host, code: str, folder: Path) -> Process:
        """Start receiving into a folder."""

    def phases(self, receiving: Process) -> str:
        """Say what the time went to, as far as the program itself tells."""


class TinCan:
    """tin-can with a switchboard of its own; everything else as by default, so the LAN counts too."""

    name = "tin-can"

    def __init__(self, server: Host, workspace: Path) -> None:
        self._options = ["--switchboard", Switchboard(server, "--opens-per-minute", "10000").url]
        self._env = {"TMPDIR": str(workspace)}

    def send(self, host: Host, path: Path) -> tuple[Process, str]:
        """Start sending; returns once the phrase is shown."""
        sending = Can(host, "send", *self._options, str(path), env=self._env)
        return sending.process, sending.event("waiting")["phrase"]

    def receive(self, host: Host, code: str, folder: Path) -> Process:
        """Start receiving into a folder."""
        return Can(host, "receive", code, "--to", str(folder), "--yes", *self._options, env=self._env).process

    def phases(self, receiving: Process) -> str:
        """Say when the receiver was connected, and how the bytes went."""
        events = [json.loads(line) for line in receiving.stdout.splitlines()]
        connected = [event["seconds"] for event in events if event["event"] == "connected"]
        carried = ["by TCP" if event["tcp"] else "on the channel" for event in events if event["event"] == "stream"]
        return f"connected after {connected[0]:.3f} s, {(carried or ['on the channel'])[-1]}" if connected else ""


@dataclass(frozen=True)
class Payload:
    """Something to send, how often, and from which command's start the clock runs."""

    name: str
    path: Path
    size: int
    runs: int
    from_sender: bool = False


@dataclass
class Stage:
    """The hosts, the files and the results."""

    sender: Host
    receiver: Host
    workspace: Path
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def transfer(self, program: Program, payload: Payload) -> tuple[float, str]:
        """Send and receive once and compare; return the seconds, and what they went to."""
        target = Path(tempfile.mkdtemp(prefix="received-", dir=self.workspace))
        started = time.perf_counter()
        sending, code = program.send(self.sender, payload.path)
        if not payload.from_sender:
            time.sleep(1)  # it waits by now
            started = time.perf_counter()
        receiving = program.receive(self.receiver, code, target)
        try:
            seconds = wait_for_ends([receiving, sending], PATIENCE) - started
            for process in (sending, receiving):
                if process.wait() != 0:
                    raise BenchError(process.report())
            if fingerprint(target / payload.path.name) != fingerprint(payload.path):
                raise BenchError("what arrived is not what was sent")
        finally:
            for process in (sending, receiving):
                process.close()
            shutil.rmtree(target)
        return seconds, program.phases(receiving)

    def attempt(self, program: Program, payload: Payload, *, counts: bool = True) -> None:
        """Transfer once and keep the result; a failure ends this program's part in this payload."""
        key = (payload.name, program.name)
        if key in self.failures:
            return
        try:
            seconds, phases = self.transfer(program, payload)
        except (BenchError, LabError) as exc:
            self.failures[key] = str(exc)
            return
        if counts:
            self.seconds.setdefault(key, []).append(seconds)
            print(f"    {program.name:<20}{seconds:8.3f} s  {phases}".rstrip(), flush=True)


def fingerprint(path: Path) -> str:
    """Hash a file, or all files of a folder with their names."""
    if not path.exists():
        raise BenchError(f"{path.name} has not arrived")
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    names = sorted(found for found in path.rglob("*") if found.is_file())
    lines = [f"{name.relative_to(path)} {fingerprint(name)}" for name in names]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        while size:
            size -= file.write(os.urandom(min(size, 1 << 20)))


def warm(workspace: Path, size: int) -> None:
    """Use the memory once: what a virtual machine has never used, its host gives it slowly, at the first touch."""
    path = workspace / "warm"
    with path.open("wb") as file:
        for _ in range(0, size, 1 << 20):
            file.write(bytes(1 << 20))
    path.unlink()


def payloads(workspace: Path, chosen: Sequence[str], size: int, files: int, runs: int | None) -> list[Payload]:
    """Make the files that are to be sent."""
    small, large, folder = (workspace / name for name in ("small.bin", "large.bin", "folder"))
    found = []
    if "small" in chosen:
        write_random(small, SMALL)
        found.append(Payload("small", small, SMALL, runs or 7))
    if "large" in chosen:
        write_random(large, size)
        found.append(Payload("large", large, size, runs or 3))
    if "folder" in chosen:
        for number in range(files):
            inner = folder / f"{number // 1000:02}"
            inner.mkdir(parents=True, exist_ok=True)
            write_random(inner / f"{number:05}.bin", FOLDER_FILE)
        found.append(Payload("folder", folder, files * FOLDER_FILE, runs or 3, from_sender=True))
    return found


def title(payload: Payload) -> str:
    if payload.name == "folder":
        return f"{payload.size // FOLDER_FILE} files of 10 kB in a folder, from the sender's start"
    if payload.name == "large":
        return f"{payload.size / 1e9:.2f} GB, from the receiver's start"
    return "1 kB, from the receiver's start"


def show(stage: Stage, payload: Payload, programs: Sequence[Program]) -> None:
    """Print the medians of a payload and the ratios."""
    medians = {}
    for program in programs:
        times = stage.seconds.get((payload.name, program.name))
        if not times:
            continue
        medians[program.name] = statistics.median(times)
        line = f"  {program.name:<20}{figures.spread(times, 3)} s"
        if payload.size > SMALL:
            line += f"   {payload.size / medians[program.name] / 1e6:8.1f} MB/s"
        small = stage.seconds.get(("small", program.name))
        if payload.name == "large" and small:
            rest = medians[program.name] - statistics.median(small)
            line += f", {payload.size / rest / 1e6:.1f} MB/s less the time of 1 kB"
        print(line, flush=True)
    if len(medians) == 2:
        ours, theirs = medians[TinCan.name], medians[Wormhole.name]
        if payload.name == "small":
            figures.target("time, ratio to magic-wormhole", ours / theirs, most=0.5)
        else:
            least = 3.0 if payload.name == "large" else 5.0
            figures.target("times as fast as magic-wormhole", theirs / ours, least=least)


def run(options: argparse.Namespace, workspace: Path) -> Stage:
    makers: list[Callable[[Host, Path], Program]] = [TinCan, Wormhole]
    names = {TinCan.name, Wormhole.name}
    kinds = [only for only in options.only if only not in names]
    with Lab() as lab:
        lan = lab.lan()
        server, sender, receiver = (lan.host(name) for name in ("server", "sender", "receiver"))
        for host in (server, sender, receiver):
            host.names({})  # every other name fails at once
        stage = Stage(sender, receiver, workspace)
        asked = names.intersection(options.only) or names
        programs = [maker(server, workspace) for maker in makers if getattr(maker, "name", "") in asked]
        chosen = figures.wanted(["small", "large", "folder"], kinds)
        warm(workspace, 3 * options.size if "large" in chosen else options.files * FOLDER_FILE)
        for payload in payloads(workspace, chosen, options.size, options.files, options.runs):
            print(f"{title(payload)}, median of {payload.runs}:", flush=True)
            if payload.name == "small":
                for program in programs:
                    stage.attempt(program, payload, counts=False)  # so that all is in the caches, for both
            for _ in range(payload.runs):
                for program in programs:
                    stage.attempt(program, payload)
            show(stage, payload, programs)
    return stage


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.send", description=(__doc__ or "").partition("\n")[0])
    parts = ["small", "large", "folder", TinCan.name, Wormhole.name]
    parser.add_argument("--only", action="append", default=[], choices=parts, help="repeatable")
    parser.add_argument("--runs", type=int, help="transfers of each payload by each program (7, 3 and 3)")
    parser.add_argument("--size", type=figures.size, default=figures.size("1GB"), help="of the large file (1GB)")
    parser.add_argument("--files", type=int, default=10_000, help="files in the folder (10000)")
    options = parser.parse_args()
    if not root_available():
        sys.exit("the benchmark needs Linux, root, ip and nft: it makes a laboratory of network namespaces")
    prepare_process()
    root = roomy_folder(4 * (options.size + options.files * FOLDER_FILE))
    load = os.getloadavg()[0]
    print(f"tin-can and magic-wormhole on one LAN, files under {root}; {os.cpu_count()} processors, load {load:.1f}")
    with tempfile.TemporaryDirectory(prefix="bench-send-", dir=root) as folder:
        stage = run(options, Path(folder))
    for (kind, name), reason in stage.failures.items():
        print(f"FAILED: {name}, {kind}: {reason}")
    sys.exit(1 if stage.failures else 0)


if __name__ == "__main__":
    main()
