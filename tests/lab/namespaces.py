"""Network namespaces: made under names of one run, entered by threads, removed whatever happens.

Removal belongs to a reaper (`lab.reaper`): a small program in a session of its own that waits on a pipe. It
cleans up when the lab says so and just as well when the pipe closes because the lab's process died, SIGKILL
included. It touches only names that begin with the run's prefix.
"""

from __future__ import annotations

import ctypes
import functools
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import ParamSpec, TypeVar

from lab import reaper

P = ParamSpec("P")
T = TypeVar("T")

CLONE_NEWNET = 0x40000000  # <sched.h>
MOUNTS = Path(reaper.MOUNTS)
FILES = Path(reaper.FILES)


class LabError(Exception):
    """The laboratory could not do what it was asked."""


def root_available() -> bool:
    """Whether namespaces can be made here: Linux, root with its capabilities, `ip` and `nft`."""
    if sys.platform != "linux" or os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("nft")):
        return False
    return _in_thread(lambda: bool(_libc().unshare(CLONE_NEWNET) == 0))


class Registry:
    """The names of one run, its temporary directory, and the reaper that removes both."""

    def __init__(self) -> None:
        self.prefix = _unused_prefix()
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.prefix}-"))
        self._names: set[str] = set()
        self._reaper = subprocess.Popen(
            [sys.executable, "-I", "-S", reaper.__file__, self.prefix, str(self.directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def namespace(self, label: str) -> Namespace:
        """Make a namespace with its loopback up; labels are unique within the run."""
        if label in self._names:
            raise LabError(f"there is a {label!r} in this lab already")
        self._names.add(label)
        return Namespace(f"{self.prefix}-{label}")

    def unused_label(self, stem: str) -> str:
        """Give a label nobody has: stem1, stem2, ..."""
        return next(label for n in range(1, 10_000) if (label := f"{stem}{n}") not in self._names)

    def close(self, timeout: float = 120) -> None:
        """Have the reaper kill what still runs in the namespaces and remove them."""
        self._reaper.communicate(b"done\n", timeout)


class Namespace:
    """One network namespace."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.files = FILES / name
        _execute(["ip", "netns", "add", name])
        # Duplicate address detection would keep every IPv6 address unusable for a second or two. Switched off here
        # and not per address (nodad), so that "tentative" still shows until an address is truly usable.
        dad = {f"net.ipv6.conf.{which}.accept_dad": 0 for which in ("all", "default")}
        self.sysctl(dad | {"net.ipv6.conf.default.dad_transmits": 0})
        self.ip(["link set lo up"])

    def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function inside: sockets it opens and programs it starts live in this namespace."""

        def inside() -> T:
            with (MOUNTS / self.name).open() as entry:
                if _libc().setns(entry.fileno(), CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), f"setns {self.name}")
            return function(*args, **kwargs)

        return _in_thread(inside)

    def socket(self, family: int = socket.AF_INET, kind: int = socket.SOCK_DGRAM) -> socket.socket:
        """Open a socket inside, usable from here."""
        return self.call(socket.socket, family, kind)

    def ip(self, lines: Sequence[str]) -> str:
        """Run `ip` once for all these lines; returns what they show."""
        return self.call(_execute, ["ip", "-details", "-batch", "-"], "\n".join(lines) + "\n")

    def nft(self, rules: str) -> str:
        """Load a ruleset, all of it or nothing; returns what it lists."""
        return self.call(_execute, ["nft", "-f", "-"], rules)

    def sysctl(self, values: Mapping[str, int]) -> None:
        """Set kernel parameters of this namespace."""

        def write() -> None:
            for key, value in values.items():
                Path("/proc/sys", key.replace(".", "/")).write_text(f"{value}\n")

        self.call(write)

    def write_file(self, name: str, text: str) -> None:
        """Put a file in place of /etc/NAME for the programs run inside.

        Rewritten in place, so a program that runs already sees the new text too.
        """
        self.files.mkdir(parents=True, exist_ok=True)
        (self.files / name).write_text(text)

    def argv(self, command: Sequence[str]) -> list[str]:
        """Say how to run a command inside; `ip` replaces itself by it, so the pid is the command's."""
        return ["ip", "netns", "exec", self.name, *command]


def _execute(argv: list[str], text: str = "") -> str:
    done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip()}\n{text}")
    return done.stdout


def _in_thread(function: Callable[[], T]) -> T:
    """Run a function in a thread of its own, which may change namespaces and takes the change with it."""
    outcome: Future[T] = Future()

    def work() -> None:
        try:
            outcome.set_result(function())
        except BaseException as exc:  # handed to the caller, whatever it is
            outcome.set_exception(exc)

    threading.Thread(target=work, daemon=True).start()
    return outcome.result()


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _unused_prefix() -> str:
    while True:
        prefix = f"tc{secrets.token_hex(4)}"
        if not any(any(where.glob(f"{prefix}-*")) for where in (MOUNTS, FILES)):
            return prefix
