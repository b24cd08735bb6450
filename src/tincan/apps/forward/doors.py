"""Doors: places on this machine where connections come in, and the one hall where they wait for the string."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from functools import partial
from typing import Final

from tincan.apps.forward.addresses import Address, Transport
from tincan.apps.forward.ledger import Ledger
from tincan.apps.forward.listening import BACKLOG, address_of, bind, remove_path
from tincan.apps.forward.mux import TooManyConnections
from tincan.apps.forward.requests import Dial
from tincan.apps.forward.session import Session
from tincan.apps.forward.sockets import SocketEnd
from tincan.apps.forward.udp import FlowEnd, UdpDoor

PATIENCE: Final = 10.0
"""Seconds that a connection waits for the string to be tied."""

MAX_WAITING: Final = 256
"""Connections that wait for the string at a time."""

NO_STRING: Final = "The string to the other can is not tied; the connection was closed. Try again in a moment."

Caller = SocketEnd | FlowEnd


@dataclass(frozen=True)
class Waiting:
    """A connection that waits for the string."""

    target: Address
    transport: Transport
    timer: asyncio.TimerHandle


class Hall:
    """Takes connections from all doors to the session; lets them wait while there is none."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._session: Session | None = None
        self._waiting: dict[Caller, Waiting] = {}

    def let_in(self, session: Session | None) -> None:
        """The string is tied, and those who wait may go on; or it is not tied any more (None)."""
        self._session = session
        if session is not None:
            waiting, self._waiting = self._waiting, {}
            for caller, ticket in waiting.items():
                ticket.timer.cancel()
                self._open(session, caller, ticket.target, ticket.transport)

    def close(self) -> None:
        """Send those away who wait."""
        for caller in list(self._waiting):
            caller.lost("")

    def arrived(self, caller: Caller, target: Address, transport: Transport) -> None:
        """A connection has come in at a door."""
        if self._session is not None:
            self._open(self._session, caller, target, transport)
        elif len(self._waiting) < MAX_WAITING:
            timer = asyncio.get_running_loop().call_later(PATIENCE, caller.lost, NO_STRING)
            self._waiting[caller] = Waiting(target, transport, timer)
        else:
            caller.lost(NO_STRING)

    def gone(self, caller: Caller, reason: str, target: Address) -> None:
        """A connection is over."""
        ticket = self._waiting.pop(caller, None)
        if ticket is not None:
            ticket.timer.cancel()
        self.ledger.gone(caller, target, reason)

    def _open(self, session: Session, caller: Caller, target: Address, transport: Transport) -> None:
        try:
            caller.join(session.open(Dial(str(target), transport), caller))
        except TooManyConnections as exc:
            caller.lost(str(exc))


class Door:
    """One place that takes connections to one target; `open` binds it, `close` frees it."""

    def __init__(self, at: Address, target: Address, transport: Transport, hall: Hall) -> None:
        self._at = at
        self._target = target
        self._transport = transport
        self._hall = hall
        self._open_things: list[asyncio.Server | asyncio.DatagramTransport] = []
        self.address = at
        """Where it is; with the port that the system chose, once it is open."""

    async def open(self) -> None:
        """Begin to take connections; raise what `tincan.apps.forward.listening.bind` does."""
        sockets = await bind(self._at, self._transport)
        self.address = address_of(self._at, sockets)
        try:
            while sockets:
                await self._serve(sockets[-1])
                sockets.pop()
        finally:
            for sock in sockets:  # only when it failed
                sock.close()

    def close(self) -> None:
        """Take no more. Connections that are open go on."""
        for thing in self._open_things:
            thing.close()
        if self._open_things:
            remove_path(self._at)
        self._open_things.clear()

    async def _serve(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        hall, target = self._hall, self._target
        opened = partial(_opened, hall.ledger, target)
        gone = partial(_gone, hall, target)
        arrived = partial(hall.arrived, target=target, transport=self._transport)
        if self._transport is Transport.TCP:
            server = await loop.create_server(
                lambda: SocketEnd(made=arrived, opened=opened, gone=gone), sock=sock, backlog=BACKLOG
            )
            self._open_things.append(server)
        else:
            transport, _ = await loop.create_datagram_endpoint(
                lambda: UdpDoor(arrived=arrived, opened=opened, gone=gone), sock=sock
            )
            self._open_things.append(transport)


def _opened(ledger: Ledger, target: Address, caller: Caller) -> None:
    ledger.opened(caller, target)


def _gone(hall: Hall, target: Address, caller: Caller, reason: str) -> None:
    hall.gone(caller, reason, target)
