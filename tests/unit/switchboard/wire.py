"""A real switchboard on a real port, and clients that somebody else wrote."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tincan.switchboard.app import SwitchboardSettings, serve

CODE = "3f9a0c71d2be"
PATIENCE = 120.0
"""Seconds after which a test that waits has failed. No test waits for a time to pass."""


@contextlib.asynccontextmanager
async def switchboard(**settings: Any) -> AsyncIterator[str]:
    """Run a switchboard; give its URL."""
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(SwitchboardSettings(**({"port": 0} | settings)), ready=ready.set_result, stop=stop))
        try:
            yield await ready
        finally:
            stop.set()


class Client:
    """One WebSocket to a switchboard."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    @classmethod
    @contextlib.asynccontextmanager
    async def connected(cls, url: str, source: str | None = None, **options: Any) -> AsyncIterator[Client]:
        if source is not None:
            options["local_addr"] = (source, 0)
        async with connect(url + "/v1", proxy=None, close_timeout=1, **options) as socket:
            yield cls(socket)

    async def open(
        self, side: str, name: str, code: str | None = CODE, resume: str | None = None, seen: int = 0
    ) -> dict[str, Any]:
        """Open a side and return the answer."""
        await self.say(type="open", side=side, code=code, token=name.ljust(22, "-"), resume=resume, seen=seen)
        return await self.hear()

    async def send(self, seq: int, body: bytes) -> None:
        await self.say(type="send", seq=seq, body=base64.b64encode(body).decode())

    async def say(self, **frame: Any) -> None:
        await self.socket.send(json.dumps(frame))

    async def hear(self) -> dict[str, Any]:
        """Return the next frame."""
        async with asyncio.timeout(PATIENCE):
            frame = json.loads(await self.socket.recv())
        assert isinstance(frame, dict)
        return frame

    async def body(self) -> bytes:
        frame = await self.hear()
        assert frame["type"] == "message", frame
        return base64.b64decode(frame["body"])

    async def error(self) -> str:
        """Return the code of the error that ends the conversation."""
        frame = await self.hear()
        assert frame["type"] == "error", frame
        assert frame["text"]
        await self.ended()
        return str(frame["code"])

    async def ended(self) -> int | None:
        """Wait for the end of the connection, with nothing before it; return the close code."""
        async with asyncio.timeout(PATIENCE):
            try:
                surprise = await self.socket.recv()
            except ConnectionClosed:
                return self.socket.close_code
        raise AssertionError(surprise)


async def http(url: str, path: str, *headers: str) -> tuple[str, str]:
    """Return status line and body of a GET."""
    host, _, port = url.removeprefix("ws://").rpartition(":")
    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    writer.write("\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode())
    async with asyncio.timeout(PATIENCE):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return head.partition("\r\n")[0], body


async def metric(url: str, name: str) -> int:
    _, body = await http(url, "/metrics")
    [value] = [line.split()[1] for line in body.splitlines() if line.startswith(f"tincan_switchboard_{name} ")]
    return int(value)
