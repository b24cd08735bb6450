"""A relay of the classic tin-can that somebody else wrote: it records every request, and misbehaves when told."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

from aiohttp import web

Answer = Callable[[web.Request], web.Response | None]


class FakeRelay:
    """Keeps what is put, as docs/protocol.md section 4 says.

    ``requests`` holds method, path with query, and body of each. ``override``
    may answer in its place, and ``hang`` lets every request wait for ever.
    """

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []
        self.blobs: dict[tuple[str, str], str] = {}
        self.override: Answer = lambda request: None
        self.hang = False
        self.changed = asyncio.Condition()
        self.url = ""
        self._never = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls) -> AsyncIterator[FakeRelay]:
        relay = cls()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", relay._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            relay.url = f"http://{host}:{port}/api"
            yield relay
        finally:
            relay._never.set()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        body = (await request.read()).decode()
        async with self.changed:
            self.requests.append((request.method, str(request.rel_url), body))
            self.changed.notify_all()
        if self.hang:
            await self._never.wait()
        return self.override(request) or self._serve(request, body)

    def _serve(self, request: web.Request, body: str) -> web.Response:
        what, code = request.path.removeprefix("/api/"), request.query["code"]
        name = {"string": "offer", "knot-tie": "knot-tie"}[what]
        if request.method == "PUT":
            self.blobs[what, code] = json.loads(body)[name]
            return web.Response()
        found = self.blobs.get((what, code))
        if found is None:
            return web.Response(status={"string": 404, "knot-tie": 204}[what])
        return web.json_response({name: found})

    async def has(self, wanted: Callable[[FakeRelay], bool]) -> None:
        """Wait until something is so, looking after each request."""
        async with asyncio.timeout(120), self.changed:
            await self.changed.wait_for(lambda: wanted(self))
