"""A module behind Unix sockets: the shell around `tincan.vpn.module.api.ServerSide`.

Who may talk is settled by the kernel: the socket's mode is 0600, and a peer
that is neither root nor the user the module runs as is hung up on
(SO_PEERCRED). One call of a connection is done after the other. Nothing is
stored without bound: a controller that does not read is not read from, and
one that leaves events unread loses its connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from tincan.errors import UsageError, WorldError
from tincan.tasks import plain_errors, settle
from tincan.vpn.module.api import Asked, ServerSide, answer, notice, refusal
from tincan.vpn.module.events import NAMES, Event, name_of
from tincan.vpn.module.interface import INTERNAL_ERROR, INVALID_PARAMS, TOO_MANY, Module, ModuleError
from tincan.vpn.module.methods import Nothing, Subscribe

logger = logging.getLogger(__name__)

MAX_CONNECTIONS: Final = 32
ACCEPT_PAUSE: Final = 0.5
CLOSE_TIMEOUT: Final = 1.0
"""Seconds for what was sent last to be read, when a connection is closed."""

STALL_LIMIT: Final = 20.0
"""Seconds that a controller may leave what it was sent unread."""


def allowed(uid: int, own: int) -> bool:
    """Whether a user may drive a module that runs as ``own``."""
    return uid in (0, own)


class Server:
    """Serves a module to those who connect; `serve` accepts them, `attend` serves one socket to its end."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._open = 0

    async def serve(self, listening: socket.socket) -> None:
        """Accept controllers until cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            while True:
                try:
                    sock, _ = await loop.sock_accept(listening)
                except OSError as exc:  # no descriptors left, most likely
                    logger.warning("no controller can be accepted: %s", exc)
                    await asyncio.sleep(ACCEPT_PAUSE)
                    continue
                if self._open >= MAX_CONNECTIONS:
                    logger.info("a controller is turned away: there are %d", MAX_CONNECTIONS)
                    with sock, contextlib.suppress(OSError):
                        sock.send(refusal(None, TOO_MANY, "Too many controllers are connected."))
                    continue
                group.create_task(self.attend(sock), name="a controller")
                await asyncio.sleep(0)  # so that it is counted before the next one

    async def attend(self, sock: socket.socket) -> WorldError | None:
        """Serve one controller until it goes; says so if it was let go instead."""
        try:
            uid = _peer(sock)
        except OSError:
            uid = -1
        if not allowed(uid, os.geteuid()):
            logger.warning("user %d may not talk to this module", uid)
            sock.close()
            return None
        self._open += 1
        try:
            reader, writer = await asyncio.open_unix_connection(sock=sock)
            return await _Connection(self._module, reader, writer).run()
        finally:
            self._open -= 1


class _Connection:
    """One controller."""

    def __init__(self, module: Module, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._module = module
        self._reader = reader
        self._writer = writer
        self._side = ServerSide()
        self._wanted: frozenset[str] = frozenset()

    async def run(self) -> WorldError | None:
        """Answer calls and tell events until either side ends; says so if it was because nothing was read."""
        slow = False
        try:
            async with self._module.events() as events:
                tasks = [asyncio.create_task(self._calls()), asyncio.create_task(self._events(events))]
                try:
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    await settle(*tasks)
            for task in tasks:
                if not task.cancelled() and (exc := task.exception()) is not None:
                    logger.info("a controller's connection ended: %r", exc)
                    slow |= isinstance(exc, TimeoutError | ModuleError)
        finally:
            self._writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIMEOUT):
                    await self._writer.wait_closed()
            self._writer.transport.abort()
        return WorldError("The controller did not read what it was told.") if slow else None

    async def _calls(self) -> None:
        while data := await self._reader.read(65536):
            for heard in self._side.receive(data):
                line = await self._answer(heard) if isinstance(heard, Asked) else heard.line
                await self._write(line)
            if self._side.spoilt:
                return

    async def _answer(self, asked: Asked) -> bytes:
        try:
            if isinstance(asked.params, Subscribe):
                result = self._subscribe(asked.params)
            else:
                result = await self._module.ask(asked.method, asked.params)
        except ModuleError as exc:
            line = refusal(asked.id, exc.code, str(exc))
        except Exception as exc:  # every call is answered, whatever went wrong
            logger.exception("%s failed", asked.method)
            line = refusal(
                asked.id, INTERNAL_ERROR, f"Something went wrong inside the module ({type(exc).__name__})."
            )
        else:
            line = answer(asked.id, result)
        return line if asked.answered else b""

    def _subscribe(self, params: Subscribe) -> Nothing:
        unknown = set(params.events or ()) - NAMES
        if unknown:
            raise ModuleError(INVALID_PARAMS, f"There is no event {min(unknown)!r}.")
        self._wanted = NAMES if params.events is None else frozenset(params.events)
        return Nothing()

    async def _events(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            if name_of(event) in self._wanted:
                await self._write(notice(event))

    async def _write(self, line: bytes) -> None:
        self._writer.write(line)
        async with asyncio.timeout(STALL_LIMIT):
            await self._writer.drain()


@contextlib.asynccontextmanager
async def listening(module: Module, path: str) -> AsyncIterator[None]:
    """Serve a module at a path while the context lasts; raises `WorldError` or `UsageError` where that cannot be."""
    with _bound(path) as sock, plain_errors():
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(Server(module).serve(sock), name="the API")
            try:
                yield
            finally:
                serving.cancel()


@contextlib.contextmanager
def _bound(path: str) -> Iterator[socket.socket]:
    """A listening socket at a path, which is taken away at the end."""
    _clear(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        try:
            sock.bind(path)
            os.chmod(path, 0o600)  # before anybody can connect
            made = os.stat(path)
            sock.listen()
        except OSError as exc:
            raise WorldError(f"The API cannot be offered at {path} ({exc.strerror or exc}).") from exc
        try:
            yield sock
        finally:
            with contextlib.suppress(OSError):
                now = os.stat(path)
                if (now.st_dev, now.st_ino) == (made.st_dev, made.st_ino):
                    os.unlink(path)
    finally:
        sock.close()


def _clear(path: str) -> None:
    """Remove what a module that was killed has left; refuse where one is alive, or where it is something else."""
    try:
        found = os.lstat(path)
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise UsageError(f"{path} is there already and is no socket; name another (--socket).")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(CLOSE_TIMEOUT)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
        except OSError as exc:
            raise WorldError(f"What is at {path} cannot be told ({exc.strerror or exc}).") from exc
    raise UsageError(f"Another TinCan module is there at {path} already; name another socket (--socket).")


def _peer(sock: socket.socket) -> int:
    """Return the user id of who connected."""
    size = struct.calcsize("3i")
    _pid, uid, _gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    return int(uid)
