"""A block of our own in /etc/hosts, so that every program knows the members by name.

::

    # tin-can 4711.88213 begin: taken away when it ends
    172.31.0.101 bob.can
    # tin-can 4711.88213 end

The numbers say which process the block belongs to: its pid, and when it was
started, since pids come again. A block whose process is dead is taken away by
the next one that writes. Nothing else in the file is touched, byte for byte.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from tincan.errors import DeviceMissing

HOSTS: Final = Path("/etc/hosts")
MAX_FILE: Final = 16 * 1024 * 1024

_IN_PLACE: Final = {errno.EBUSY, errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV}

_BLOCK: Final = re.compile(
    rb"^# tin-can (?P<mark>\d{1,10}\.\d{1,20}) begin(?P<glued>\+?):[^\n]*\n(?:(?!# tin-can )[^\n]*\n)*?"
    rb"# tin-can (?P=mark) end\n?",
    re.MULTILINE,
)


def without(content: bytes, wanted: Callable[[str], bool]) -> bytes:
    """Return the file without the blocks whose mark is not wanted. Pure."""
    made, place = bytearray(), 0
    for found in _BLOCK.finditer(content):
        if wanted(found["mark"].decode()):
            continue
        made += content[place : found.start()]
        place = found.end()
        if found["glued"] and place == len(content) and made.endswith(b"\n"):
            del made[-1:]  # the last line had no end before
    return bytes(made) + content[place:]


def with_block(content: bytes, mark: str, entries: Iterable[tuple[str, str]]) -> bytes:
    """Return the file with a block of addresses and names at its end. Pure."""
    lines = [f"{address} {name}\n" for address, name in entries]
    if not lines:
        return content
    glued = "+" if content and not content.endswith(b"\n") else ""
    block = f"# tin-can {mark} begin{glued}: taken away when it ends\n{''.join(lines)}# tin-can {mark} end\n"
    return content + (b"\n" if glued else b"") + block.encode("ascii")


def own_mark() -> str:
    """Return the mark of this process."""
    return f"{os.getpid()}.{_started(os.getpid())}"


def alive(mark: str) -> bool:
    """Whether the process of a mark still runs."""
    pid, _, started = mark.partition(".")
    return _started(int(pid)) == int(started)


def _started(pid: int) -> int | None:
    """When a process was started, in clock ticks since the machine was; None when there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])


class HostsBlock:
    """This process's block. `set` as often as something changes, `remove` at the end."""

    def __init__(self, path: Path = HOSTS) -> None:
        self._path = Path(os.path.realpath(path))
        self._mark = own_mark()

    def set(self, entries: Iterable[tuple[str, str]]) -> None:
        """Write the block: pairs of address and name. Raises `DeviceMissing` when the file cannot be written."""
        kept = list(entries)
        self._change(lambda content: with_block(without(content, self._others), self._mark, kept))

    def remove(self) -> None:
        """Take it away, and those of dead processes."""
        self._change(lambda content: without(content, self._others))

    def _others(self, mark: str) -> bool:
        return mark != self._mark and alive(mark)

    def _change(self, change: Callable[[bytes], bytes]) -> None:
        try:
            with self._locked():
                content = self._path.read_bytes() if self._path.exists() else b""
                if len(content) <= MAX_FILE and (new := change(content)) != content:
                    self._write(new)
        except OSError as exc:
            raise DeviceMissing(f"Names cannot be written into {self._path} ({exc.strerror}).") from exc

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep others of ours out. The folder is locked, since the file is another one each time."""
        handle = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)

    def _write(self, content: bytes) -> None:
        temporary = self._path.with_name(f".{self._path.name}.tin-can-{secrets.token_hex(4)}")
        try:
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                mode = 0o644
                with contextlib.suppress(FileNotFoundError):
                    before = self._path.stat()
                    mode = before.st_mode & 0o7777
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), mode)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        except OSError as exc:
            if exc.errno not in _IN_PLACE:
                raise
            # In containers the file is a mount of its own, which nothing can take the place of; or /etc cannot be
            # written, and the file can.
            with open(self._path, "r+b") as file:
                file.write(content)
                file.truncate()
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
