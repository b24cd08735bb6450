"""The folders below the target, opened so that no symlink is ever followed.

Where the system can (Linux, macOS), every folder is opened relative to the
one above it with O_NOFOLLOW, and everything in it is named relative to that
handle: neither a symlink that was there before nor one that is swapped in
meanwhile leads out of the target. Elsewhere (Windows) each component is
looked at before it is used, which leaves a moment in between.

A bounded number of handles is kept, the ones used last: files come folder by
folder, so few are opened twice.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import OrderedDict
from pathlib import Path

from tincan.apps.files.names import PARTIAL

MAX_HANDLES = 64
"""Folders kept open; systems allow 256 files at least."""

HANDLES = os.open in os.supports_dir_fd and hasattr(os, "O_NOFOLLOW") and hasattr(os, "O_DIRECTORY")
"""Whether this system can name files relative to an open folder."""

_TMPFILE = getattr(os, "O_TMPFILE", 0)
_OPEN_FILES = "/proc/self/fd"
NAMELESS = HANDLES and bool(_TMPFILE) and os.path.isdir(_OPEN_FILES)
"""Whether this system has files without a name, and a way to name them later (open(2), O_TMPFILE)."""

_FILE_FLAGS = (
    getattr(os, "O_BINARY", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


_NO_LINKS = frozenset({errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
"""How file systems say that they have no hard links."""


UNFINISHED = f".{PARTIAL}"
"""A file in each folder that we made, until the folder has its mode: so that a later run knows it for ours."""


class Folder:
    """One open folder. All names given to it are single components."""

    def __init__(self, handle: int | None, path: str, *, fresh: bool = False) -> None:
        self.handle = handle
        self.path = path
        self.fresh = fresh
        """Made by us and empty then: only we put files there, so there is nothing to look for."""

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """Open a file, never through a symlink."""
        if self.handle is None:
            self._check(name)
        return os.open(self._at(name), flags | _FILE_FLAGS, mode, dir_fd=self.handle)

    def add(self, name: str, content: memoryview, mode: int, mtime: int | None) -> None:
        """Make a file that has its name only when all of it is there; `FileExistsError` when that is taken."""
        handle = os.open(".", os.O_WRONLY | _TMPFILE | _FILE_FLAGS, 0o600, dir_fd=self.handle)
        try:
            if os.write(handle, content) != len(content):
                raise OSError(errno.ENOSPC, "no room")
            os.chmod(handle, mode)
            if mtime is not None:
                os.utime(handle, ns=(mtime, mtime))
            os.close(os.dup(handle))  # some systems say only now that the disk is full
            os.link(f"{_OPEN_FILES}/{handle}", name, dst_dir_fd=self.handle, follow_symlinks=True)
        finally:
            os.close(handle)

    def look(self, name: str) -> os.stat_result | None:
        """Return what is there, a symlink being what it is; None when there is nothing."""
        try:
            return os.stat(self._at(name), dir_fd=self.handle, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Return what is in it."""
        return os.listdir(self.path if self.handle is None else self.handle)

    def put(self, name: str, final: str, *, overwrite: bool) -> None:
        """Give a file its final name; `FileExistsError` when that is taken, unless ``overwrite``."""
        source, target = self._at(name), self._at(final)
        if overwrite:
            os.replace(source, target, src_dir_fd=self.handle, dst_dir_fd=self.handle)
        elif os.name == "nt":
            os.rename(source, target)  # refuses by itself
        elif not self._link(source, target):
            # No hard links here (FAT, some network shares): claim the name, then take its place.
            os.close(self.open(final, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
            try:
                os.replace(source, target, src_dir_fd=self.handle, dst_dir_fd=self.handle)
            except BaseException:
                self.remove(final)
                raise

    def _link(self, source: str, target: str) -> bool:
        try:
            os.link(source, target, src_dir_fd=self.handle, dst_dir_fd=self.handle, follow_symlinks=False)
        except FileExistsError:
            raise
        except NotImplementedError:
            return False
        except OSError as exc:
            if exc.errno not in _NO_LINKS:
                raise
            return False
        os.unlink(source, dir_fd=self.handle)
        return True

    def move(self, name: str, other: str) -> None:
        """Rename, replacing what was there."""
        os.replace(self._at(name), self._at(other), src_dir_fd=self.handle, dst_dir_fd=self.handle)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self.handle)

    def make(self, name: str) -> bool:
        """Make a folder in it; return False when something of that name is there."""
        try:
            os.mkdir(self._at(name), 0o700, dir_fd=self.handle)
        except FileExistsError:
            return False
        return True

    def enter(self, name: str, *, fresh: bool) -> Folder:
        """Open a folder in it, never through a symlink."""
        path = f"{self.path}{os.sep}{name}"
        if self.handle is None:
            if not stat.S_ISDIR(self._check(name).st_mode):
                raise NotADirectoryError(20, "not a folder", name)
            return Folder(None, path, fresh=fresh)
        flags = os.O_RDONLY | os.O_DIRECTORY | _FILE_FLAGS
        return Folder(os.open(name, flags, dir_fd=self.handle), path, fresh=fresh)

    def set_mode(self, mode: int) -> None:
        """Set the mode of the folder itself."""
        os.chmod(self.path if self.handle is None else self.handle, mode)

    def mode(self) -> int:
        """Return the mode of the folder itself."""
        return stat.S_IMODE(os.stat(self.path if self.handle is None else self.handle).st_mode)

    def set_time(self, mtime: int) -> None:
        """Set when it was changed last."""
        os.utime(self.path if self.handle is None else self.handle, ns=(mtime, mtime))

    def set_file(self, name: str, mode: int, mtime: int | None) -> None:
        """Set mode and time of a file that is closed: where open ones do not take them."""
        os.chmod(self._at(name), mode)
        if mtime is not None:
            os.utime(self._at(name), ns=(mtime, mtime))

    def close(self) -> None:
        """Close it."""
        if self.handle is not None:
            os.close(self.handle)

    def _at(self, name: str) -> str:
        return name if self.handle is not None else f"{self.path}{os.sep}{name}"

    def _check(self, name: str) -> os.stat_result:
        """Refuse symlinks (and Windows' junctions) where handles cannot."""
        status = os.stat_result(range(10))
        with contextlib.suppress(FileNotFoundError):
            status = os.lstat(self._at(name))
            junction = getattr(status, "st_reparse_tag", 0) == getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", -1)
            if stat.S_ISLNK(status.st_mode) or junction:
                raise OSError(40, "a symlink is in its place, and is not followed", name)
        return status


class Folders:
    """The target and everything below it."""

    def __init__(self, root: Path, *, handles: bool = HANDLES) -> None:
        """``root`` is the user's own word: symlinks in it are followed. It is made if it is not there."""
        os.makedirs(root, exist_ok=True)
        path = os.path.realpath(root)
        handle = None
        if handles:
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | getattr(os, "O_CLOEXEC", 0))
        self._root = Folder(handle, path)
        self._open: OrderedDict[tuple[str, ...], Folder] = OrderedDict()
        self._fresh: set[tuple[str, ...]] = set()
        self._ours: set[tuple[str, ...]] = set()
        self._before: dict[tuple[str, ...], int] = {}

    def at(self, parts: tuple[str, ...]) -> Folder:
        """Return a folder, made if it is not there. It stays open for the next few dozen calls at least."""
        if not parts:
            return self._root
        folder = self._open.get(parts)
        if folder is not None:
            self._open.move_to_end(parts)
            return folder
        above = self.at(parts[:-1])
        made = above.make(parts[-1])
        if made:
            self._fresh.add(parts)
        folder = above.enter(parts[-1], fresh=parts in self._fresh)
        if made:
            self._ours.add(parts)
            os.close(folder.open(UNFINISHED, os.O_WRONLY | os.O_CREAT))
        elif parts not in self._ours and parts not in self._before:
            self._know(parts, folder)
        self._open[parts] = folder
        while len(self._open) > MAX_HANDLES:
            self._open.popitem(last=False)[1].close()
        return folder

    def _know(self, parts: tuple[str, ...], folder: Folder) -> None:
        """Take note of a folder that was there before: an earlier run's, which was not finished, or the user's."""
        mark = folder.look(UNFINISHED)
        if mark is not None and stat.S_ISREG(mark.st_mode):
            self._ours.add(parts)
            return
        self._before[parts] = folder.mode()
        if self._before[parts] & 0o700 != 0o700:
            with contextlib.suppress(PermissionError):  # not ours: what cannot be done will say so
                folder.set_mode(self._before[parts] | 0o700)  # an earlier run finished it read-only

    def settle(self, parts: tuple[str, ...], mode: int, mtime: int | None) -> None:
        """Give a folder its time and its mode.

        One that the user had before is opened to nobody and shut to nobody's owner by a peer's word.
        """
        folder = self.at(parts)
        ours = parts in self._ours
        if ours:
            folder.remove(UNFINISHED)
            self._ours.discard(parts)
        if mtime is not None:
            folder.set_time(mtime)
        before = self._before.setdefault(parts, mode | 0o700)
        folder.set_mode(mode if ours else mode & before | before & 0o700)

    def unmark(self) -> None:
        """Finish the folders that the offer did not name by themselves."""
        for parts in list(self._ours):
            with contextlib.suppress(OSError):
                self.at(parts).remove(UNFINISHED)
        self._ours.clear()

    def close(self) -> None:
        """Close all."""
        for folder in self._open.values():
            folder.close()
        self._open.clear()
        self._root.close()
