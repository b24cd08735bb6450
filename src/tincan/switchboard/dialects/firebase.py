"""The routes of `Rooms`: as much of Firebase's REST and streaming API as pypeer uses.

Below ``/rooms/`` only. PUT, GET and DELETE answer with JSON; GET that accepts
``text/event-stream`` is answered with a stream that stays open. Requests count
as frames of their address, a new room as an opened line and a stream as a
WebSocket (`tincan.switchboard.limits`).
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from aiohttp import web

from tincan.meet.firebase import KEEP_ALIVE, MAX_VALUE, put_event
from tincan.switchboard.dialects.rooms import Notice, Refusal, Refused, RoomLimits, Rooms, split_path
from tincan.switchboard.expiry import Expiry
from tincan.switchboard.gate import Gate
from tincan.switchboard.limits import Limiter
from tincan.switchboard.metrics import Metrics

KEEP_ALIVE_INTERVAL: Final = 30.0
"""Seconds between keep-alives, as Firebase has it; a dead client is noticed by them."""

SEND_DEADLINE: Final = 15.0
"""Seconds that one event may take to leave."""

QUEUE: Final = 16
"""Values that wait for one watcher; who does not read them is dropped."""

_HEADERS: Final = {"Cache-Control": "no-cache"}


def add_rooms(
    app: web.Application,
    limits: RoomLimits,
    limiter: Limiter,
    metrics: Metrics,
    address_of: Callable[[web.Request], str],
) -> None:
    """Add the routes to a switchboard's application. ``address_of`` gives an `address_key`."""
    rooms = _Shell(Rooms(limits, metrics), limiter, metrics, address_of)
    app.router.add_route("*", "/rooms{rest:.*}", rooms.handle)
    app.on_shutdown.append(rooms.stop)


class _Shell:
    def __init__(
        self, rooms: Rooms, limiter: Limiter, metrics: Metrics, address_of: Callable[[web.Request], str]
    ) -> None:
        self._rooms = rooms
        self._limiter = limiter
        self._metrics = metrics
        self._address_of = address_of
        self._numbers = itertools.count()
        self._queues: dict[int, asyncio.Queue[bytes | None]] = {}
        self._expiry = Expiry(rooms.next_deadline, lambda now: self._tell(rooms.expire(now)))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer any request below ``/rooms``."""
        address = self._address_of(request)
        try:
            if not self._limiter.allow_frame(address, _now()):
                raise Refused(Refusal.RATE)
            room, key = split_path(request.path)
            match request.method:
                case "PUT" if key is not None:
                    return _json(await self._put(request, room, key, address))
                case "GET" if "text/event-stream" in request.headers.get("Accept", ""):
                    if key is not None:
                        return await self._stream(request, room, key, address)
                case "GET":
                    return _json(self._rooms.get(room, key, now=_now()))
                case "DELETE":
                    self._tell(self._rooms.delete(room, key, now=_now()))
                    return _json(b"null")
            raise Refused(Refusal.DENIED)
        except Refused as refused:
            if refused.why is Refusal.RATE:
                self._metrics.rate_limited += 1
            status, text = refused.why.value
            return _json(msgspec.json.encode({"error": text}), status)
        except ConnectionError:  # it went away, or was cut, in the middle of what it sent
            return web.Response(status=400)

    async def stop(self, app: web.Application) -> None:
        """End every stream."""
        for queue in self._queues.values():
            _end(queue)
        self._expiry.stop()

    async def _put(self, request: web.Request, room: str, key: str, address: str) -> bytes:
        data = bytearray()
        # Whoever sends it slowly is cut by the gate.
        async for chunk in request.content.iter_any():
            data += chunk
            if len(data) > MAX_VALUE:
                raise Refused(Refusal.TOO_LARGE)
        now = _now()
        if not self._rooms.exists(room) and not self._limiter.allow_open(address, now):
            raise Refused(Refusal.RATE)
        value, notices = self._rooms.put(room, key, bytes(data), address=address, now=now)
        self._tell(notices)
        self._expiry.arm()
        return value

    async def _stream(self, request: web.Request, room: str, key: str, address: str) -> web.StreamResponse:
        if not self._limiter.connect(address, _now()):
            raise Refused(Refusal.RATE)
        number = next(self._numbers)
        try:
            value = self._rooms.watch(number, room, key, now=_now())
            queue = self._queues[number] = asyncio.Queue(QUEUE)
            queue.put_nowait(value)
            try:
                return await self._write(request, queue)
            finally:
                del self._queues[number]
                self._rooms.unwatch(number, room, key)
        finally:
            self._limiter.disconnect(address)

    async def _write(self, request: web.Request, queue: asyncio.Queue[bytes | None]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **_HEADERS})
        await response.prepare(request)
        gate = request.transport.get_protocol() if request.transport is not None else None
        if isinstance(gate, Gate):
            gate.passed(on_lost=lambda: _end(queue))
        try:
            while True:
                event = KEEP_ALIVE
                try:
                    async with asyncio.timeout(KEEP_ALIVE_INTERVAL):
                        value = await queue.get()
                    if value is None:
                        return response
                    event = put_event(value)
                except TimeoutError:
                    pass
                async with asyncio.timeout(SEND_DEADLINE):
                    await response.write(event)
        except (ConnectionError, TimeoutError):
            # It went away while we wrote, or did not take what we wrote.
            if request.transport is not None:
                request.transport.abort()
        return response

    def _tell(self, notices: Iterable[Notice]) -> None:
        for number, value in notices:
            if not _put(self._queues[number], value):
                self._metrics.dropped += 1


def _put(queue: asyncio.Queue[bytes | None], value: bytes) -> bool:
    """Queue what a watcher has to hear; one that does not read is sent away."""
    if queue.full():
        _end(queue)
        return False
    queue.put_nowait(value)
    return True


def _end(queue: asyncio.Queue[bytes | None]) -> None:
    """Let a stream end, whatever waits to be sent on it."""
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, headers=_HEADERS, content_type="application/json", charset="utf-8")


def _now() -> float:
    return asyncio.get_running_loop().time()
