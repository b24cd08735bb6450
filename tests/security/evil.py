"""A switchboard that is not to be trusted: it speaks docs/protocol.md, remembers everything, and attacks.

`Board` alone is honest. An attack is a subclass that changes one of the moments:

* `on_connect`, before anything was said;
* `on_open`, when a can has opened its side;
* `on_body`, when a can has left a message for the other one.
"""

from __future__ import annotations

import base64
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from tincan.meet.handshake import Handshake
from tincan.meet.mailbox import Side
from tincan.meet.nameplate import nameplate_code
from tincan.meet.phrase import StringKeys

NAMEPLATE = 417
CODE = nameplate_code(NAMEPLATE)
WRONG = StringKeys(CODE, b"tin-can/1 words wrong-guess")


@dataclass
class Seat:
    """One side of the mailbox: its connection, what it left, and what it was given."""

    side: Side
    socket: ServerConnection | None = None
    left: list[bytes] = field(default_factory=list)
    given: int = 0
    waiting: list[bytes] = field(default_factory=list)
    opened: int = 0


class Board:
    """A switchboard with one mailbox."""

    extra: dict[str, Any] = {}  # noqa: RUF012 - replaced by attacks, never changed
    """More fields for `opened`."""

    def __init__(self) -> None:
        self.url = ""
        self.code = CODE
        self.frames: list[str] = []
        """Every frame that a can sent, as it came."""
        self.seats = {side: Seat(side) for side in Side}
        self._mailboxes = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(cls, *args: Any, sock: socket.socket | None = None, **kwargs: Any) -> AsyncIterator[Self]:
        """Run it on a free loopback port, or on a socket that is listening already."""
        board = cls(*args, **kwargs)
        where: dict[str, Any] = {"host": "127.0.0.1", "port": 0} if sock is None else {"sock": sock}
        async with serve(
            board._serve,
            **where,
            process_request=board.on_request,
            close_timeout=0.5,
            compression=None,
            max_size=2**20,
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            board.url = f"ws://127.0.0.1:{port}"
            yield board

    def forget(self) -> None:
        """Begin as new: for the next pair of cans."""
        self.seats = {side: Seat(side) for side in Side}
        self.frames.clear()

    # -- what attacks change ----------------------------------------------------------

    def on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer the HTTP request; None: go on with the WebSocket."""
        return None

    async def on_connect(self, socket: ServerConnection) -> None:
        """Do what is to be done before anything was said."""

    async def on_open(self, seat: Seat) -> None:
        """Tell a can that its side is opened, and give it what waits for it."""
        await self.tell_opened(seat)
        waiting, seat.waiting = seat.waiting, []
        for body in waiting:
            await self.give(seat.side, body)

    async def on_body(self, seat: Seat, body: bytes) -> None:
        """Pass a message on."""
        await self.give(seat.side.other, body)

    # -- what attacks use ---------------------------------------------------------------

    async def tell_opened(self, seat: Seat) -> None:
        nameplate = {"nameplate": str(NAMEPLATE)} if seat.side is Side.ATTACH else {}
        await self.say(seat.side, type="opened", mailbox=f"box{self._mailboxes}", **nameplate, **self.extra)

    async def give(self, side: Side, body: bytes) -> None:
        """Give one side a message, now or when it comes."""
        seat = self.seats[side]
        if seat.socket is None:
            seat.waiting.append(body)
            return
        seat.given += 1
        text = base64.b64encode(body).decode()
        await self.say(side, type="message", seq=seat.given - 1, body=text)

    async def reset(self, *sides: Side) -> None:
        """Tell these sides that the mailbox began anew."""
        self._mailboxes += 1
        for side in sides:
            self.seats[side].given = 0
            self.seats[side].waiting.clear()
            await self.say(side, type="reset", mailbox=f"box{self._mailboxes}")

    async def say(self, side: Side, **frame: Any) -> None:
        await self.say_raw(side, json.dumps(frame))

    async def say_raw(self, side: Side, text: str | bytes) -> None:
        socket = self.seats[side].socket
        if socket is not None:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(text)

    def kinds(self, side: Side) -> list[str]:
        """Return the kinds of the messages that one side left."""
        return [kind_of(body) for body in self.seats[side].left]

    # -- the connection -------------------------------------------------------------------

    async def _serve(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self.on_connect(socket)
            seat: Seat | None = None
            async for text in socket:
                assert isinstance(text, str)
                self.frames.append(text)
                frame = json.loads(text)
                if frame["type"] == "open":
                    seat = self.seats[Side(frame["side"])]
                    assert frame["code"] in (None, self.code) or self.code == ""
                    seat.socket = socket
                    seat.opened += 1
                    await self.on_open(seat)
                elif frame["type"] == "send":
                    assert seat is not None
                    body = base64.b64decode(frame["body"], validate=True)
                    seat.left.append(body)
                    if frame.get("mailbox") in (None, f"box{self._mailboxes}"):
                        await self.on_body(seat, body)


def kind_of(body: bytes) -> str:
    return str(msgspec.msgpack.decode(body)["kind"])


def shares(keys: StringKeys = WRONG) -> tuple[Handshake, bytes]:
    """Return an attaching handshake with its share, for whoever plays that can."""
    handshake = Handshake(Side.ATTACH, keys)
    [share] = handshake.data_to_send()
    return handshake, share


def flight_to(share: bytes, keys: StringKeys = WRONG, offer: bytes = b"offer") -> tuple[Handshake, bytes]:
    """Return a tapping handshake and its flight in answer to a share."""
    handshake = Handshake(Side.TAP, keys)
    handshake.receive(share)
    handshake.seal(offer)
    [flight] = handshake.data_to_send()
    return handshake, flight


def changed(body: bytes, part: str, change: Any) -> bytes:
    """Return a handshake message with one of its fields changed."""
    frame = msgspec.msgpack.decode(body)
    frame[part] = change(frame[part])
    return msgspec.msgpack.encode(frame)


def flipped(data: bytes, at: int = -1) -> bytes:
    """Return the bytes with one bit the other way."""
    out = bytearray(data)
    out[at] ^= 0x10
    return bytes(out)
