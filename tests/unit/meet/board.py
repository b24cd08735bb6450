"""A switchboard that the test plays, word by word."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tincan.meet.events import MeetEvent
from tincan.meet.mailbox import Side
from tincan.meet.places.switchboard import SwitchboardMailbox, SwitchboardPlace

CODE = "3f9a0c71d2be"
PATIENCE = 120.0
"""Seconds that only a hang reaches."""


class Caller:
    """One connection of a can."""

    def __init__(self, socket: ServerConnection) -> None:
        self._socket = socket
        self.path = socket.request.path if socket.request else ""

    async def say(self, **frame: Any) -> None:
        await self.say_raw(json.dumps(frame))

    async def say_raw(self, text: str | bytes) -> None:
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(text)

    async def message(self, seq: int, body: bytes) -> None:
        await self.say(type="message", seq=seq, body=base64.b64encode(body).decode())

    async def error(self, code: str) -> None:
        """Say what ends the conversation, and end it."""
        await self.say(type="error", code=code, text="whatever")
        await self.end()

    async def end(self) -> None:
        """End the connection; the can has read everything before it comes again."""
        await self._socket.close()

    async def hear(self) -> dict[str, Any]:
        frame = json.loads(await self._socket.recv())
        assert isinstance(frame, dict)
        return frame

    async def hear_body(self, seq: int) -> bytes:
        frame = await self.hear()
        assert (frame["type"], frame["seq"]) == ("send", seq)
        return base64.b64decode(frame["body"])

    async def left(self) -> None:
        """Wait until the can has gone, and heard nothing else before."""
        with contextlib.suppress(ConnectionClosed):
            surprise = await self._socket.recv()
            raise AssertionError(surprise)

    def cut(self) -> None:
        """Let the network break."""
        self._socket.transport.abort()

    def stop_reading(self) -> None:
        self._socket.transport.pause_reading()  # type: ignore[attr-defined]


class Board:
    """A listening port, and those who call."""

    def __init__(self) -> None:
        self.url = ""
        self._callers: asyncio.Queue[Caller] = asyncio.Queue()

    @classmethod
    @contextlib.asynccontextmanager
    async def listening(cls, port: int = 0) -> AsyncIterator[Board]:
        board = cls()

        async def answer(socket: ServerConnection) -> None:
            board._callers.put_nowait(Caller(socket))
            await socket.wait_closed()

        async with serve(answer, "127.0.0.1", port, close_timeout=0.1) as server:
            board.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            async with asyncio.timeout(PATIENCE):
                yield board

    async def caller(self) -> tuple[Caller, dict[str, Any]]:
        """Return the next connection, and how it opens."""
        caller = await self._callers.get()
        return caller, await caller.hear()

    def nobody_calls(self) -> bool:
        return self._callers.empty()


class Can:
    """A can with its place."""

    def __init__(self, url: str, group: asyncio.TaskGroup) -> None:
        self.events: list[MeetEvent] = []
        self.place = SwitchboardPlace(url, group, self.events.append)

    @classmethod
    @contextlib.asynccontextmanager
    async def at(cls, board: Board) -> AsyncIterator[Can]:
        async with asyncio.TaskGroup() as group:
            yield cls(board.url, group)

    def opening(self, side: Side = Side.TAP, code: str = CODE) -> asyncio.Task[SwitchboardMailbox]:
        """Begin to open. No task of the group: how it ends is for the test to see."""
        return asyncio.create_task(self.place.open(side, code))


@contextlib.asynccontextmanager
async def connected(side: Side = Side.TAP) -> AsyncIterator[tuple[SwitchboardMailbox, Caller, Board, Can]]:
    """Give a mailbox called ``m1`` at a fresh board, its connection, and the rest."""
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening(side)
        caller, _ = await board.caller()
        await caller.say(type="opened", mailbox="m1")
        mailbox = await opening
        try:
            yield mailbox, caller, board, can
        finally:
            await mailbox.close(done=False)
