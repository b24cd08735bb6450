"""A module in another process, as a controller uses it.

async with spawn(tap="tincan0") as module: ...      # one of our own, that ends with us
async with connect("/run/tin-can.sock") as module: ...
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from tincan.errors import DeviceMissing, TinCanError, UsageError, WorldError
from tincan.tasks import settle
from tincan.vpn.module.api import Answered, ClientSide, Told
from tincan.vpn.module.events import Event
from tincan.vpn.module.interface import Module, ModuleError
from tincan.vpn.module.listeners import Listeners
from tincan.vpn.module.methods import Subscribe

__all__ = ["Module", "ModuleError", "ModuleGone", "SocketModule", "connect", "spawn"]

STOP_TIMEOUT: Final = 5.0
"""Seconds for a module to take its tap down and end."""

_KEPT: Final = 8192
"""Characters of what a module says on stderr, kept to say why it ended."""


class ModuleGone(WorldError):
    """The module has ended, or the connection to it has."""


class SocketModule(Module):
    """A module at the other end of a Unix stream socket. Use `connect` or `spawn`."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        reason: Callable[[], Awaitable[TinCanError]] | None = None,
    ) -> None:
        """``reason``: asked why the module has ended, when it has."""
        self._reader = reader
        self._writer = writer
        self._side = ClientSide()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._listeners = Listeners()
        self._subscribed = False
        self._reason = reason
        self._why: TinCanError | None = None

    async def ask(self, method: str, params: msgspec.Struct) -> Any:
        """See `Module.ask`. Raises `ModuleGone`, or what the module said at its end, when it has ended."""
        if self._why is not None:
            raise self._why
        number, line = self._side.ask(method, params)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(line)
            with contextlib.suppress(ConnectionError):  # `run` sees the end too, and says so
                await self._writer.drain()
            return await future
        finally:
            del self._waiting[number]

    @contextlib.asynccontextmanager
    async def events(self) -> AsyncIterator[AsyncIterator[Event]]:
        """See `Module.events`."""
        async with self._listeners.listen() as events:
            if not self._subscribed:
                self._subscribed = True
                await self.ask("subscribe", Subscribe())
            yield events

    async def run(self) -> None:
        """Read answers and events until the connection ends."""
        why: TinCanError = ModuleGone("The TinCan module (linkd) has ended.")
        explained = False
        try:
            try:
                while data := await self._reader.read(65536):
                    for heard in self._side.receive(data):
                        self._take(heard)
            except ConnectionError:
                pass
            except ModuleError as exc:
                why = ModuleGone(str(exc))
            if self._reason is not None:
                why, explained = await self._reason(), True
        finally:
            self._why = why
            self._listeners.end(why if explained else None)
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(why)

    def _take(self, heard: Answered | Told) -> None:
        if isinstance(heard, Told):
            self._listeners.tell(heard.event)
        elif (future := self._waiting.get(heard.id)) is not None and not future.done():
            if isinstance(heard.result, ModuleError):
                future.set_exception(heard.result)
            else:
                future.set_result(heard.result)


@contextlib.asynccontextmanager
async def connect(path: str) -> AsyncIterator[SocketModule]:
    """Use the module whose API is at a Unix socket; `WorldError` where that cannot be."""
    try:
        reader, writer = await asyncio.open_unix_connection(path)
    except OSError as exc:
        raise WorldError(f"There is no TinCan module to talk to at {path} ({exc.strerror or exc}).") from exc
    async with _used(reader, writer) as module:
        yield module


@contextlib.asynccontextmanager
async def spawn(*, tap: str | None = None, arguments: Sequence[str] = ()) -> AsyncIterator[SocketModule]:
    """Start a module that ends, and takes its tap with it, when this context or this process does.

    It speaks on a socket that only the two processes have. Raises what the
    module said where it could not start: `DeviceMissing` without root. When it
    ends later, whoever uses it gets what it said then.
    """
    ours, theirs = socket.socketpair()
    number = theirs.fileno()
    words = ["-P", "-m", "tincan", "linkd", "--owner-fd", str(number), *arguments]
    words += [] if tap is None else ["--tap", tap]
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            pass_fds=(number,),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for its owner to decide on
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    said: list[str] = []
    listening = asyncio.create_task(_keep(process.stderr, said), name="linkd's stderr")
    try:
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        async with _used(reader, writer, lambda: _reason(process, listening, said)) as module:
            await module.identity()
            yield module
    finally:
        ours.close()
        await _ended(process)
        await settle(listening)


@contextlib.asynccontextmanager
async def _used(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    reason: Callable[[], Awaitable[TinCanError]] | None = None,
) -> AsyncIterator[SocketModule]:
    module = SocketModule(reader, writer, reason)
    running = asyncio.create_task(module.run(), name="answers of linkd")
    try:
        yield module
    finally:
        await settle(running)
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _ended(process: asyncio.subprocess.Process) -> None:
    """Wait for the module, which ends because its owner's socket is closed; insist if it does not."""
    try:
        async with asyncio.timeout(STOP_TIMEOUT):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _keep(stream: asyncio.StreamReader | None, said: list[str]) -> None:
    """Pass on what a module says for people, and keep the end of it."""
    while stream is not None and (data := await stream.read(4096)):
        text = data.decode(errors="replace")
        said[:] = ["".join(said)[-_KEPT:], text]


async def _reason(process: asyncio.subprocess.Process, listening: asyncio.Task[None], said: list[str]) -> TinCanError:
    await _ended(process)
    await asyncio.wait([listening], timeout=1)
    lines = "".join(said).strip().splitlines()
    text = lines[-1].removeprefix("tin-can: ") if lines else "The TinCan module (linkd) has ended."
    kinds: dict[int | None, type[TinCanError]] = {9: DeviceMissing, 2: UsageError}
    return kinds.get(process.returncode, WorldError)(text)
