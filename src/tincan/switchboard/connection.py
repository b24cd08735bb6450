"""One WebSocket of a switchboard: a bounded queue, one writer, one reader.

The reader turns what arrives into frames and pays for each with the limiter;
the writer sends what was queued, in order. A can that does not read fills its
queue, or keeps the writer waiting, and is dropped: it costs itself its
connection, and nobody else memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from tincan.switchboard import frames, party_frames
from tincan.switchboard.frames import ErrorCode
from tincan.switchboard.metrics import Metrics

QUEUE = 160
"""Frames waiting for one can: a full mailbox of 64, twice, and room for the small ones.
They share their bodies with the mailbox."""

LOSSY_QUEUE: Final = 64
"""Frames of party lines waiting for one can; what comes on top is lost to it."""

SEND_DEADLINE = 15.0
"""Seconds that one frame may take to leave. On the slowest line that is of use, 48 KiB take 8 s."""

HEARTBEAT = 20.0
CLOSE_TIMEOUT = 2.0
"""Seconds to wait for the other end's close frame."""

TRANSPORT_LIMIT = 64 * 1024
"""Where the WebSocket itself gives up. A little above `frames.MAX_FRAME`, so that a can whose
frame is a little too large still hears why."""

ServerFrame: TypeAlias = frames.ServerFrame | party_frames.ServerFrame
F = TypeVar("F")

_CLOSE_CODES = {
    ErrorCode.CLOSING: WSCloseCode.GOING_AWAY,
    ErrorCode.TOO_LARGE: WSCloseCode.MESSAGE_TOO_BIG,
}


def new_websocket() -> web.WebSocketResponse:
    """Return the WebSocket response that `Connection` expects.

    Pings are answered here and not by aiohttp, so that they are counted like
    frames. No compression: it would cost memory, and most bytes are ciphertext.
    """
    return web.WebSocketResponse(
        heartbeat=HEARTBEAT,
        timeout=CLOSE_TIMEOUT,
        max_msg_size=TRANSPORT_LIMIT,
        compress=False,
        autoping=False,
    )


class Connection:
    """One connected can. ``number`` is its name within the process, ``first_frame_within`` is in seconds."""

    def __init__(
        self,
        number: int,
        address: str,
        websocket: web.WebSocketResponse,
        transport: asyncio.Transport,
        metrics: Metrics,
        first_frame_within: float,
    ) -> None:
        self.number = number
        self.address = address
        self._websocket = websocket
        self._transport = transport
        self._metrics = metrics
        self._first_frame_within = first_frame_within
        self._outgoing: asyncio.Queue[ServerFrame | None] = asyncio.Queue(QUEUE)
        self._close_code = WSCloseCode.OK
        self._closing = False

    def push(self, frame: ServerFrame) -> None:
        """Queue a frame. Never waits; after `hang_up` does nothing."""
        if self._closing:
            return
        if isinstance(frame, frames.Error):
            self._metrics.error(frame.code)
            self._close_code = _CLOSE_CODES.get(frame.code, WSCloseCode.POLICY_VIOLATION)
        self._put(frame)

    def offer(self, frame: ServerFrame) -> None:
        """Queue a frame that may be lost, if not too many wait."""
        if self._outgoing.qsize() < LOSSY_QUEUE:
            self.push(frame)
        else:
            self._metrics.party_lost += 1

    def hang_up(self) -> None:
        """Close once everything queued is sent; read nothing more. Idempotent."""
        if not self._closing:
            self._closing = True
            self._put(None)

    def refuse(self, code: ErrorCode, text: str) -> None:
        """Push an error and hang up."""
        self.push(frames.Error(code, text))
        self.hang_up()

    def abort(self) -> None:
        """Cut the connection now."""
        self._closing = True
        self._transport.abort()

    async def run(self, decode: Callable[[str], F], on_frame: Callable[[F], None], allow: Callable[[], bool]) -> None:
        """Serve until either end hangs up. ``allow`` is asked before anything received is looked at."""
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(decode, on_frame, allow))
                await self._write()
                reader.cancel()
            await self._websocket.close(code=self._close_code)
        except* (ConnectionError, TimeoutError):
            # It went away while we wrote, or did not take what we wrote.
            self.abort()

    async def _write(self) -> None:
        while (frame := await self._outgoing.get()) is not None:
            async with asyncio.timeout(SEND_DEADLINE):
                await self._websocket.send_str(frames.encode(frame))

    async def _read(
        self, decode: Callable[[str], F], on_frame: Callable[[F], None], allow: Callable[[], bool]
    ) -> None:
        try:
            async with asyncio.timeout(self._first_frame_within) as deadline:
                while not self._closing:
                    message = await self._websocket.receive()
                    if self._closing or message.type not in _COUNTED:
                        return
                    if not allow():
                        self.refuse(ErrorCode.RATE, "Too many frames come from this address.")
                    elif message.type is WSMsgType.TEXT:
                        on_frame(decode(message.data))
                        deadline.reschedule(None)
                    elif message.type is WSMsgType.BINARY:
                        raise frames.Malformed("Frames are text.")
                    elif message.type is WSMsgType.PING:
                        await self._websocket.pong(message.data)
        except frames.FrameError as error:
            self.refuse(error.code, str(error))
        except TimeoutError:
            self._close_code = WSCloseCode.POLICY_VIOLATION
        finally:
            self.hang_up()

    def _put(self, item: ServerFrame | None) -> None:
        try:
            self._outgoing.put_nowait(item)
        except asyncio.QueueFull:
            # The writer is in the middle of sending, and fails at once.
            self._metrics.dropped += 1
            self.abort()


_COUNTED = {WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.PING, WSMsgType.PONG}
