"""Floods against a real switchboard from one address, while two cans from another one meet and talk."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from security.cans import Can, meet

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2")

FLOODER = "127.0.0.2"
USUAL = 6.0
"""Seconds for two cans to meet, talk and leave; about one on an idle machine."""

MIB = 2**20


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.asynccontextmanager
async def switchboard() -> AsyncIterator[tuple[Can, str]]:
    port = free_port()
    async with Can.started("switchboard", "--listen", f"127.0.0.1:{port}", json=False) as process:
        await process.printed(b"listens at", stream="stderr")
        yield process, f"ws://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def client(url: str) -> AsyncIterator[ClientConnection]:
    where = {"local_addr": (FLOODER, 0), "proxy": None, "close_timeout": 0.2, "compression": None}
    async with connect(f"{url}/v1", **where) as ws:  # type: ignore[arg-type]
        yield ws


def opening(code: str, side: str = "attach") -> str:
    return json.dumps({"type": "open", "side": side, "code": code, "token": f"{code:-<22}"})


async def mailboxes(url: str, n: int) -> None:
    async with client(url) as ws:
        await ws.send(opening(f"{n:012x}"))
        await ws.recv()
        await asyncio.Event().wait()


async def oversized(url: str, n: int) -> None:
    async with client(url) as ws:
        await ws.send("x" * 1_000_000)
        await ws.recv()


async def malformed(url: str, n: int) -> None:
    async with client(url) as ws:
        junk = ["{", "[" * 40_000, '{"type": "open"}', '{"type": "send", "seq": -1}', "\x00"]
        await ws.send(junk[n % len(junk)])
        await ws.recv()


async def messages(url: str, n: int) -> None:
    body = base64.b64encode(bytes(30_000)).decode()
    async with client(url) as ws:
        await ws.send(opening(f"{n:012x}"))
        for seq in range(1000):
            await ws.send(json.dumps({"type": "send", "seq": seq, "body": body}))


async def pings(url: str, n: int) -> None:
    async with client(url) as ws:
        await ws.send(opening(f"{n:012x}"))
        for _ in range(1000):
            await ws.ping()


async def slow_loris(url: str, n: int) -> None:
    host, _, port = url.removeprefix("ws://").rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), local_addr=(FLOODER, 0))
    try:
        for byte in b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.1)
    finally:
        writer.close()


Flood = Callable[[str, int], Awaitable[None]]


@pytest.mark.parametrize(
    ("flood", "count"),
    [(mailboxes, 300), (oversized, 100), (malformed, 300), (messages, 30), (pings, 30), (slow_loris, 200)],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_two_cans_meet_during_a_flood(flood: Flood, count: int) -> None:
    async with switchboard() as (process, url):
        before = process.memory()
        at_once = asyncio.Semaphore(64)

        async def one(n: int) -> None:
            async with at_once:
                with contextlib.suppress(OSError, WebSocketException, EOFError, TimeoutError):
                    async with asyncio.timeout(8):
                        await flood(url, n)

        floods = [asyncio.create_task(one(n)) for n in range(count)]
        try:
            started = time.monotonic()
            assert await meet(url) == (0, 0)
            assert time.monotonic() - started < USUAL
        finally:
            for task in floods:
                task.cancel()
            await asyncio.wait(floods)
        assert process.process.returncode is None
        assert process.memory() - before < 64 * MIB
        assert b"Traceback" not in process.stderr
        assert await meet(url) == (0, 0)
