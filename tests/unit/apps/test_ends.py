"""stdin and stdout of every kind: pipes, sockets, files, devices and terminals of this system."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tincan.apps.ends import Sink, Source, sink, source
from unit.link.stream_pairs import some_bytes

if sys.platform == "win32":
    pytest.skip("these are POSIX files", allow_module_level=True)

import fcntl
import pty
import tty

WITHIN = 120.0
MIB = 1024 * 1024
FLAGS = "import fcntl, os, sys; print(fcntl.fcntl(int(sys.argv[1]), fcntl.F_GETFL) & os.O_NONBLOCK)"

Opened = tuple[int, int]
"""Two file descriptors: what is written to the second can be read from the first."""


@contextlib.contextmanager
def a_pipe() -> Iterator[Opened]:
    yield from closing(*os.pipe())


@contextlib.contextmanager
def a_socketpair() -> Iterator[Opened]:
    near, far = socket.socketpair()
    yield from closing(near.detach(), far.detach())


@contextlib.contextmanager
def a_terminal() -> Iterator[Opened]:
    """One that passes bytes through as they are."""
    outer, inner = pty.openpty()
    tty.setraw(inner)
    yield from closing(outer, inner)


def closing(*fds: int) -> Iterator[Opened]:
    try:
        yield fds[0], fds[1]
    finally:
        for fd in fds:
            with contextlib.suppress(OSError):
                os.close(fd)


Kind = Callable[[], contextlib.AbstractContextManager[Opened]]
every_kind = pytest.mark.parametrize("kind", [a_pipe, a_socketpair, a_terminal])
two_ended = pytest.mark.parametrize("kind", [a_pipe, a_socketpair])


async def read_all(end: Source, size: int | None = None) -> bytes:
    """Read to the end, or so many bytes."""
    buffer = memoryview(bytearray(100_000))
    found = bytearray()
    while size is None or len(found) < size:
        count = await end.read_into(buffer)
        if not count:
            break
        found += buffer[:count]
    return bytes(found)


async def write_all(end: Sink, data: bytes) -> None:
    for at in range(0, len(data), 70_000):
        await end.write(memoryview(data)[at : at + 70_000])


def nonblocking(fd: int) -> bool:
    """Whether the open file, shared with a child process, has the flag: as the child sees it."""
    done = subprocess.run(
        [sys.executable, "-c", FLAGS, str(fd)], pass_fds=[fd], capture_output=True, text=True, timeout=120, check=True
    )
    assert (fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK != 0) is (done.stdout.strip() != "0")
    return done.stdout.strip() != "0"


async def until(true: Callable[[], bool]) -> None:
    """Wait for something that a thread does."""
    while not true():
        await asyncio.sleep(0.01)


@every_kind
async def test_everything_comes_through(kind: Kind) -> None:
    data = some_bytes(1, 50_000 if kind is a_terminal else 3 * MIB)
    with kind() as (read_fd, write_fd):
        reader, writer = source(read_fd), sink(write_fd)
        async with asyncio.timeout(WITHIN):
            writing = asyncio.create_task(write_all(writer, data))
            assert await read_all(reader, len(data)) == data
            await writing
        writer.close()
        reader.close()


@two_ended
async def test_the_end_of_the_input(kind: Kind) -> None:
    with kind() as (read_fd, write_fd):
        reader = source(read_fd)
        async with asyncio.timeout(WITHIN):
            reading = asyncio.create_task(read_all(reader))
            await asyncio.sleep(0)
            os.write(write_fd, b"last words")
            os.close(write_fd)
            assert await reading == b"last words"
            assert await reader.read_into(memoryview(bytearray(10))) == 0
        reader.close()


@two_ended
async def test_closing_ends_it_for_whoever_reads_though_the_number_stays_taken(kind: Kind) -> None:
    with kind() as (read_fd, write_fd):
        writer, reader = sink(write_fd), source(read_fd)
        async with asyncio.timeout(WITHIN):
            await writer.write(memoryview(b"last words"))
            writer.close()
            assert await read_all(reader) == b"last words"
        assert stat.S_ISCHR(os.fstat(write_fd).st_mode)  # /dev/null has the number now
        reader.close()


@two_ended
async def test_a_writer_waits_while_nobody_reads(kind: Kind) -> None:
    data = some_bytes(2, 8 * MIB)
    with kind() as (read_fd, write_fd):
        reader, writer = source(read_fd), sink(write_fd)
        async with asyncio.timeout(WITHIN):
            writing = asyncio.create_task(write_all(writer, data))
            await asyncio.wait([writing], timeout=0.1)
            assert not writing.done()
            assert await read_all(reader, len(data)) == data
            await writing
        writer.close()
        reader.close()


@two_ended
async def test_nobody_reads_any_more(kind: Kind) -> None:
    with kind() as (read_fd, write_fd):
        writer = sink(write_fd)
        writing = asyncio.create_task(write_all(writer, bytes(8 * MIB)))
        await asyncio.wait([writing], timeout=0.05)
        os.close(read_fd)
        async with asyncio.timeout(WITHIN):
            with pytest.raises((BrokenPipeError, ConnectionResetError)):
                await writing
            with pytest.raises(BrokenPipeError):
                await writer.write(memoryview(b"x"))
        writer.close()


@every_kind
async def test_no_flag_is_set_that_other_processes_would_see(kind: Kind) -> None:
    with kind() as (read_fd, write_fd):
        reader, writer = source(read_fd), sink(write_fd)
        async with asyncio.timeout(WITHIN):
            reading = asyncio.create_task(read_all(reader, 5))
            await asyncio.sleep(0.01)
            await writer.write(memoryview(b"bytes"))
            assert await reading == b"bytes"
        assert not nonblocking(read_fd)
        assert not nonblocking(write_fd)
        writer.close()
        reader.close()


async def test_a_terminal_that_others_have_made_not_block() -> None:
    """The flag is the open file's, and some programs leave it set behind them."""
    data = some_bytes(4, 50_000)
    with a_terminal() as (outer, inner):
        for fd in (outer, inner):
            os.set_blocking(fd, False)
        reader, writer = source(outer), sink(inner)
        async with asyncio.timeout(WITHIN):
            reading = asyncio.create_task(read_all(reader, len(data)))
            await asyncio.sleep(0.01)
            writing = asyncio.create_task(write_all(writer, data))
            assert await reading == data
            await writing
        writer.close()
        reader.close()


async def test_one_socket_is_both_as_for_a_proxy_command() -> None:
    with a_socketpair() as (ours, theirs):
        reader, writer = source(ours), sink(ours)
        peer = socket.socket(fileno=os.dup(theirs))
        with peer:
            async with asyncio.timeout(WITHIN):
                reading = asyncio.create_task(read_all(reader))
                await asyncio.sleep(0)
                await writer.write(memoryview(b"there"))
                assert peer.recv(100) == b"there"
                writer.close()
                assert peer.recv(100) == b""  # that direction has ended,
                peer.sendall(b"and back")
                peer.shutdown(socket.SHUT_WR)
                assert await reading == b"and back"  # and the other one went on
        reader.close()


async def test_files(tmp_path: Path) -> None:
    data = some_bytes(3, MIB)
    (tmp_path / "in").write_bytes(data)
    with open(tmp_path / "in", "rb") as opened, open(tmp_path / "out", "wb") as written:
        reader, writer = source(opened.fileno()), sink(written.fileno())
        async with asyncio.timeout(WITHIN):
            await write_all(writer, await read_all(reader))
            assert await read_all(reader) == b""
            writer.close()
            reader.close()
        assert stat.S_ISCHR(os.fstat(written.fileno()).st_mode)
        assert stat.S_ISCHR(os.fstat(opened.fileno()).st_mode)
        assert (tmp_path / "out").read_bytes() == data


async def test_a_number_that_was_given_up_is_never_touched_again() -> None:
    """However late a thread is: the number may belong to another file by then."""
    reused = 0
    async with asyncio.timeout(WITHIN):
        for _ in range(20):
            with a_terminal() as (outer, inner):
                reader, writer = source(outer), sink(inner)
                await writer.write(memoryview(b"x"))
                assert await read_all(reader, 1) == b"x"
                writer.close()
                reader.close()
            with a_pipe() as numbers:
                reused += bool(set(numbers) & {outer, inner})
                await until(lambda: not any(thread.name.startswith("fd ") for thread in threading.enumerate()))
                assert all(stat.S_ISFIFO(os.fstat(number).st_mode) for number in numbers)
    assert reused


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
async def test_devices(device: str) -> None:
    with open(device, "r+b", buffering=0) as opened:
        reader, writer = source(opened.fileno()), sink(opened.fileno())
        async with asyncio.timeout(WITHIN):
            if device == "/dev/null":
                assert await read_all(reader) == b""
                await write_all(writer, bytes(MIB))
            else:
                with pytest.raises(OSError, match="No space"):
                    await writer.write(memoryview(b"x"))
        reader.close()
        writer.close()


async def test_a_read_that_waits_can_be_given_up() -> None:
    """By a thread or by the loop; and nothing is read behind the back of whoever comes next."""
    for kind in (a_pipe, a_socketpair):
        with kind() as (read_fd, write_fd):
            reader = source(read_fd)
            reading = asyncio.create_task(read_all(reader))
            await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            os.write(write_fd, b"later")
            assert await read_all(reader, 5) == b"later"
            reader.close()


async def test_a_terminal_that_nobody_types_on_does_not_hold_up_the_loop() -> None:
    with a_terminal() as (outer, inner):
        reader = source(inner)
        reading = asyncio.create_task(read_all(reader, 1))
        rescue = threading.Timer(WITHIN, os.write, (outer, b"x"))
        rescue.start()
        await asyncio.sleep(0.01)
        assert rescue.is_alive()
        rescue.cancel()
        rescue.join()
        reading.cancel()
        await asyncio.wait([reading])
        os.write(outer, b"x")  # the thread's last one
        reader.close()
        await until(lambda: not any(thread.name == f"fd {inner}" for thread in threading.enumerate()))


def test_a_thread_that_waits_does_not_hold_up_the_end_of_the_program() -> None:
    code = (
        "import asyncio, os, pty\n"
        "from tincan.apps.ends import source\n"
        "async def main():\n"
        "    reader = source(pty.openpty()[1])\n"
        "    task = asyncio.create_task(reader.read_into(memoryview(bytearray(9))))\n"
        "    await asyncio.sleep(0.05)\n"
        "asyncio.run(main())\n"
        "print('over')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "over\n"
