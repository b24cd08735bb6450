"""Pairs of streams in one process, over sockets of loopback and over links in memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from tincan.link.interface import Path, Stream
from tincan.link.memory import MemoryLink
from tincan.link.punch import Punching
from tincan.link.streams import LinkStream, Streams
from tincan.link.tls import Certificate, Pin, TlsStream, fresh_certificate, secure
from tincan.meet.mailbox import Side

CERTIFICATES: dict[Side, Certificate] = {side: fresh_certificate() for side in Side}
"""Made once: it takes longer than most tests."""

HERE = Punching(port_mapping=False, rng=random.Random(7))
"""Looks for a TCP path between the addresses of this machine."""


def pin(side: Side) -> Pin:
    """What this side is told of the other."""
    return Pin(CERTIFICATES[side], CERTIFICATES[side.other].der)


def sockets() -> tuple[socket.socket, socket.socket]:
    """Two connected, non-blocking TCP sockets."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        near = socket.create_connection(listening.getsockname())
        far, _ = listening.accept()
    for sock in (near, far):
        sock.setblocking(False)
    return near, far


async def tls_pair() -> tuple[TlsStream, TlsStream]:
    """The attaching can's end and the tapping can's."""
    near, far = sockets()
    return await asyncio.gather(
        secure(near, pin(Side.ATTACH), Side.ATTACH, Path.LAN), secure(far, pin(Side.TAP), Side.TAP, Path.LAN)
    )


@dataclass
class Linked:
    """Two links with streams on them: near is the attaching can."""

    near_link: MemoryLink
    far_link: MemoryLink
    near_streams: Streams
    far_streams: Streams

    async def stream(self) -> tuple[LinkStream, LinkStream]:
        """Open a stream from near to far."""
        near = await self.near_streams.open("test")
        return near, await self.far_streams.accept("test")

    async def by_tcp(self) -> tuple[LinkStream, LinkStream]:
        """The same, once it goes by TCP."""
        near, far = await self.stream()
        await asyncio.gather(near.settled(), far.settled())
        assert near.by_tcp
        assert far.by_tcp
        return near, far


@contextlib.asynccontextmanager
async def linked(
    near: Punching | None = None, far: Punching | None = None, *, capacity: int = 16
) -> AsyncIterator[Linked]:
    """Two connected cans; without settings their streams stay on channels."""
    near_link, far_link = MemoryLink.pair(capacity=capacity)
    purposes = frozenset({"test"})
    async with (
        Streams(near_link, Side.ATTACH, purposes, near) as near_streams,
        Streams(far_link, Side.TAP, purposes, far) as far_streams,
    ):
        yield Linked(near_link, far_link, near_streams, far_streams)


def some_bytes(seed: int, size: int) -> bytes:
    """Bytes that no other seed gives."""
    return random.Random(seed).randbytes(size)


async def write_all(stream: Stream, data: bytes, seed: int, *, largest: int = 300_000) -> None:
    """Write in pieces of chance, and the end."""
    rng = random.Random(seed)
    at = 0
    while at < len(data):
        size = rng.choice([1, rng.randrange(1, 100), rng.randrange(1, largest)])
        await stream.write(data[at : at + size])
        at += size
    await stream.write_eof()


async def read_all(stream: Stream, seed: int = 0, *, largest: int = 300_000) -> bytes:
    """Read with limits of chance to the end."""
    rng = random.Random(seed)
    found = bytearray()
    while True:
        limit = rng.choice([1, rng.randrange(1, 5000), rng.randrange(1, largest)])
        data = await stream.read(limit)
        if not data:
            return bytes(found)
        assert len(data) <= limit
        found += data


def open_files() -> set[str]:
    """What this process has open, but for what the loop itself needs."""
    names = set()
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            names.add(f"{entry} {os.readlink(f'/proc/self/fd/{entry}')}")
    return {name for name in names if "socket:" in name or "tin-can" in name}


async def write_without_end(stream: Stream, size: int = 10_000) -> None:
    """Write until it breaks."""
    while True:
        await stream.write(bytes(size))


async def read_into(found: bytearray, stream: Stream) -> None:
    """Read until it breaks, keeping what came."""
    while data := await stream.read(5000):
        found += data
