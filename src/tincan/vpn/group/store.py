"""The groups of this machine's user, on disk: a file each, for its owner alone.

Whoever reads such a file is that member. docs/net.md says what is in it;
`tincan.storage` sees to its rights, and that it is whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tincan import storage
from tincan.errors import TinCanError, UsageError
from tincan.vpn.group.addresses import is_label
from tincan.vpn.group.state import GroupState


def names() -> list[str]:
    """Return the names of all groups."""
    try:
        return sorted(path.stem for path in _folder().glob("*.json") if is_label(path.stem))
    except OSError:
        return []


def only(name: str | None) -> str:
    """Return the name, or that of the only group; `UsageError` when there is not one."""
    found = names()
    if name in found:
        return str(name)
    if name is not None:
        raise UsageError(f"There is no group {name!r} here" + (f"; there is {', '.join(found)}." if found else "."))
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"Name one of your groups: {', '.join(found)}.")
    raise UsageError(
        "You are in no group yet: 'tin-can net create NAME' makes one, 'tin-can net join PHRASE' joins one."
    )


def load(name: str) -> GroupState:
    """Return a group."""
    content = storage.read(_file(name))
    if content is None:
        raise UsageError(f"There is no group {name!r} here; 'tin-can net status' shows those there are.")
    try:
        state = msgspec.json.decode(content, type=GroupState)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        path = _folder() / f"{name}.json"
        raise TinCanError(
            f"{path} is damaged: restore it from a backup, or delete it and be invited again."
        ) from None
    state.name = name  # the file may have been given another one
    return state


def add(state: GroupState) -> None:
    """Keep a new group; `UsageError` when there is one of that name."""
    if not storage.create(_file(state.name), _encode(state)):
        raise UsageError(f"There is a group {state.name!r} here already; give this one another name.")


@contextlib.contextmanager
def changing(name: str) -> Iterator[GroupState]:
    """Give a group to be changed; it is written at the end, unless that is an exception. Others wait."""
    with storage.locked(_file(name)):
        state = load(name)
        yield state
        storage.write(_file(name), _encode(state))


def remove(name: str) -> None:
    """Forget a group."""
    file = _file(name)
    with storage.locked(file):
        storage.remove(file)
    # The socket may be that of a process that was killed.
    storage.remove(f"{file}.lock", f"net/{name}.up.lock", f"net/{name}.sock")


def only_one(name: str) -> contextlib.AbstractContextManager[None]:
    """Be the only process of this user that has the group's network up; `UsageError` when another one has."""
    return storage.locked(
        _file(name).removesuffix(".json") + ".up", or_say=f"{name!r} is up already on this machine."
    )


def socket_folder() -> Path:
    """Return where a running network has its socket, beside the file of the group."""
    return _folder()


def _folder() -> Path:
    return storage.data_folder() / "net"


def _file(name: str) -> str:
    if not is_label(name):
        raise UsageError(f"{name!r} cannot be a group's name: a to z, 0 to 9 and '-', as in host names.")
    return f"net/{name}.json"


def _encode(state: GroupState) -> bytes:
    return msgspec.json.format(msgspec.json.encode(state)) + b"\n"
