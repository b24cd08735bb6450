"""Places that two cans of one process share, with the time that messages take: a switchboard and a LAN.

`Board` is the switchboard's own core behind a slow network. `Lan` stands for
the doors that cans open themselves; looking finds one after a while.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import random
from collections.abc import Callable

from tincan.errors import PeerRefused
from tincan.meet.events import PlaceReady
from tincan.meet.mailbox import MailboxClosed, MailboxReset, Side
from tincan.meet.place import Tell
from tincan.switchboard import frames
from tincan.switchboard.mailboxes import Effect, HangUp, Mailboxes

_Item = bytes | MailboxClosed | MailboxReset | PeerRefused | None


class Board:
    """A switchboard at which every message takes ``lag`` seconds each way. Itself the `Place` of every can."""

    def __init__(self, name: str = "board", lag: float = 0.05, *, reachable: bool = True) -> None:
        self.name = name
        self.lag = lag
        self._reachable = reachable
        self._core = Mailboxes(random.Random(1))
        self._numbers = itertools.count()
        self._order = itertools.count()
        self._connections: dict[int, _Seat] = {}

    def __len__(self) -> int:
        return len(self._core)

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> _Seat:
        if not self._reachable:
            await asyncio.Event().wait()
        await asyncio.sleep(2 * self.lag)  # TCP and the upgrade
        number = next(self._numbers)
        seat = self._connections[number] = _Seat(self, number)
        try:
            self.say(number, frames.Open(side, code, f"{number:022}"))
            await seat.opened()
        except asyncio.CancelledError:
            self._later(lambda: self._lost(number))
            raise
        if tell is not None:
            tell(PlaceReady(self.name))
        return seat

    def say(self, number: int, frame: frames.ClientFrame) -> None:
        """Let the switchboard hear a frame, one way later."""
        self._later(lambda: self._hear(number, frame))

    def _later(self, what: Callable[[], None]) -> None:
        """Do it one way later, and after what was said before: timers of one moment have no order."""
        asyncio.get_running_loop().call_later(self.lag + next(self._order) * 1e-9, what)

    def _hear(self, number: int, frame: frames.ClientFrame) -> None:
        if number in self._connections:
            loop = asyncio.get_running_loop()
            for effect in self._core.receive(number, frame, address="192.0.2.1", now=loop.time()):
                if isinstance(effect[1], HangUp):
                    seat = self._connections.pop(effect[0])
                else:
                    seat = self._connections[effect[0]]
                self._later(functools.partial(seat.take, effect))

    def _lost(self, number: int) -> None:
        if self._connections.pop(number, None) is not None:
            self._core.disconnected(number)


class _Seat:
    """One side of a mailbox at a `Board`."""

    def __init__(self, board: Board, number: int) -> None:
        self._board = board
        self._number = number
        self._count = itertools.count()
        self._inbox: asyncio.Queue[_Item] = asyncio.Queue()
        self._closed = False

    async def opened(self) -> None:
        first = await self._inbox.get()
        if first is not None:
            raise first if isinstance(first, Exception) else AssertionError

    def take(self, effect: Effect) -> None:
        match effect[1]:
            case frames.Opened():
                self._inbox.put_nowait(None)
            case frames.Message(body=body):
                self._inbox.put_nowait(body)
            case frames.Reset():
                self._count = itertools.count()
                self._inbox.put_nowait(MailboxReset("anew"))
            case frames.Gone():
                self._inbox.put_nowait(MailboxClosed("left"))
            case frames.Error(code=frames.ErrorCode.BUSY):
                self._inbox.put_nowait(PeerRefused("busy"))

    async def send(self, message: bytes) -> None:
        self._board.say(self._number, frames.Send(next(self._count), message))

    async def receive(self) -> bytes:
        item = await self._inbox.get()
        if isinstance(item, Exception):
            raise item
        assert item is not None
        return item

    async def close(self, *, done: bool) -> None:
        if not self._closed:
            self._closed = True
            self._board.say(self._number, frames.Close(done))
            await asyncio.sleep(2 * self._board.lag)


class Lan:
    """A network on which a door is found ``slow`` seconds after it is looked for or opened, the later of both."""

    def __init__(self, slow: float = 0.3) -> None:
        self.slow = slow
        self.doors: list[_Room] = []


class LanDoor:
    """One can's `Door` on a `Lan`."""

    name = "door"

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self._room: _Room | None = None
        self.opened: list[Side] = []

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> _Room | _Visit:
        if tell is not None:
            tell(PlaceReady(self.name))
        self.opened.append(side)
        if side is Side.ATTACH:
            self._room = _Room(self._lan)
            return self._room
        while True:
            await asyncio.sleep(self._lan.slow)
            for room in self._lan.doors:
                if (visit := room.enter()) is not None:
                    return visit

    def leave(self) -> bool:
        return self._room is None or self._room.leave()


class _Room:
    """The mailbox of the one who waits."""

    def __init__(self, lan: Lan) -> None:
        self._lan = lan
        self._sent: list[bytes] = []
        self._visits: list[_Visit] = []
        self._peer: _Visit | None = None
        self._shut = False
        self.inbox: asyncio.Queue[tuple[_Visit, bytes | None]] = asyncio.Queue()
        lan.doors.append(self)

    def enter(self) -> _Visit | None:
        if self._shut:
            return None
        if self._peer is not None:
            raise PeerRefused("busy")
        visit = _Visit(self)
        self._visits.append(visit)
        for message in self._sent:
            visit.inbox.put_nowait(message)
        return visit

    def leave(self) -> bool:
        self._shut = self._shut or not self._visits
        return self._shut

    def left(self, visit: _Visit) -> None:
        if visit in self._visits:
            self._visits.remove(visit)
            self.inbox.put_nowait((visit, None))

    async def send(self, message: bytes) -> None:
        self._sent.append(message)
        for visit in self._visits:
            visit.inbox.put_nowait(message)

    async def receive(self) -> bytes:
        while True:
            visit, message = await self.inbox.get()
            if message is None and visit is self._peer:
                raise MailboxClosed("left")
            if message is not None and self._peer in (None, visit):
                self._peer = visit
                return message

    async def close(self, *, done: bool) -> None:
        self._shut = True
        if self in self._lan.doors:
            self._lan.doors.remove(self)
        for visit in self._visits:
            visit.inbox.put_nowait(None)


class _Visit:
    """The mailbox of the one who came."""

    def __init__(self, room: _Room) -> None:
        self._room = room
        self.inbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, message: bytes) -> None:
        self._room.inbox.put_nowait((self, message))

    async def receive(self) -> bytes:
        message = await self.inbox.get()
        if message is None:
            raise MailboxClosed("left")
        return message

    async def close(self, *, done: bool) -> None:
        self._room.left(self)
