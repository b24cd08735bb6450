"""A port that listens and connects at once, on the real loopback and the real interfaces."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from ports import free_port
from tincan.link.tcp import Address, Port
from tincan.nat.addresses import host_addresses, interfaces
from unit.link.pairs import only_the_test_is_left
from unit.link.stream_pairs import open_files

WITHIN = 120.0
ADDRESSES = ["127.0.0.1", *host_addresses(interfaces())]
linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


class Door:
    """A port that is in use: what came about at it, and who had connected."""

    def __init__(self) -> None:
        self.port = Port(free_port())
        self.arrived: asyncio.Queue[tuple[socket.socket, bool]] = asyncio.Queue()
        self._tasks = [asyncio.create_task(self.port.accept(self.hand_over))]

    def hand_over(self, sock: socket.socket, connected: bool) -> None:
        self.arrived.put_nowait((sock, connected))

    def keep_connecting(self, address: Address, seed: int = 1) -> None:
        self._tasks.append(
            asyncio.create_task(self.port.keep_connecting(address, self.hand_over, random.Random(seed)))
        )

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self.port.close()
        while not self.arrived.empty():
            self.arrived.get_nowait()[0].close()


@contextlib.asynccontextmanager
async def doors(count: int = 2) -> AsyncIterator[list[Door]]:
    opened = [Door() for _ in range(count)]
    try:
        async with asyncio.timeout(WITHIN):
            yield opened
    finally:
        for door in opened:
            await door.close()
        await only_the_test_is_left()


async def speaks_to(near: socket.socket, far: socket.socket) -> bool:
    """Whether two sockets are the ends of one connection."""
    return near.getsockname()[:2] == far.getpeername()[:2] and near.getpeername()[:2] == far.getsockname()[:2]


@pytest.mark.parametrize("host", ADDRESSES)
async def test_one_connects_to_the_other(host: str) -> None:
    async with doors() as (near, far):
        sock = await near.port.connect((host, far.port.number))
        other, connected = await far.arrived.get()
        assert not connected
        assert await speaks_to(sock, other)
        assert sock.getsockname()[1] == near.port.number
        sock.close()
        other.close()


@pytest.mark.parametrize("host", ADDRESSES)
async def test_both_connect_to_each_other_at_once(host: str) -> None:
    """Ten times: however the two SYNs meet, there is a connection from port to port, with one end at each."""
    for seed in range(10):
        async with doors() as (near, far):
            near.keep_connecting((host, far.port.number), seed)
            far.keep_connecting((host, near.port.number), seed + 1)
            ours, _ = await near.arrived.get()
            theirs, _ = await far.arrived.get()
            assert await speaks_to(ours, theirs)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(ours, b"ping")
            assert await loop.sock_recv(theirs, 10) == b"ping"
            ours.close()
            theirs.close()


async def test_it_goes_on_connecting_until_somebody_is_there() -> None:
    gone = Port(free_port())
    gone.close()
    async with doors(1) as [near]:
        near.keep_connecting(("127.0.0.1", gone.number))
        await asyncio.sleep(0.1)
        assert near.arrived.empty()
        with socket.create_server(("127.0.0.1", gone.number)) as later:
            sock, connected = await near.arrived.get()
            assert connected
            assert sock.getpeername() == later.getsockname()
            sock.close()


async def test_one_attempt_has_an_end() -> None:
    """A server whose queue is full, as far as the kernel lets itself be filled: it drops SYNs."""
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        async with doors(1) as [near]:
            with pytest.raises(TimeoutError):
                await near.port.connect(full.getsockname(), timeout=0.2)


async def test_it_is_not_connected_to_itself() -> None:
    port = Port(free_port())
    number = port.number
    port.close()
    async with asyncio.timeout(WITHIN):
        with pytest.raises(OSError):
            await port.connect(("127.0.0.1", number), timeout=0.2)


async def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        with pytest.raises(OSError):
            Port(other.getsockname()[1])


@linux
async def test_nothing_is_left_open() -> None:
    before = open_files()
    gone = Port(free_port())
    gone.close()
    async with doors() as (near, far):
        near.keep_connecting(("127.0.0.1", far.port.number))
        far.keep_connecting(("127.0.0.1", gone.number))
        for door in (far, near):
            (await door.arrived.get())[0].close()
    assert open_files() <= before


async def test_cancelled_at_any_moment_it_leaves_nothing() -> None:
    for turns in range(12):
        async with doors() as (near, far):
            near.keep_connecting(("127.0.0.1", far.port.number))
            far.keep_connecting(("127.0.0.1", near.port.number))
            for _ in range(turns):
                await asyncio.sleep(0)
