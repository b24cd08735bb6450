"""Partial files: how they are opened, compared and moved out of the way."""

from __future__ import annotations

import os
import stat

from tincan.apps.files.folders import Folder
from tincan.apps.files.frames import MAX_CHECKPOINTS
from tincan.apps.files.names import aside_name, partial_name
from tincan.apps.files.plain import LeftOut

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_ASIDE = 3
"""Partial files of other contents that are kept beside a new one."""

STEP = 64 * 1024
"""Checkpoints lie on multiples of this."""

_LOCKED = "another receiver is writing it right now"


def create_partial(folder: Folder, name: str) -> tuple[int, bool]:
    """Open a new partial file; one that was there is moved aside. Return it, and whether one was."""
    moved = False
    partial = partial_name(name)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    try:
        handle = folder.open(partial, flags)
    except FileExistsError:
        before = open_partial(folder, partial)
        try:
            size = os.fstat(before).st_size
            if os.name == "nt":  # which moves no open file; there are no locks there either
                before = _close(before)
            if size:
                folder.move(partial, aside_name(name, _free_aside(folder, name)))
            else:
                folder.remove(partial)
        finally:
            _close(before)
        moved = True
        handle = folder.open(partial, flags)
    try:
        _lock(handle)
        there = folder.look(partial)
        if there is None or not os.path.samestat(os.fstat(handle), there):
            raise LeftOut(_LOCKED)
    except BaseException:
        os.close(handle)
        raise
    return handle, moved


def open_partial(folder: Folder, partial: str) -> int:
    """Open a partial file that was there before, and make sure that it is ours alone."""
    handle = folder.open(partial, os.O_RDWR)
    try:
        _lock(handle)
        opened, there = os.fstat(handle), folder.look(partial)
        if not stat.S_ISREG(opened.st_mode) or opened.st_nlink > 1:
            raise LeftOut("something that is not ours has the name of its partial file")
        if there is None or not os.path.samestat(opened, there):
            raise LeftOut(_LOCKED)
    except BaseException:
        os.close(handle)
        raise
    return handle


def checkpoints(size: int) -> list[int]:
    """Return the lengths at which a partial file is compared: evenly, and its very end."""
    step = -(-size // (MAX_CHECKPOINTS - 1))
    step = max(STEP, -(-step // STEP) * STEP)
    lengths = list(range(step, size, step))
    return [*lengths, size] if size else []


def _close(handle: int) -> int:
    if handle >= 0:
        os.close(handle)
    return -1


def _lock(handle: int) -> None:
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LeftOut(_LOCKED) from None
        except OSError:
            pass  # a file system without locks


def _free_aside(folder: Folder, name: str) -> int:
    """Return the number to move a partial file to: a free one, else the oldest."""
    ages = [(folder.look(aside_name(name, number)), number) for number in range(1, MAX_ASIDE + 1)]
    return min((found.st_mtime_ns if found is not None else -1, number) for found, number in ages)[1]
