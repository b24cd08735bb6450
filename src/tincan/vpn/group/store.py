"""The groups of this machine's user, on disk: a file each, for its owner alone.

Whoever reads such a file is that member, so it is written with mode 0600 in a
folder of mode 0700, whole or not at all, and changed under a lock. docs/net.md
says what is in it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tincan.errors import DeviceMissing, TinCanError, UsageError
from tincan.vpn.group.addresses import is_label
from tincan.vpn.group.state import GroupState


def default_folder() -> Path:
    """Return where groups are kept: ``net`` in the data folder that platformdirs names."""
    from platformdirs import user_data_path

    return user_data_path("tin-can") / "net"


class Store:
    """The groups in one folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def names(self) -> list[str]:
        """Return the names of all groups."""
        with contextlib.suppress(OSError):
            return sorted(p.stem for p in self.folder.glob("*.json") if is_label(p.stem))
        return []

    def only(self, name: str | None) -> str:
        """Return the name, or that of the only group; `UsageError` when there is not one."""
        names = self.names()
        if name is None:
            if len(names) == 1:
                return names[0]
            raise UsageError(
                f"Name one of your groups: {', '.join(names)}."
                if names
                else "You are in no group yet; see 'net --help'."
            )
        if name not in names:
            raise UsageError(
                f"There is no group {name!r} here" + (f"; there is {', '.join(names)}." if names else ".")
            )
        return name

    def load(self, name: str) -> GroupState:
        """Return a group."""
        path = self._path(name)
        try:
            return msgspec.json.decode(path.read_bytes(), type=GroupState)
        except FileNotFoundError:
            raise UsageError(f"There is no group {name!r} here.") from None
        except OSError as exc:
            raise DeviceMissing(f"{path} cannot be read ({exc.strerror}).") from exc
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise TinCanError(
                f"{path} is damaged; restore it from a backup, or delete it and be invited again."
            ) from None

    def add(self, state: GroupState) -> None:
        """Keep a new group; `UsageError` when there is one of that name."""
        with self._locked():
            if self._path(state.name).exists():
                raise UsageError(f"There is a group {state.name!r} here already; give this one another name.")
            self._write(state)

    @contextlib.contextmanager
    def changing(self, name: str) -> Iterator[GroupState]:
        """Give a group to be changed; it is written at the end, unless that is an exception."""
        with self._locked():
            state = self.load(name)
            yield state
            self._write(state)

    def remove(self, name: str) -> None:
        """Forget a group."""
        with self._locked(), contextlib.suppress(FileNotFoundError):
            self._path(name).unlink()

    def _path(self, name: str) -> Path:
        if not is_label(name):
            raise UsageError(f"{name!r} cannot be a group's name: a to z, 0 to 9 and '-', as in host names.")
        return self.folder / f"{name}.json"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise DeviceMissing(f"{self.folder} cannot be written to ({exc.strerror}).") from exc
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _write(self, state: GroupState) -> None:
        content = msgspec.json.format(msgspec.json.encode(state))
        try:
            number, temporary = tempfile.mkstemp(dir=self.folder, prefix=f".{state.name}.")  # mode 0600
            try:
                with os.fdopen(number, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self._path(state.name))
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as exc:
            raise DeviceMissing(f"{self.folder} cannot be written to ({exc.strerror}).") from exc
