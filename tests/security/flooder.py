"""A flood against a switchboard, as a process of its own: ``python -m security.flooder KIND URL``.

It must not share the test's event loop, or the test would measure its own
load. It goes on until it is killed, within `SECONDS` and `ATTEMPTS`, and
prints a line for each thing it has done, so that the test can see that it
was going on all the time.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

FLOODER = "127.0.0.2"
AT_ONCE = 64
SECONDS = 120.0
ATTEMPTS = 20_000


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
        await asyncio.sleep(1)  # held for a while; then another one takes its place


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
            print("message", flush=True)


async def pings(url: str, n: int) -> None:
    async with client(url) as ws:
        await ws.send(opening(f"{n:012x}"))
        for _ in range(1000):
            await ws.ping()
            print("ping", flush=True)


async def slow_loris(url: str, n: int) -> None:
    host, _, port = url.removeprefix("ws://").rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port), local_addr=(FLOODER, 0))
    try:
        for byte in b"GET /v1 HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100:
            writer.write(bytes([byte]))
            await writer.drain()
            print("byte", flush=True)
            await asyncio.sleep(0.1)
    finally:
        writer.close()


Flood = Callable[[str, int], Awaitable[None]]
FLOODS: dict[str, Flood] = {f.__name__: f for f in (mailboxes, oversized, malformed, messages, pings, slow_loris)}


async def main(kind: str, url: str) -> None:
    numbers = itertools.count()

    async def again_and_again() -> None:
        while (n := next(numbers)) < ATTEMPTS:
            with contextlib.suppress(OSError, WebSocketException, EOFError, TimeoutError):
                async with asyncio.timeout(2):
                    await FLOODS[kind](url, n)
            print(n, flush=True)
            await asyncio.sleep(0.005)  # the refused come back at once, but not in a loop without a breath

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SECONDS), asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(again_and_again())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
