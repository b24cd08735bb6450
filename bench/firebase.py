"""A small stand-in for the Firebase Realtime Database, as far as pypeer uses it: rooms/ by REST and streaming."""

from __future__ import annotations

import asyncio
import json
import sys

from aiohttp import web


class Rooms:
    """Values by path, and who watches them."""

    def __init__(self) -> None:
        self.values: dict[str, object] = {}
        self.changed = asyncio.Condition()

    async def put(self, request: web.Request) -> web.Response:
        self.values[request.path] = await request.json()
        async with self.changed:
            self.changed.notify_all()
        return web.json_response(self.values[request.path])

    async def delete(self, request: web.Request) -> web.Response:
        prefix = request.path.removesuffix(".json")
        self.values = {path: value for path, value in self.values.items() if not path.startswith(prefix)}
        return web.json_response(None)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        told = object()
        while True:
            value = self.values.get(request.path)
            if value is not told:
                told = value
                data = json.dumps({"path": "/", "data": value})
                await response.write(f"event: put\ndata: {data}\n\n".encode())
            async with self.changed:
                await self.changed.wait()


def main() -> None:
    rooms = Rooms()
    app = web.Application()
    app.router.add_put("/rooms/{rest:.*}", rooms.put)
    app.router.add_delete("/rooms/{rest:.*}", rooms.delete)
    app.router.add_get("/rooms/{rest:.*}", rooms.stream)
    web.run_app(app, host="0.0.0.0", port=int(sys.argv[1]), print=lambda text: print("ready", flush=True))


if __name__ == "__main__":
    main()
