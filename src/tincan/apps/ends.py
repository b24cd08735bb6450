"""stdin and stdout of a process as asyncio can wait for them, at full speed and without ever blocking the loop.

A pipe is opened a second time where the system allows it (Linux), in order to
be non-blocking for us alone: the flag belongs to the open file, which other
processes share. A socket is asked not to block call by call. Everything else
(terminals, files, any of them on Windows) is read and written by a daemon
thread, which cannot hold up the end of the program.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import select
import socket
import stat
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, Protocol, TypeVar

PIPE_SIZE: Final = 1024 * 1024
"""Bytes a pipe is asked to hold: what unprivileged processes may ask for on Linux."""

F_SETPIPE_SZ: Final = 1031

T = TypeVar("T")


class Source(Protocol):
    """Where bytes come from."""

    async def read_into(self, buffer: memoryview) -> int:
        """Read at least one byte into ``buffer`` and return how many; 0 at the end. Raises `OSError`."""

    def close(self) -> None:
        """Give it up; a call that waits may not come back."""


class Sink(Protocol):
    """Where bytes go."""

    async def write(self, data: memoryview) -> None:
        """Write all of ``data``. Raises `OSError`, among them `BrokenPipeError` when nobody reads any more."""

    def close(self) -> None:
        """Tell whoever reads that nothing more comes."""


def source(fd: int) -> Source:
    """Return the source of an open file descriptor."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _Socket(fd)
    own = _reopened(fd, mode, os.O_RDONLY)
    return _Polled(fd, own) if own is not None else _Threaded(fd)


def sink(fd: int) -> Sink:
    """Return the sink of an open file descriptor."""
    mode = os.fstat(fd).st_mode
    if stat.S_ISSOCK(mode):
        return _Socket(fd)
    own = _reopened(fd, mode, os.O_WRONLY)
    if own is not None:
        return _Polled(fd, own)
    if stat.S_ISCHR(mode) and os.fstat(fd).st_rdev == os.stat(os.devnull).st_rdev:
        return _Immediate(fd)
    return _Threaded(fd)


def _reopened(fd: int, mode: int, flags: int) -> int | None:
    """Return another, non-blocking descriptor of the same pipe, where that can be had."""
    if not stat.S_ISFIFO(mode) or not sys.platform.startswith("linux"):
        return None
    try:
        own = os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None  # another user's pipe, or no /proc
    with contextlib.suppress(OSError, ImportError):
        import fcntl

        fcntl.fcntl(own, F_SETPIPE_SZ, PIPE_SIZE)
    return own


def _shut(fd: int) -> None:
    """Close a descriptor for whoever is at its other end, without letting its number be given to another file."""
    with contextlib.suppress(OSError):
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, fd)
        os.close(null)


class _Polled:
    """A pipe that is non-blocking for us alone."""

    def __init__(self, fd: int, own: int) -> None:
        self._fd = fd
        self._own = own

    async def read_into(self, buffer: memoryview) -> int:
        while True:
            try:
                return os.readv(self._own, [buffer])
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await _ready(loop.add_reader, loop.remove_reader, self._own)

    async def write(self, data: memoryview) -> None:
        while data:
            try:
                data = data[os.write(self._own, data) :]
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await _ready(loop.add_writer, loop.remove_writer, self._own)

    def close(self) -> None:
        os.close(self._own)
        _shut(self._fd)


async def _ready(add: Callable[..., object], remove: Callable[[int], object], fd: int) -> None:
    ready = asyncio.Event()
    add(fd, ready.set)
    try:
        await ready.wait()
    finally:
        remove(fd)


class _Socket:
    """A socket that others share, such as OpenSSH hands to a ProxyCommand."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._sock = socket.socket(fileno=os.dup(fd))
        self._flags = getattr(socket, "MSG_DONTWAIT", 0)

    async def read_into(self, buffer: memoryview) -> int:
        while True:
            try:
                return self._sock.recv_into(buffer, 0, self._flags)
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await _ready(loop.add_reader, loop.remove_reader, self._sock.fileno())

    async def write(self, data: memoryview) -> None:
        while data:
            try:
                data = data[self._sock.send(data, self._flags) :]
            except BlockingIOError:
                loop = asyncio.get_running_loop()
                await _ready(loop.add_writer, loop.remove_writer, self._sock.fileno())

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)  # the same socket may be our stdin
        self._sock.close()
        _shut(self._fd)


class _Immediate:
    """/dev/null, which takes everything at once."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        _shut(self._fd)


def _patiently(call: Callable[[], T], fd: int, *, writing: bool) -> T:
    """Read or write, though another program that has the terminal may have made it not block."""
    while True:
        try:
            return call()
        except BlockingIOError:
            select.select([] if writing else [fd], [fd] if writing else [], [])  # poll knows no terminals on macOS


class _Threaded:
    """Anything else, by a daemon thread that does one thing at a time.

    The thread has a descriptor of its own: it may be late, and the number that was given be another file's by then.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._own = os.dup(fd)
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        threading.Thread(target=self._work, name=f"fd {fd}", daemon=True).start()

    async def read_into(self, buffer: memoryview) -> int:
        data = await self._do(lambda: _patiently(partial(os.read, self._own, len(buffer)), self._own, writing=False))
        buffer[: len(data)] = data
        return len(data)

    async def write(self, data: memoryview) -> None:
        await self._do(lambda: self._write(data))

    def close(self) -> None:
        _shut(self._fd)
        self._jobs.put(None)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[_patiently(partial(os.write, self._own, data), self._own, writing=True) :]

    async def _do(self, job: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(error)
            else:
                done.set_result(result)  # type: ignore[arg-type]

        def run() -> None:
            result, error = None, None
            try:
                result = job()
            except OSError as exc:
                error = exc
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        self._jobs.put(run)
        return await done

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
        with contextlib.suppress(OSError):
            os.close(self._own)
