"""The HTTP handlers of a switchboard: the shell around `Mailboxes`.

They give the core frames and the time, and do what its effects say.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterable

import msgspec
from aiohttp import web

from tincan.switchboard import frames, party_frames
from tincan.switchboard.connection import Connection, new_websocket
from tincan.switchboard.dialects.classic_routes import ClassicRoutes
from tincan.switchboard.dialects.firebase import add_rooms
from tincan.switchboard.expiry import Expiry
from tincan.switchboard.frames import ErrorCode
from tincan.switchboard.gate import Gate, peer_address
from tincan.switchboard.limits import Limiter, address_key
from tincan.switchboard.mailboxes import Effect, HangUp, Mailboxes
from tincan.switchboard.metrics import CONTENT_TYPE, Metrics
from tincan.switchboard.party import Party, Refused
from tincan.switchboard.settings import SwitchboardSettings
from tincan.switchboard.turn import turn_login

STOP_TIMEOUT = 4.0
"""Seconds that cans get to take their ``closing``; the whole stop takes less than 5 s."""


class Switchboard:
    """Everything one server knows, and its HTTP handlers."""

    def __init__(self, settings: SwitchboardSettings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._mailboxes = Mailboxes(random.SystemRandom(), limits=settings.mailboxes, metrics=self._metrics)
        self._party = Party(settings.party, self._metrics)
        self._connections: dict[int, Connection] = {}
        self._numbers = itertools.count()
        self._expiry = Expiry(self._mailboxes.next_deadline, lambda now: self._apply(self._mailboxes.expire(now)))
        self._stopping = False
        self._empty = asyncio.Event()
        self._empty.set()
        self.limiter = Limiter(settings.rates)

    def application(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        app.on_response_prepare.append(_one_request_only)
        app.router.add_get("/v1", self._meet)
        app.router.add_get("/v1/party", self._join_party)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._render_metrics)
        ClassicRoutes(self.limiter, self._metrics, self._address_of).add_to(app)
        add_rooms(app, self._settings.rooms, self.limiter, self._metrics, self._address_of)
        return app

    async def stop(self) -> None:
        """Tell every can ``closing`` and wait until they have heard, for at most `STOP_TIMEOUT`."""
        self._stopping = True
        for connection in list(self._connections.values()):
            connection.refuse(ErrorCode.CLOSING, "This switchboard is being stopped.")
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._empty.wait()
        except TimeoutError:
            for connection in self._connections.values():
                connection.abort()
        self._expiry.stop()

    # -- handlers --

    async def _meet(self, request: web.Request) -> web.StreamResponse:
        async def serve(connection: Connection, allow: Callable[[], bool]) -> None:
            try:
                await connection.run(frames.decode, lambda frame: self._receive(connection, frame), allow)
            finally:
                self._mailboxes.disconnected(connection.number)

        return await self._websocket(request, serve)

    async def _join_party(self, request: web.Request) -> web.StreamResponse:
        async def serve(connection: Connection, allow: Callable[[], bool]) -> None:
            self._party.connected(connection.number, connection.address)
            try:
                await connection.run(party_frames.decode, lambda frame: self._receive_party(connection, frame), allow)
            finally:
                self._party.disconnected(connection.number)

        return await self._websocket(request, serve)

    async def _websocket(
        self, request: web.Request, serve: Callable[[Connection, Callable[[], bool]], Awaitable[None]]
    ) -> web.StreamResponse:
        """Serve one WebSocket, from its admission to its end."""
        websocket = new_websocket()
        await websocket.prepare(request)
        transport = request.transport
        if transport is None:
            return websocket
        gate = transport.get_protocol()
        if isinstance(gate, Gate):
            gate.passed()
        address = self._address(request, transport)
        connection = Connection(
            next(self._numbers), address, websocket, transport, self._metrics, self._settings.handshake
        )
        admitted = self._admit(connection)
        self._connections[connection.number] = connection
        self._empty.clear()
        self._metrics.connections = len(self._connections)
        try:
            await serve(connection, lambda: self.limiter.allow_frame(address, _now()))
        finally:
            if admitted:
                self.limiter.disconnect(address)
            del self._connections[connection.number]
            self._metrics.connections = len(self._connections)
            if not self._connections:
                self._empty.set()
        return websocket

    async def _healthz(self, request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _render_metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self._metrics.render(), headers={"Content-Type": CONTENT_TYPE})

    def _admit(self, connection: Connection) -> bool:
        """Count the connection for its address, or refuse it."""
        if self._stopping:
            connection.refuse(ErrorCode.CLOSING, "This switchboard is being stopped.")
        elif len(self._connections) >= self._settings.connections:
            connection.refuse(ErrorCode.FULL, "This switchboard is full. Try again later, or use another one.")
        elif not self.limiter.connect(connection.address, _now()):
            connection.refuse(ErrorCode.RATE, "Too many connections come from this address.")
        else:
            return True
        return False

    def _address_of(self, request: web.Request) -> str:
        transport = request.transport
        return address_key("") if transport is None else self._address(request, transport)

    def _address(self, request: web.Request, transport: asyncio.Transport) -> str:
        if self._settings.trust_forwarded:
            # The last entry is the one that our own proxy wrote; those before
            # it are what the client claimed.
            claimed = ",".join(request.headers.getall("X-Forwarded-For", [])).rpartition(",")[2].strip()
            if claimed:
                return address_key(claimed)
        return peer_address(transport)

    # -- the core --

    def _receive(self, connection: Connection, frame: frames.ClientFrame) -> None:
        now = _now()
        if isinstance(frame, frames.Open) and not self.limiter.allow_open(connection.address, now):
            connection.refuse(ErrorCode.RATE, "Too many meetings are opened from this address.")
            return
        self._apply(self._mailboxes.receive(connection.number, frame, address=connection.address, now=now))
        self._expiry.arm()

    def _apply(self, effects: Iterable[Effect]) -> None:
        for number, what in effects:
            connection = self._connections[number]
            if isinstance(what, HangUp):
                connection.hang_up()
            elif isinstance(what, frames.Opened):
                connection.push(self._with_servers(what))
            else:
                connection.push(what)

    def _receive_party(self, connection: Connection, frame: party_frames.ClientFrame) -> None:
        now = _now()
        if isinstance(frame, party_frames.Enter) and not self.limiter.allow_open(connection.address, now):
            connection.refuse(ErrorCode.RATE, "Too many lines are opened from this address.")
            return

        def spend(size: int) -> bool:
            return self.limiter.allow_party(connection.address, size, now)

        for number, what in self._party.receive(connection.number, frame, spend):
            if isinstance(what, Refused):
                connection.refuse(what.code, what.text)
            elif isinstance(what, party_frames.Welcome):
                connection.push(party_frames.Welcome(*self._servers()))
            else:
                self._connections[number].offer(what)

    def _with_servers(self, opened: frames.Opened) -> frames.Opened:
        stun, turn = self._servers()
        return msgspec.structs.replace(opened, stun=stun, turn=turn)

    def _servers(self) -> tuple[tuple[str, ...], frames.TurnServer | None]:
        settings = self._settings
        turn = None
        if settings.turn_urls and settings.turn_secret:
            login = turn_login(settings.turn_secret, now=int(time.time()), ttl=settings.turn_ttl)
            turn = frames.TurnServer(settings.turn_urls, *login, settings.turn_ttl)
        return settings.stun, turn


def _now() -> float:
    return asyncio.get_running_loop().time()


async def _one_request_only(request: web.Request, response: web.StreamResponse) -> None:
    """Close after every answer, errors too: connections kept for later would only take room."""
    if not isinstance(response, web.WebSocketResponse):
        response.force_close()
        # The headers are made already; without this one a client may send its next request into the closing.
        response.headers["Connection"] = "close"
