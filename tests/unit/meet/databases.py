"""HTTP servers that are no good databases, each as a handler of aiohttp."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
from aiohttp import web

from tincan.meet.firebase import MAX_EVENT

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    """An HTTP server that does this with every request."""
    runner = web.ServerRunner(web.Server(handler), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


def answering(status: int, body: str = "", **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, text=body, headers=headers)

    return answer


async def hangs(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def cuts(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def floods(request: web.Request) -> web.StreamResponse:
    stream = "event-stream" in request.headers["Accept"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream" if stream else "application/json"})
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        while True:
            await response.write(b'data: "' + b"x" * MAX_EVENT)
    return response


async def passed_on(good: str, request: web.Request) -> web.StreamResponse:
    """Be a proxy for one request."""
    data = await request.read()
    async with (
        aiohttp.ClientSession() as session,
        session.request(
            request.method, good + request.path, data=data or None, headers={"Accept": request.headers["Accept"]}
        ) as answer,
    ):
        response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.headers["Content-Type"]})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        return response
