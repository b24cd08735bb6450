"""Look at what is to be sent: names, sizes, modes and times. No content is read.

Symlinks inside folders are neither followed nor sent, since they could lead
anywhere, here or there; one that the user names is followed. What is neither
file nor folder (a pipe, a device) is left out. Both are counted.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from tincan.apps.files.events import FileLeftOut, FilesEvent, NotSent
from tincan.apps.files.frames import MAX_ENTRIES, Entry
from tincan.apps.files.manifest import Manifest, make_manifest
from tincan.apps.files.names import MAX_DEPTH, MAX_NAME, is_partial_name, safe_parts
from tincan.apps.files.plain import why
from tincan.errors import ProtocolError, UsageError

STDIN_MODE = 0o644


class Source(msgspec.Struct, frozen=True):
    """Something to send. ``path``: None for standard input; ``name``: what the receiver calls it."""

    path: Path | None
    name: str


@dataclass
class Scanned:
    """What was found. ``paths``: where the content of each entry is, "" for standard input."""

    entries: list[Entry] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    left_out: list[FileLeftOut] = field(default_factory=list)
    symlinks: int = 0
    specials: int = 0

    def manifest(self) -> Manifest:
        """Return what is to be offered."""
        if not self.entries:
            raise UsageError("There is nothing to send: nothing of what was named can be read as file or folder.")
        return make_manifest(self.entries)

    def events(self) -> list[FilesEvent]:
        """Return what the user is to know of what is not offered."""
        events: list[FilesEvent] = list(self.left_out)
        if self.symlinks:
            events.append(NotSent(self.symlinks, "symlinks"))
        if self.specials:
            events.append(NotSent(self.specials, "special files"))
        return events


def named(path: str, name: str | None = None) -> Source:
    """Return what a user means by a path, ``-`` being standard input; `UsageError` when there is no such thing."""
    if path == "-":
        source = Source(None, name or "stdin")
    else:
        try:
            mode = os.stat(path).st_mode
        except OSError as exc:
            raise UsageError(f"{path} cannot be sent: {why(exc)}.") from exc
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise UsageError(f"{path} is neither a file nor a folder; what comes from a pipe is sent with '-'.")
        if not os.access(path, os.R_OK):
            raise UsageError(f"{path} cannot be sent: permission denied.")
        source = Source(Path(path), name or os.path.basename(os.path.abspath(path)))
        if not source.name:
            raise UsageError(f"{path} has no name to send it by; give it one with --as.")
    if "/" in source.name or not _can_be_sent(source.name):
        raise UsageError(f"{source.name!r} is no name that a file can be sent by; give another one with --as.")
    return source


def distinct(sources: Sequence[Source]) -> Sequence[Source]:
    """Return the sources; `UsageError` when two would get one name."""
    seen: set[str] = set()
    for source in sources:
        if source.name in seen:
            raise UsageError(f"Two of these are called {source.name!r}; send one of them by itself, with --as.")
        seen.add(source.name)
    if sum(source.path is None for source in sources) > 1:
        raise UsageError("Standard input can be sent only once.")
    return sources


def scan(sources: Sequence[Source], enough: threading.Event | None = None) -> Scanned:
    """Walk through the sources, until they are too many for one offer or ``enough`` is set."""
    enough = enough or threading.Event()
    found = Scanned()
    for source in distinct(sources):
        if source.path is None:
            found.entries.append(Entry(source.name, -1, STDIN_MODE, 0))
            found.paths.append("")
            continue
        path = os.path.realpath(source.path)
        try:
            status = os.stat(path)
        except OSError as exc:
            found.left_out.append(FileLeftOut(source.name, why(exc)))
            continue
        if _add(found, source.name, path, status):
            _walk(found, source.name, path, enough)
    return found


def _walk(found: Scanned, name: str, path: str, enough: threading.Event) -> None:
    """Add everything below a folder, each folder before what is in it."""
    waiting = [(name, path)]
    while waiting and len(found.entries) <= MAX_ENTRIES and not enough.is_set():
        name, path = waiting.pop()
        try:
            with os.scandir(path) as listing:
                children = sorted(listing, key=lambda entry: entry.name)
        except OSError as exc:
            found.left_out.append(FileLeftOut(name, why(exc)))
            continue
        folders = []
        deep = name.count("/") + 1 >= MAX_DEPTH
        for child in children:
            below = f"{name}/{child.name}"
            if deep or len(below.encode(errors="replace")) > MAX_NAME or not _can_be_sent(child.name):
                found.left_out.append(FileLeftOut(_printable(below), "its name cannot be sent"))
                continue
            try:
                status = child.stat(follow_symlinks=False)
                if stat.S_ISLNK(status.st_mode):
                    found.symlinks += 1
                elif _add(found, below, child.path, status):
                    folders.append((below, child.path))
            except OSError as exc:
                found.left_out.append(FileLeftOut(below, why(exc)))
        waiting += reversed(folders)


def _add(found: Scanned, name: str, path: str, status: os.stat_result) -> bool:
    """Add one entry; return whether it is a folder to walk through."""
    folder = stat.S_ISDIR(status.st_mode)
    if folder or stat.S_ISREG(status.st_mode):
        # Windows makes modes up, and they would be readable and writable for everybody.
        mode = stat.S_IMODE(status.st_mode) & 0o777 if os.name != "nt" else 0o755 if folder else 0o644
        found.entries.append(Entry(name, 0 if folder else status.st_size, mode, status.st_mtime_ns, folder))
        found.paths.append(path)
    else:
        found.specials += 1
    return folder


def _can_be_sent(name: str) -> bool:
    if is_partial_name(name):
        return False
    if name.isascii() and "\\" not in name:
        return True
    try:
        name.encode()
        safe_parts(name)
    except (UnicodeEncodeError, ProtocolError):
        return False
    return True


def _printable(name: str) -> str:
    return name.encode(errors="replace").decode()
