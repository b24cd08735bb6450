"""Conversations with pypeer: a room on a Firebase database, one offer and one answer, then bare text.

The host leaves an offer and waits, the joiner waits for an offer and answers;
once the channel is open both delete the room. Nothing is confirmed beyond
that a token decrypts, so `WEAK_KEYS` is to be shown to the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from tincan.apps.conversation import Conversation
from tincan.apps.dialects.pypeer_wire import (
    LABEL,
    WEAK_KEYS,
    PypeerCodec,
    Room,
    decode_token,
    encode_token,
    generate_room,
    make_value,
    parse_room,
    token_of,
)
from tincan.apps.foreign import ForeignConversation, TextChannel
from tincan.errors import NobodyCame, NoPath, NoPlaceReachable, PlaceUnreachable
from tincan.link.dial import Connected, Tell
from tincan.link.foreign import ForeignDial, foreign_link
from tincan.link.interface import Link
from tincan.link.sdp import read
from tincan.meet.events import MeetEvent, PeerFound, PlaceReady, PlaceTrouble, Waiting
from tincan.meet.phrase import Phrase
from tincan.meet.places.firebase import FirebaseRoom
from tincan.nat.servers import IceServer
from tincan.tasks import plain_errors, settle

if TYPE_CHECKING:
    from tincan.link.webrtc import WebRtcLink

__all__ = ["WEAK_KEYS", "Room", "generate_room", "parse_room", "pypeer_conversation"]

NO_PLACE_GRACE: Final = 15.0
"""Seconds that the database may be unreachable from the start before the meeting is given up."""

CHANNEL_TIMEOUT: Final = 10.0
"""Seconds from the connected link to the open channel: a round trip."""

LEAVE_LIMIT: Final = 1.0
"""Seconds that deleting the room may take when we leave it."""


def pypeer_conversation(
    *,
    host: bool,
    room: str,
    password: str,
    url: str,
    servers: tuple[IceServer, ...],
    timeout: float,
    relay_only: bool = False,
) -> Conversation:
    """Return the conversation of the one who hosts a room, or of the one who joins it.

    ``room`` is a name as `parse_room` and `generate_room` give it, ``url`` the
    database's; ``timeout`` is in seconds, for the other side to come. Raises
    `UsageError` for a room or a URL that cannot be one.
    """
    dial = _Dial(Room(room, password), url, timeout)
    return ForeignConversation(lambda tell: dial.open(tell, host, servers, relay_only), PypeerCodec())


class _Dial:
    """The way from a room to an open channel, for one use."""

    def __init__(self, room: Room, url: str, timeout: float) -> None:
        self._room = room
        self._place = FirebaseRoom(url, room.name, self._hear)
        self._timeout = timeout
        self._tell: Tell = lambda event: None
        self._deadline = asyncio.timeout(None)
        self._latest = 0.0
        self._reached = False
        self._offered = False
        self._trouble = f"The database {self._place.name} does not answer."

    @contextlib.asynccontextmanager
    async def open(
        self, tell: Tell, host: bool, servers: tuple[IceServer, ...], relay_only: bool
    ) -> AsyncIterator[tuple[Link, TextChannel]]:
        """Yield the link and its channel; both are closed at the end, and the room is deleted."""
        self._tell = tell
        self._tell(Waiting(self._room.name, Phrase(self._room.text)))
        async with self._place, foreign_link(offers=host, servers=servers, relay_only=relay_only) as ours:
            leaving = None
            try:
                theirs = await self._meet(host, ours)
                self._tell(PeerFound(self._place.name))
                link = await ours.connect(read(theirs))
                channel = await _open_channel(link, host)
                # Not waited for: the first message shall not be later for it.
                leaving = asyncio.create_task(self._place.delete(), name="deleting the room")
                self._tell(Connected(link.status.path.value, self._place.name))
                yield link, channel
            finally:
                if leaving is None and self._offered:
                    leaving = asyncio.create_task(self._place.delete(), name="deleting the room")
                if leaving is not None:
                    await asyncio.wait([leaving], timeout=LEAVE_LIMIT)
                    await settle(leaving)

    async def _meet(self, host: bool, ours: ForeignDial) -> str:
        """Return the session description of the other side, which has ours then."""
        started = asyncio.get_running_loop().time()
        self._latest = started + self._timeout
        try:
            async with asyncio.timeout_at(min(self._latest, started + NO_PLACE_GRACE)) as self._deadline:
                if host:
                    offer = await ours.describe()
                    await self._place.put("answer", None)  # one that an earlier meeting left would be taken for ours
                    self._offered = True
                    await self._leave("offer", offer)
                    return await self._find("answer")
                with plain_errors():
                    async with asyncio.TaskGroup() as group:
                        describing = group.create_task(ours.describe())
                        finding = group.create_task(self._find("offer"))
                await self._leave("answer", describing.result())
                return finding.result()
        except TimeoutError:
            raise self._nobody(host) from None
        except PlaceUnreachable as exc:
            raise NoPlaceReachable(str(exc)) from exc

    async def _leave(self, kind: str, sdp: str) -> None:
        token = encode_token(self._room, sdp, kind)
        await self._place.put(kind, make_value(token, time.time_ns() // 1_000_000))

    async def _find(self, kind: str) -> str:
        async with contextlib.aclosing(self._place.stream(kind)) as values:
            async for value in values:
                token = token_of(value.json)
                if token is not None:
                    return decode_token(self._room, token, kind)
        raise NoPlaceReachable(self._trouble)  # a stream has no end

    def _hear(self, event: MeetEvent) -> None:
        if isinstance(event, PlaceReady):
            if self._reached:
                return
            self._reached = True
            if not self._deadline.expired():
                self._deadline.reschedule(self._latest)
        elif isinstance(event, PlaceTrouble):
            self._trouble = event.text.replace("; trying again", "")
        self._tell(event)

    def _nobody(self, host: bool) -> NobodyCame | NoPlaceReachable:
        if not self._reached:
            return NoPlaceReachable(self._trouble)
        waited = f"in {self._timeout:.0f} seconds"
        if host:
            return NobodyCame(f"Nobody came into the room {self._room.name} {waited}.")
        return NobodyCame(f"Nobody opened the room {self._room.name} {waited}. Ask the other one for the room again.")


async def _open_channel(link: WebRtcLink, host: bool) -> TextChannel:
    try:
        async with asyncio.timeout(CHANNEL_TIMEOUT):
            if host:
                return await link.open_channel(LABEL)
            while (channel := await link.accept_channel()).label != LABEL:
                pass
            return channel
    except TimeoutError:
        raise NoPath("The other side is connected, but opened no channel for text. Is it pypeer?") from None
