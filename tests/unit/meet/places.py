"""Places within the test: one that connects two cans, and one that a test plays itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from tincan.errors import PeerRefused, TinCanError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble
from tincan.meet.mailbox import MemoryMailbox, Side
from tincan.meet.phrase import StringKeys
from tincan.meet.place import Tell

CODE = "3f9a0c71d2be"
KEYS = StringKeys(CODE, b"the right password")
WRONG = StringKeys(CODE, b"another password")


class MemoryPlace:
    """A place for two cans in one process. Give the same one to both meetings."""

    def __init__(self, name: str = "memory") -> None:
        self.name = name
        self.opened = 0
        self.inside: dict[Side, _Held] = {}
        self._boxes: dict[Side, MemoryMailbox] = {}

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> _Held:
        assert code == CODE
        if side in self.inside:
            raise PeerRefused("The line is busy.")
        if side not in self._boxes:
            self._boxes = dict(zip((side, side.other), MemoryMailbox.pair(), strict=True))
        self.opened += 1
        self.inside[side] = _Held(self, side, self._boxes.pop(side))
        if tell is not None:
            tell(PlaceReady(self.name))
        return self.inside[side]


class _Held:
    """One side of a mailbox at a `MemoryPlace`."""

    def __init__(self, place: MemoryPlace, side: Side, mailbox: MemoryMailbox) -> None:
        self._place = place
        self._side = side
        self.send = mailbox.send
        self.receive = mailbox.receive
        self._mailbox = mailbox

    async def close(self, *, done: bool) -> None:
        self._place.inside.pop(self._side, None)
        await self._mailbox.close(done=done)


class ScriptedMailbox:
    """One side of a mailbox whose other side, and whose carrier, is the test."""

    def __init__(self, *, slow_to_close: float = 0.0) -> None:
        self.sent: asyncio.Queue[bytes] = asyncio.Queue()
        self.closed: list[bool] = []
        self._inbox: asyncio.Queue[bytes | TinCanError] = asyncio.Queue()
        self._slow_to_close = slow_to_close
        self._jammed = False

    def put(self, *items: bytes | TinCanError) -> None:
        """Let the can receive this."""
        for item in items:
            self._inbox.put_nowait(item)

    def taken(self) -> list[bytes]:
        """Return what the can sent since the last time."""
        return [self.sent.get_nowait() for _ in range(self.sent.qsize())]

    def jam(self) -> None:
        """Let nothing that is sent get through any more."""
        self._jammed = True

    async def send(self, message: bytes) -> None:
        self.sent.put_nowait(message)
        if self._jammed:
            await asyncio.Event().wait()

    async def receive(self) -> bytes:
        item = await self._inbox.get()
        if isinstance(item, TinCanError):
            raise item
        return item

    async def close(self, *, done: bool) -> None:
        self.closed.append(done)
        await asyncio.sleep(self._slow_to_close)


class ScriptedPlace:
    """A place that gives out what the test prepared, one thing for each `open`.

    A number means seconds of trouble before the next thing; once nothing is
    left the place stays in trouble.
    """

    def __init__(self, *things: ScriptedMailbox | TinCanError | float, name: str = "scripted") -> None:
        self.name = name
        self.opened = 0
        self._things: list[ScriptedMailbox | TinCanError | float] = list(things)

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> ScriptedMailbox:
        self.opened += 1
        hear: Tell = tell or _nobody
        while self._things:
            thing = self._things.pop(0)
            if isinstance(thing, TinCanError):
                raise thing
            if isinstance(thing, ScriptedMailbox):
                hear(PlaceReady(self.name))
                return thing
            hear(PlaceTrouble(self.name, f"The place {self.name} is closed; trying again."))
            await asyncio.sleep(thing)
        hear(PlaceTrouble(self.name, f"The place {self.name} is gone; trying again."))
        await asyncio.Event().wait()
        raise AssertionError


class ReadyPlace:
    """A place that is there at once, and never finds anybody: a LAN to a tapping can."""

    name = "ready"

    async def open(self, side: Side, code: str, tell: Tell | None = None) -> ScriptedMailbox:
        if tell is not None:
            tell(PlaceReady(self.name))
        await asyncio.Event().wait()
        raise AssertionError


def of_kind(events: Sequence[MeetEvent], kind: type[MeetEvent]) -> list[MeetEvent]:
    return [event for event in events if isinstance(event, kind)]


def _nobody(event: MeetEvent) -> None:
    pass
