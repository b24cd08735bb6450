"""The multiplexer over one stream: two tasks that read and write, and the ends that they serve.

A session lasts as long as its stream. What the peer asks for is answered by
whoever made the session; each answer is a task of the session.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Final

from tincan.apps.forward.events import Accepted, Asked, Data, Ended, MuxEvent, Refused, Reset, Writable
from tincan.apps.forward.mux import Mux
from tincan.apps.forward.requests import Request, decode_request, encode_request
from tincan.apps.forward.wire import End, Wire
from tincan.errors import TinCanError
from tincan.link.interface import Stream
from tincan.tasks import plain_errors

READ: Final = 256 * 1024
WRITE: Final = 256 * 1024
"""Bytes read and written at a time: large enough for few calls, small enough to stay in a processor's cache."""

LAST_WORDS: Final = 2.0
"""Seconds to say goodbye to a peer that may not listen any more."""

UNKNOWN: Final = "The other can does not know how to forward this; it may have to be upgraded."

Answer = Callable[["Session", int, Request], Coroutine[Any, Any, None]]


class Session:
    """Forwarded connections over one stream. ``odd``: see `Mux`; ``heard``: called once the peer says something."""

    def __init__(self, stream: Stream, *, odd: bool, answer: Answer, heard: Callable[[Session], None]) -> None:
        self._stream = stream
        self._answer = answer
        self._heard: Callable[[Session], None] | None = heard
        self._mux = Mux(odd=odd)
        self._ends: dict[int, End] = {}
        self._answering: dict[int, asyncio.Task[None]] = {}
        self._bell = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self.over = False
        """The stream has ended, and with it every connection."""

    async def run(self) -> None:
        """Serve until the peer says goodbye; raise `StreamBroken` when the stream breaks, and `ProtocolError`."""
        try:
            with plain_errors():
                async with asyncio.TaskGroup() as self._group:
                    writer = self._group.create_task(self._write())
                    await self._read()
                    writer.cancel()
                    for task in self._answering.values():
                        task.cancel()
        finally:
            self.over = True
            for end in list(self._ends.values()):
                end.lost("")
            self._ends.clear()

    async def leave(self) -> None:
        """Say goodbye, and wait a little for the peer's."""
        with contextlib.suppress(TimeoutError, TinCanError):
            async with asyncio.timeout(LAST_WORDS):
                await self._stream.write_eof()
                while await self._stream.read(READ):
                    pass

    def open(self, request: Request, end: End, *, carries_data: bool = True) -> Wire:
        """Ask the peer for a connection; raise `TooManyConnections`."""
        return self._join(self._mux.open(encode_request(request), carries_data=carries_data), end)

    def accept(self, id: int, end: End, text: str = "", *, carries_data: bool = True) -> Wire:
        """Open a connection that the peer asked for. The end must `join` the wire before anything else happens."""
        self._mux.accept(id, text, carries_data=carries_data)
        return self._join(id, end)

    def refuse(self, id: int, text: str) -> None:
        """Do not open it, and say why."""
        self._mux.refuse(id, text)
        self._bell.set()

    def _join(self, id: int, end: End) -> Wire:
        self._ends[id] = end
        self._bell.set()
        return Wire(self._mux, id, ring=self._bell.set, left=lambda: self._ends.pop(id, None))

    # The stream

    async def _read(self) -> None:
        while data := await self._stream.read(READ):
            if self._heard is not None:
                self._heard(self)
                self._heard = None
            self._mux.receive(data)
            self._dispatch()
            if self._mux.has_data_to_send:  # what the multiplexer answers by itself too
                self._bell.set()

    async def _write(self) -> None:
        while True:
            self._bell.clear()
            while self._mux.has_data_to_send:
                data = self._mux.data_to_send(WRITE)
                self._dispatch()
                await self._stream.write(data)
            await self._bell.wait()

    def _dispatch(self) -> None:
        while events := self._mux.take_events():
            for event in events:
                self._pass_on(event)

    def _pass_on(self, event: MuxEvent) -> None:
        if type(event) is Asked:
            self._asked(event)
            return
        end = self._ends.get(event.id)
        if end is None:
            if type(event) is Reset and event.id in self._answering:
                self._answering[event.id].cancel()
            return
        match event:
            case Data():
                end.data(event.payload)
            case Writable():
                end.writable()
            case Accepted():
                end.accepted(event.text)
            case Ended():
                end.ended()
            case Refused() | Reset():
                del self._ends[event.id]
                end.lost(event.text)

    def _asked(self, event: Asked) -> None:
        request = decode_request(event.what)
        if request is None or self._group is None:
            self.refuse(event.id, UNKNOWN)
            return
        task = self._group.create_task(self._answer(self, event.id, request))
        self._answering[event.id] = task
        task.add_done_callback(lambda _: self._answering.pop(event.id, None))
