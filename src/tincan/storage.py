"""Small files that only this user may read, in the folder the system has for a program's data.

Every file is replaced as a whole, so whoever reads sees the old one or the
new one. `locked` keeps two processes from changing a file at the same time.

The virtual networks need root, and are often started with sudo; what belongs
to them is the user's all the same. So under sudo the folder is that of the
user who called it, and it is read and written with that user's rights: a
symbolic link there leads nowhere that the user could not go.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tincan.errors import UsageError

MAX_FILE: Final = 4 * 1024 * 1024
"""Bytes in a file; a larger one is none of ours."""


def data_folder() -> Path:
    """Return where this user's files are; it need not exist."""
    home = sudo_home()
    if home is not None and not os.environ.get("XDG_DATA_HOME"):
        return home / ".local/share/tin-can"
    from platformdirs import user_data_path

    return user_data_path("tin-can", appauthor=False)


def sudo_home() -> Path | None:
    """Return the home of whoever called sudo, None when nobody did."""
    user = _sudo_user()
    return None if user is None else Path(user[2])


def read(name: str) -> bytes | None:
    """Return what a file holds, None when there is none; `UsageError` when it cannot be read, or others can."""
    path = data_folder() / name
    try:
        with as_user(), open(path, "rb") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise UsageError(
                    f"Others can read {path}, which holds secrets: see who has, then run chmod 600 on it."
                )
            content = file.read(MAX_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror}).") from exc
    if len(content) > MAX_FILE:
        raise UsageError(f"{path} is far too long to be tin-can's.")
    return content


def write(name: str, content: bytes) -> None:
    """Make a file hold this, in one step, readable by this user only. `UsageError` when that cannot be done."""
    with _written(name, content) as (temporary, path):
        os.replace(temporary, path)


def create(name: str, content: bytes) -> bool:
    """Make a file hold this unless it exists, and return whether it did not."""
    with _written(name, content) as (temporary, path):
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if path.exists():
                return False
            os.replace(temporary, path)
        return True


def remove(*names: str) -> None:
    """Take files away; those that are not there are no trouble."""
    for name in names:
        path = data_folder() / name
        try:
            with as_user():
                path.unlink(missing_ok=True)
        except OSError as exc:
            raise UsageError(f"{path} cannot be taken away ({exc.strerror}).") from exc


@contextlib.contextmanager
def locked(name: str, *, or_say: str = "") -> Iterator[None]:
    """Be the only process that changes this file; others wait, or with ``or_say`` get that as a `UsageError`."""
    if sys.platform == "win32":
        yield
        return
    import fcntl

    path = data_folder() / f"{name}.lock"
    try:
        with as_user():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written ({exc.strerror}).") from exc
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (fcntl.LOCK_NB if or_say else 0))
        except BlockingIOError:
            raise UsageError(or_say) from None
        yield
    finally:
        os.close(handle)


@contextlib.contextmanager
def _written(name: str, content: bytes) -> Iterator[tuple[Path, Path]]:
    """Write a temporary file beside the one that is meant; taken away at the end, unless it was moved."""
    path = data_folder() / name
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        with as_user():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                yield temporary, path
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as exc:
        raise UsageError(f"{path} cannot be written ({exc.strerror}).") from exc


def _sudo_user() -> tuple[int, int, str] | None:
    """Return user, group and home of whoever called sudo; None when nobody did, or needs to (on Linux only)."""
    called = os.environ.get("SUDO_UID", "")
    if sys.platform != "linux" or os.geteuid() != 0:
        return None
    if not called.isascii() or not called.isdigit() or not int(called):
        return None
    import pwd

    try:
        entry = pwd.getpwuid(int(called))
    except KeyError:
        return None
    return entry.pw_uid, entry.pw_gid, entry.pw_dir


@contextlib.contextmanager
def as_user() -> Iterator[None]:
    """Have the rights of the user who called sudo, meanwhile. The whole process has them: be quick."""
    user = _sudo_user()
    if user is None or sys.platform != "linux":
        yield
        return
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([user[1]])
    os.setegid(user[1])
    os.seteuid(user[0])
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)
