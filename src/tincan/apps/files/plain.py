"""What differs between operating systems: the words for errors, reading into a buffer, how much room there is."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from tincan.errors import IncompleteTransfer

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
"""There is no room: nothing that follows would fit either."""

_WORDS = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ENOENT: "it does not exist",
    errno.ENOTDIR: "a file or a symlink is where a folder should be",
    errno.ELOOP: "a symlink is in its place, and is not followed",
    errno.EISDIR: "a folder of that name is there",
    errno.EEXIST: "something of that name is there",
    errno.EFBIG: "it is too large for this file system",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the disk cannot be read or written (input/output error)",
    errno.ENAMETOOLONG: "its name is too long for this file system",
    errno.ENOSPC: "the disk is full",
    errno.EMFILE: "too many files are open",
}
if hasattr(errno, "EDQUOT"):
    _WORDS[errno.EDQUOT] = "the disk quota is used up"

_NO_MODES = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""How file systems say that they have no modes or times."""


def why(exc: OSError) -> str:
    """Return the reason without a name, in lower case and without a full stop."""
    return _WORDS.get(exc.errno or 0) or (exc.strerror or type(exc).__name__).lower()


def read_into(handle: int, target: memoryview) -> int:
    """Read what fits; return how much came."""
    if hasattr(os, "readv"):
        return os.readv(handle, [target])
    data = os.read(handle, len(target))  # Windows
    target[: len(data)] = data
    return len(data)


def free_room(path: Path) -> int:
    """Return how many bytes this user may still write there."""
    if hasattr(os, "statvfs"):
        status = os.statvfs(path)
        return status.f_bavail * status.f_frsize
    import shutil  # Windows; it loads three compressors

    return shutil.disk_usage(path).free


class LeftOut(Exception):
    """This one file cannot be taken; ``str()`` says why."""


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """Turn the system's errors into `LeftOut`, or `IncompleteTransfer` when nothing more would fit either."""
    try:
        yield
    except (OSError, OverflowError) as exc:
        raise_translated(exc)


def raise_translated(exc: OSError | OverflowError) -> NoReturn:
    """Raise what `translated` makes of an error."""
    if isinstance(exc, OverflowError):
        raise LeftOut("its time is none that this system knows") from exc
    if exc.errno in FULL:
        raise IncompleteTransfer(
            f"The receiver has no room: {why(exc)}. Make room there and send again; what has arrived is kept."
        ) from exc
    raise LeftOut(why(exc)) from exc


@contextlib.contextmanager
def as_far_as_it_goes() -> Iterator[None]:
    """Let modes and times be lost where the file system has none: the content is what was asked for."""
    try:
        yield
    except OverflowError:
        pass
    except OSError as exc:
        if exc.errno not in _NO_MODES:
            raise
