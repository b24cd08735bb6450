"""The seam to messages between controllers: `Overlay`, and one in memory for tests."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from tincan.vpn.ipop.effects import Login
from tincan.vpn.ipop.events import Gone, Heard, OverlayEvent, Said, SignedIn, SignedOut

MAX_WAITING: Final = 1024
"""Events that are not yet read; messages beyond are lost, as they may be anyway."""


class Overlay(Protocol):
    """What carries messages between controllers that do not have a link yet."""

    async def run(self, login: Login) -> None:
        """Sign in, and stay in until cancelled or refused for good; failures are told as events, not raised."""

    def send(self, uid: str, kind: str, data: str) -> bool:
        """Send a message to a friend; False when nobody of that uid is there. At most once, in order."""

    async def event(self) -> OverlayEvent:
        """Return the next event."""


class Events:
    """A bounded queue of events, for the makers of overlays."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[OverlayEvent] = asyncio.Queue(MAX_WAITING)

    def put(self, event: OverlayEvent) -> None:
        """Add an event; one too many is lost."""
        if not self._queue.full():
            self._queue.put_nowait(event)

    async def get(self) -> OverlayEvent:
        """Return the next event."""
        return await self._queue.get()


class MemoryServer:
    """What the overlays of one test have between them: everybody is everybody's friend.

    ``passwords`` are asked for if there are any; ``refuses`` loses messages of some kinds.
    """

    def __init__(self) -> None:
        self.passwords: dict[str, str] = {}
        self.present: dict[str, MemoryOverlay] = {}
        self.refuses: set[str] = set()

    def overlay(self) -> MemoryOverlay:
        """Make an overlay."""
        return MemoryOverlay(self)


class MemoryOverlay:
    """An overlay in memory."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self.uid = ""
        self.events = Events()

    async def run(self, login: Login) -> None:
        """See `Overlay.run`."""
        wanted = self.server.passwords.get(login.username, login.password)
        if wanted != login.password:
            self.events.put(SignedOut("The server does not accept this name and password.", True))
            return
        self.uid = login.uid
        self.events.put(SignedIn())
        for other in self.server.present.values():
            other.events.put(Heard(self.uid))
            self.events.put(Heard(other.uid))
        self.server.present[self.uid] = self
        try:
            while True:
                await asyncio.sleep(120)
                for other in self.server.present.values():
                    if other is not self:
                        other.events.put(Heard(self.uid))
        finally:
            del self.server.present[self.uid]
            for other in self.server.present.values():
                other.events.put(Gone(self.uid))

    def send(self, uid: str, kind: str, data: str) -> bool:
        """See `Overlay.send`."""
        other = self.server.present.get(uid)
        if other is None:
            return False
        if kind not in self.server.refuses:
            other.events.put(Said(self.uid, kind, data))
        return True

    async def event(self) -> OverlayEvent:
        """See `Overlay.event`."""
        return await self.events.get()
