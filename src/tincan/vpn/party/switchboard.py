"""A switchboard as a place for party lines (docs/protocol.md section 7)."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import random
import urllib.parse
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from tincan.errors import UsageError
from tincan.meet.events import PlaceReady, PlaceTrouble, ServersOffered
from tincan.meet.place import Tell
from tincan.meet.places.switchboard import switchboard_url
from tincan.meet.places.websocket import WebSocketTrouble, websocket
from tincan.nat.servers import IceServer, parse_server
from tincan.vpn.party.line import Inbox, LineClosed, check_message, check_topic

logger = logging.getLogger(__name__)

FIRST_RETRY: Final = 0.2
LAST_RETRY: Final = 10.0
"""Seconds between tries: doubling, each with up to a third of jitter."""

MAX_FRAME: Final = 48 * 1024
UNSENT: Final = 64
"""Messages that wait for the connection; those on top are lost, as are all while there is none."""

LAST_WORDS: Final = 0.5
"""Seconds that closing may take."""

STEADY: Final = 10.0
"""Seconds after which a connection counts as good, and the next try after it is a first one again."""

FRESH_LOGINS: Final = 0.5
"""After this part of a TURN login's life another one is asked for."""


class _Turn(msgspec.Struct, frozen=True):
    urls: Annotated[tuple[str, ...], msgspec.Meta(max_length=8)]
    username: str
    credential: str
    ttl: Annotated[int, msgspec.Meta(ge=1)] = 3600


class _Welcome(msgspec.Struct, frozen=True, tag="welcome"):
    stun: Annotated[tuple[str, ...], msgspec.Meta(max_length=8)] = ()
    turn: _Turn | None = None


class _Heard(msgspec.Struct, frozen=True, tag="heard"):
    topic: str
    body: str


class _Error(msgspec.Struct, frozen=True, tag="error"):
    code: str
    text: str = ""


_Frame: TypeAlias = _Welcome | _Heard | _Error
_decoder: msgspec.json.Decoder[_Frame] = msgspec.json.Decoder(_Frame)
_encoder = msgspec.json.Encoder()

_REFUSALS = {
    "rate": "is getting too many requests from your network",
    "full": "is full",
    "closing": "is being restarted",
}


class _NotASwitchboard(Exception):
    """The server speaks something else."""


class SwitchboardLine:
    """A `PartyLine` at a switchboard. `run` keeps it connected, in a task of its caller.

    ``tell`` hears `PlaceReady` each time it is connected, `PlaceTrouble` once
    for each spell of trouble, and `ServersOffered`.
    """

    def __init__(self, url: str, tell: Tell) -> None:
        self.url = switchboard_url(url) + "/party"
        self.name = urllib.parse.urlsplit(self.url).netloc
        self._tell = tell
        self._inbox = Inbox()
        self._topics: set[str] = set()
        self._unsent: asyncio.Queue[str] = asyncio.Queue(UNSENT)
        self._since: float | None = None
        """When the connection in use was welcomed."""
        self._troubled = False
        self._delay = FIRST_RETRY
        self._login_until: float | None = None
        self._hurry = asyncio.Event()

    # -- PartyLine -------------------------------------------------------------------

    async def join(self, topic: str) -> None:
        """See `PartyLine.join`."""
        if check_topic(topic) not in self._topics:
            self._topics.add(topic)
            self._put(type="join", topics=[topic])

    async def leave(self, topic: str) -> None:
        """See `PartyLine.leave`."""
        if topic in self._topics:
            self._topics.discard(topic)
            self._put(type="leave", topics=[topic])

    async def send(self, topic: str, message: bytes) -> None:
        """See `PartyLine.send`."""
        if self._inbox.closed:
            raise LineClosed("The party line was closed.")
        body = base64.b64encode(check_message(message)).decode()
        self._put(type="send", topic=check_topic(topic), body=body)

    async def receive(self) -> tuple[str, bytes]:
        """See `PartyLine.receive`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See `PartyLine.close`. Whoever runs `run` cancels it after this: what was said last still leaves."""
        if not self._inbox.closed:
            self._inbox.close()
            if self._since is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LAST_WORDS):
                        await self._unsent.join()

    # -- the connection --------------------------------------------------------------

    def hurry(self) -> None:
        """The network has changed: the connection is most likely dead, so make another at once."""
        self._hurry.set()

    async def run(self) -> None:
        """Stay connected until cancelled."""
        while True:
            self._hurry.clear()
            try:
                async with websocket(self.url, max_size=MAX_FRAME * 2, max_queue=64) as socket:
                    await self._session(socket)
            except WebSocketTrouble as exc:
                self._trouble(str(exc))
            except _NotASwitchboard:
                self._trouble("says what no switchboard would say")
            finally:
                since, self._since = self._since, None
            if since is not None and asyncio.get_running_loop().time() - since >= STEADY:
                self._delay = FIRST_RETRY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._delay * (1 + random.random() / 3)):  # noqa: S311 - jitter
                    await self._hurry.wait()
            self._delay = min(self._delay * 2, LAST_RETRY)

    async def _session(self, socket: Any) -> None:
        await socket.send(_encode(type="enter"))
        reading = asyncio.create_task(self._read(socket), name="party: reading")
        writing = asyncio.create_task(self._write(socket), name="party: writing")
        hurrying = asyncio.create_task(self._hurry.wait(), name="party: hurrying")
        tasks = (reading, writing, hurrying)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.exception()

    async def _read(self, socket: Any) -> None:
        async for text in socket:  # websockets pings, and ends a connection that does not answer
            self._take(_decode(text))

    async def _write(self, socket: Any) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout_at(self._login_until):
                    text = await self._unsent.get()
            except TimeoutError:
                self._login_until = loop.time() + 60
                text = _encode(type="enter")
                await socket.send(text)
                continue
            try:
                await socket.send(text)
            finally:
                self._unsent.task_done()

    def _take(self, frame: _Frame) -> None:
        if self._since is None and not isinstance(frame, _Welcome | _Error):
            raise _NotASwitchboard
        match frame:
            case _Welcome():
                self._welcome(frame)
            case _Heard(topic, body):
                if topic in self._topics:
                    try:
                        self._inbox.put(topic, base64.b64decode(body, validate=True))
                    except (binascii.Error, ValueError):
                        raise _NotASwitchboard from None
            case _Error(code=code):
                raise WebSocketTrouble(_REFUSALS.get(code, "does not understand this tin-can"))

    def _welcome(self, welcome: _Welcome) -> None:
        servers = _servers(welcome)
        if servers:
            self._tell(ServersOffered(servers))
        if welcome.turn is not None:
            until = asyncio.get_running_loop().time() + welcome.turn.ttl * FRESH_LOGINS
            self._login_until = until
        if self._since is not None:
            return
        while not self._unsent.empty():  # of the connection before, or from when there was none
            self._unsent.get_nowait()
            self._unsent.task_done()
        self._since = asyncio.get_running_loop().time()
        if self._topics:
            self._put(type="join", topics=sorted(self._topics))
        self._troubled = False
        self._tell(PlaceReady(self.name))

    def _put(self, **frame: object) -> None:
        if self._since is None:
            return  # topics are joined, and whoever sent says it again, when there is a connection
        try:
            self._unsent.put_nowait(_encode(**frame))
        except asyncio.QueueFull:
            if frame["type"] != "send":
                self.hurry()  # a topic that is not joined would stay so: begin the connection anew

    def _trouble(self, text: str) -> None:
        logger.info("switchboard trouble: %s", text)
        if not self._troubled:
            self._troubled = True
            self._tell(PlaceTrouble(self.name, f"The switchboard {self.name} {text}; trying again."))


def _encode(**frame: object) -> str:
    return _encoder.encode(frame).decode()


def _decode(text: str | bytes) -> _Frame:
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise _NotASwitchboard from None


def _servers(welcome: _Welcome) -> tuple[IceServer, ...]:
    servers: list[IceServer] = []
    with contextlib.suppress(UsageError):  # a switchboard that offers nonsense offers nothing
        servers += [parse_server(url) for url in welcome.stun]
        if welcome.turn is not None:
            turn = welcome.turn
            servers += [parse_server(url, turn.username, turn.credential) for url in turn.urls]
    return tuple(servers)
