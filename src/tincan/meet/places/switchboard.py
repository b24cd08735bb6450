"""The switchboard as a place: a mailbox over one WebSocket (docs/protocol.md section 1).

The connection may break and the switchboard may be restarted: the mailbox
comes back by itself, resends what it had sent and asks for what it missed.
When the switchboard has lost its memory, `MailboxReset` tells the handshake
to begin anew.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import random
import secrets
import urllib.parse
from typing import Annotated, Any, Final

import msgspec

from tincan.errors import PeerRefused, PlaceUnreachable, TinCanError, UsageError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble, ServersOffered
from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed, MailboxReset, Side
from tincan.meet.place import Tell
from tincan.meet.places.websocket import WebSocketTrouble, websocket
from tincan.meet.urls import WEBSOCKET, place_url
from tincan.nat.servers import IceServer, parse_server

logger = logging.getLogger(__name__)

FIRST_RETRY: Final = 0.2
LAST_RETRY: Final = 3.0
"""Seconds between tries: the first, doubling up to the last, each with up to a third of jitter."""

MAX_FRAME: Final = 48 * 1024
MAX_UNREAD: Final = 80
"""Messages kept unread: the 64 that one side may send, and what ends them."""


class _Turn(msgspec.Struct, frozen=True):
    urls: Annotated[list[str], msgspec.Meta(max_length=8)]
    username: str
    credential: str


class _Opened(msgspec.Struct, frozen=True, tag="opened"):
    mailbox: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    nameplate: str | None = None
    stun: Annotated[list[str], msgspec.Meta(max_length=8)] = []
    turn: _Turn | None = None


class _Message(msgspec.Struct, frozen=True, tag="message"):
    seq: Annotated[int, msgspec.Meta(ge=0, le=63)]
    body: str


class _Reset(msgspec.Struct, frozen=True, tag="reset"):
    mailbox: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


class _Gone(msgspec.Struct, frozen=True, tag="gone"):
    pass


class _Error(msgspec.Struct, frozen=True, tag="error"):
    code: str
    text: str = ""


_Frame = _Opened | _Message | _Reset | _Gone | _Error
_decoder = msgspec.json.Decoder(_Frame)
_encoder = msgspec.json.Encoder()

_RETRY = {
    "rate": "is getting too many requests from your network; trying again more slowly",
    "full": "is full; trying again",
    "closing": "is being restarted; trying again",
    "expired": "forgot us after 10 minutes; opening the line again",
}


class _NotASwitchboard(Exception):
    """The server speaks something else."""


def switchboard_url(text: str) -> str:
    """Return the WebSocket URL for what a user calls a switchboard; `UsageError` when it is none.

    ``can.example``, ``https://can.example``, ``ws://10.0.0.1:8080`` and a full
    URL ending in ``/v1`` are all understood. A bare name means TLS.
    """
    parts = place_url(text, "a switchboard", WEBSOCKET)
    path = parts.path if parts.path.endswith("/v1") else f"{parts.path}/v1"
    return parts._replace(path=path).geturl()


class SwitchboardPlace:
    """A switchboard. Its mailboxes run in the task group that it is given."""

    def __init__(self, url: str, group: asyncio.TaskGroup, tell: Tell) -> None:
        self.url = switchboard_url(url)
        self._group = group
        self._tell = tell
        self._kept: SwitchboardMailbox | None = None

    @property
    def name(self) -> str:
        """See `Place.name`."""
        return urllib.parse.urlsplit(self.url).netloc

    async def allocate(self) -> int | None:
        """Ask for a nameplate; its mailbox is kept for `open`. None when the switchboard gives none."""
        mailbox = None
        try:
            mailbox = await self._open(Side.ATTACH, None)
        except TinCanError:
            return None
        self._kept = mailbox
        return mailbox.nameplate

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> SwitchboardMailbox:
        """See `Place.open`."""
        self._tell = tell or self._tell
        kept, self._kept = self._kept, None
        if kept is not None:
            if kept.code == code:
                return kept
            await kept.close(done=False)  # another switchboard was quicker with its nameplate
        return await self._open(side, code)

    def _hear(self, event: MeetEvent) -> None:
        self._tell(event)

    async def _open(self, side: Side, code: str | None) -> SwitchboardMailbox:
        mailbox = SwitchboardMailbox(self.url, self.name, side, code, self._hear)
        mailbox.task = self._group.create_task(mailbox.run())
        try:
            await mailbox.opened()
        except asyncio.CancelledError:
            mailbox.task.cancel()
            raise
        return mailbox


class SwitchboardMailbox:
    """One side of a mailbox at a switchboard."""

    def __init__(self, url: str, name: str, side: Side, code: str | None, tell: Tell) -> None:
        self.nameplate: int | None = None
        self.task: asyncio.Task[None] | None = None
        self._url = url
        self._name = name
        self._side = side
        self.code = code
        self._tell = tell
        self._token = secrets.token_urlsafe(24)
        self._mailbox: str | None = None
        self._socket: Any = None
        self._sent: list[bytes] = []
        self._seen = 0
        self._unread_resets = 0
        self._lock = asyncio.Lock()
        self._inbox: asyncio.Queue[bytes | TinCanError] = asyncio.Queue(MAX_UNREAD)
        self._first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._troubled = False
        self._closing = False
        self._delay = FIRST_RETRY

    async def opened(self) -> None:
        """Wait until the switchboard has given the mailbox; raise what makes that impossible."""
        await asyncio.shield(self._first)

    # -- Mailbox ---------------------------------------------------------------

    async def send(self, message: bytes) -> None:
        """See `Mailbox.send`."""
        if len(message) > MAX_MESSAGE:
            raise ValueError("message too long for a mailbox")
        async with self._lock:
            if self._unread_resets:
                return  # it belongs to what was before; `receive` is about to say so
            self._sent.append(message)
            if self._socket is not None:
                await self._put(self._socket, len(self._sent) - 1)

    async def receive(self) -> bytes:
        """See `Mailbox.receive`."""
        item = await self._inbox.get()
        if isinstance(item, MailboxReset):
            self._unread_resets -= 1
        if isinstance(item, TinCanError):
            raise item
        return item

    async def close(self, *, done: bool) -> None:
        """See `Mailbox.close`. Takes at most half a second: the mailbox expires anyway."""
        if self._closing:
            return
        self._closing = True
        socket = self._socket
        if socket is not None:
            with contextlib.suppress(Exception):  # whatever is wrong with the connection, we are leaving it
                async with asyncio.timeout(0.5):
                    await socket.send(_encode(type="close", done=done))
                    await socket.close()
        if self.task is not None:
            self.task.cancel()

    # -- the connection ----------------------------------------------------------

    async def run(self) -> None:
        """Stay connected until `close`, or until the switchboard says something final."""
        try:
            while not self._closing:
                await self._try_once()
                await asyncio.sleep(self._delay * (1 + random.random() / 3))  # noqa: S311 - jitter
                self._delay = min(self._delay * 2, LAST_RETRY)
        except TinCanError as exc:
            self._end(exc)

    async def _try_once(self) -> None:
        try:
            async with websocket(self._url, max_size=MAX_FRAME * 2, max_queue=MAX_UNREAD) as socket:
                await self._session(socket)
        except WebSocketTrouble as exc:
            self._trouble(f"{exc}; trying again")
        except _NotASwitchboard:
            self._trouble("says what no switchboard would say; trying again")
        finally:
            self._socket = None

    async def _session(self, socket: Any) -> None:
        await socket.send(
            _encode(
                type="open",
                side=self._side.value,
                code=self.code,
                token=self._token,
                resume=self._mailbox,
                seen=self._seen,
            )
        )
        async for text in socket:
            frame = _decode(text)
            if not isinstance(frame, _Error) and isinstance(frame, _Opened) != (self._socket is None):
                raise _NotASwitchboard  # `opened` is the first frame of a connection, and only that
            self._handle(frame)
            if isinstance(frame, _Opened):
                async with self._lock:
                    self._socket = socket
                    for seq in range(len(self._sent)):
                        await self._put(socket, seq)

    def _handle(self, frame: _Frame) -> None:
        match frame:
            case _Opened():
                self._take_opened(frame)
            case _Message():
                try:
                    body = base64.b64decode(frame.body, validate=True)
                except (binascii.Error, ValueError):
                    raise _NotASwitchboard from None
                if frame.seq == self._seen:
                    self._seen += 1
                    self._put_in(body)
                elif frame.seq > self._seen:
                    # A hole: let the handshake find it, as with any other damage.
                    self._put_in(b"")
            case _Reset():
                self._begin_anew(frame.mailbox)
            case _Gone():
                raise MailboxClosed("The other can left.")
            case _Error(code="busy"):
                other = "tin-can tap" if self._side is Side.ATTACH else "tin-can attach-string"
                raise PeerRefused(
                    f"The line is busy: somebody else already holds this end of the string. "
                    f"Use {other!r} for the other end, or agree on another phrase."
                )
            case _Error(code=code):
                if code in ("malformed", "too-large"):
                    raise PlaceUnreachable(f"The switchboard {self._name} does not understand this tin-can.")
                self._trouble(_RETRY.get(code, "refuses at the moment; trying again"))

    def _take_opened(self, frame: _Opened) -> None:
        servers = _servers(frame)
        if servers:
            self._tell(ServersOffered(servers))
        if frame.nameplate is not None and self.code is None:
            self._take_nameplate(frame.nameplate)
        self._tell(PlaceReady(self._name))
        self._troubled = False
        self._delay = FIRST_RETRY
        if self._mailbox is None:
            self._mailbox = frame.mailbox
        elif frame.mailbox != self._mailbox:
            self._begin_anew(frame.mailbox)
        if not self._first.done():
            self._first.set_result(None)

    def _take_nameplate(self, text: str) -> None:
        from tincan.meet.nameplate import nameplate_code

        if not (text.isascii() and text.isdecimal() and len(text) <= 8 and not text.startswith("0")):
            raise _NotASwitchboard
        self.nameplate = int(text)
        self.code = nameplate_code(self.nameplate)

    def _begin_anew(self, mailbox: str) -> None:
        self._mailbox = mailbox
        self._seen = 0
        self._sent.clear()
        self._put_in(MailboxReset("The line was begun anew."))
        self._unread_resets += 1

    def _put_in(self, item: bytes | TinCanError) -> None:
        try:
            self._inbox.put_nowait(item)
        except asyncio.QueueFull:
            raise _NotASwitchboard from None

    async def _put(self, socket: Any, seq: int) -> None:
        from websockets.exceptions import ConnectionClosed

        body = base64.b64encode(self._sent[seq]).decode()
        with contextlib.suppress(ConnectionClosed):  # sent again after the reconnection
            await socket.send(_encode(type="send", mailbox=self._mailbox, seq=seq, body=body))

    def _trouble(self, text: str) -> None:
        logger.info("switchboard trouble: %s", text)
        if not self._troubled and not self._closing:
            self._troubled = True
            self._tell(PlaceTrouble(self._name, f"The switchboard {self._name} {text}."))

    def _end(self, exc: TinCanError) -> None:
        if not self._first.done():
            self._first.set_exception(exc)
            self._first.exception()  # marks it as seen: nobody may be waiting any more
        with contextlib.suppress(asyncio.QueueFull):
            self._inbox.put_nowait(exc)


def _encode(**frame: object) -> str:
    return _encoder.encode(frame).decode()


def _decode(text: str | bytes) -> _Frame:
    try:
        frame: _Frame = _decoder.decode(text)
        return frame
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _NotASwitchboard from None


def _servers(frame: _Opened) -> tuple[IceServer, ...]:
    servers = []
    with contextlib.suppress(UsageError):  # a switchboard that offers nonsense offers nothing
        servers += [parse_server(url) for url in frame.stun]
        if frame.turn is not None:
            turn = frame.turn
            servers += [parse_server(url, turn.username, turn.credential) for url in turn.urls]
    return tuple(servers)
