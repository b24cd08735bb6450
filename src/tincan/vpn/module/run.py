"""What ``tin-can linkd`` does: a module, its API, and whatever else drives it, until the end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tincan.errors import WorldError
from tincan.tasks import plain_errors
from tincan.vpn.module.local import LocalModule, OpenPlane, open_module
from tincan.vpn.module.server import Server, listening

FILE_LIMIT: Final = 65_536

Driver = Callable[[LocalModule], Coroutine[Any, Any, None]]
"""Something in this process that drives the module too, until it is cancelled: the old IPOP API."""


@dataclass(frozen=True)
class Settings:
    """How the module is offered."""

    tap: str | None = None
    path: str | None = None
    """The API's Unix socket; None: where `default_path` says, unless there is an owner."""

    owner: int | None = None
    """An open socket that the API is spoken on as well; the module ends with it."""

    carried: bool = False
    """Controllers carry packets without a link themselves, as IPOP's do: each is told."""


async def run_linkd(
    settings: Settings,
    open_plane: OpenPlane,
    ready: Callable[[str, str | None], None],
    drivers: Sequence[Driver] = (),
) -> None:
    """Run a module until it is cancelled, or its owner has gone.

    ``ready`` is called with the tap's name and the API's path, once there are
    both. Raises `DeviceMissing` without the right to make a tap.
    """
    _raise_file_limit()
    with plain_errors():
        async with contextlib.AsyncExitStack() as stack:
            module = await stack.enter_async_context(
                open_module(open_plane, tap=settings.tap, carried=settings.carried)
            )
            tap = (await module.identity()).tap
            path = settings.path
            if path is None and settings.owner is None:
                path = default_path(tap)
            if path is not None:
                await stack.enter_async_context(listening(module, path))
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(drive(module), name="a driver") for drive in drivers]
                ready(tap, path)
                if settings.owner is None:
                    await asyncio.Event().wait()
                let_go = await Server(module).attend(_owner(settings.owner))
                if let_go is not None:
                    raise let_go
                for task in tasks:
                    task.cancel()


def _raise_file_limit() -> None:
    """A thousand links want more descriptors than a process has by default."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILE_LIMIT if hard == resource.RLIM_INFINITY else min(FILE_LIMIT, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def default_path(tap: str) -> str:
    """Return where the API of a module on this tap is by default; its folder is there, and nobody else's."""
    above = Path("/run") if os.geteuid() == 0 else Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if not above.is_absolute():
        raise WorldError("There is no folder for the API's socket (XDG_RUNTIME_DIR); name one with --socket.")
    folder = above / "tin-can"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.stat()
    except OSError as exc:
        raise WorldError(f"{folder} cannot be made ({exc.strerror or exc}); name a socket with --socket.") from exc
    if found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise WorldError(f"{folder} is not ours alone; name a socket with --socket.")
    return str(folder / f"{tap}.sock")


def _owner(number: int | None) -> socket.socket:
    try:
        sock = socket.socket(fileno=number)
    except (OSError, TypeError) as exc:
        raise WorldError("The owner's socket (--owner-fd) is not open.") from exc
    sock.setblocking(False)
    return sock
