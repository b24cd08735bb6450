"""Conversations in the dialects of clients that others wrote.

A dialect is two things: how the link comes about (`Dial`), and what is said
on its channel (`Codec`, pure). `ForeignConversation` makes a
`tincan.apps.conversation.Conversation` of them. Here our own security does
not apply: nothing is acknowledged, and who the peer is, is what that dialect
makes of it. The user asked for it with an option, and is told.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol, Self

from tincan.apps.call.events import CallEvent, SoundTrouble
from tincan.apps.chat import ChatEvent, Closed, PeerLeft
from tincan.apps.conversation import ConversationEvent
from tincan.errors import NoPath, TinCanError
from tincan.link.dial import LinkEvent, Tell
from tincan.link.interface import ChannelClosed, CloseReason, Link, LinkStatus
from tincan.tasks import settle

if TYPE_CHECKING:
    from tincan.apps.call.desk import CallDesk

MAX_EVENTS: Final = 256


class TextChannel(Protocol):
    """A channel that carries text and bytes messages, as WebRTC's data channels do."""

    async def send(self, message: bytes | str) -> None:
        """Send one message. Raises `ChannelClosed`."""

    async def receive_message(self) -> bytes | str:
        """Return the next message as it was sent. Raises `ChannelClosed`."""

    async def drain(self) -> None:
        """Wait until all is acknowledged."""


Dial = Callable[[Tell], AbstractAsyncContextManager[tuple[Link, TextChannel]]]
"""Makes the link and its open channel, telling events meanwhile; closes both at its end."""


class Codec(Protocol):
    """What is said on the channel of a dialect. Pure; ``now`` is in seconds of any steady clock."""

    def start(self, now: float) -> list[bytes | str]:
        """Return what to send when the channel has opened."""

    def say(self, text: str, action: bool) -> list[bytes | str]:
        """Return what to send for a text of the user; `UsageError` when it cannot be said."""

    def receive(self, message: bytes | str, now: float) -> list[ChatEvent]:
        """Return what a message of the peer means; nothing for what is not for people.

        Raises `ProtocolError` for what the dialect does not allow.
        """

    def idle(self, now: float) -> list[bytes | str]:
        """Return what to send by now (keep-alives)."""

    def next_deadline(self) -> float | None:
        """Return when `idle` wants to be called, if ever."""


class Sound(Protocol):
    """The sound of a dialect that carries any: `tincan.apps.dialects.classic_voice.ClassicSound`."""

    @property
    def calls(self) -> CallDesk:
        """What the user can do about it."""

    def take(self, packet: bytes) -> None:
        """Take a binary message of the peer."""

    async def run(self, tell: Callable[[CallEvent], None]) -> None:
        """Talk until cancelled."""


MakeSound = Callable[[Link, TextChannel], Sound]


class ForeignConversation:
    """A `Conversation` in another dialect. ``sound``: it is one for talking, and the call begins at once."""

    def __init__(self, dial: Dial, codec: Codec, sound: MakeSound | None = None) -> None:
        self._make_sound = sound
        self._sound: Sound | None = None
        self._dial = dial
        self._codec = codec
        self._queue: asyncio.Queue[ConversationEvent | Exception] = asyncio.Queue(MAX_EVENTS)
        self._link: Link | None = None
        self._channel: TextChannel | None = None
        self._ready = asyncio.Event()
        self._said = 0
        self._left = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """See `Conversation.__aenter__`."""
        self._task = asyncio.create_task(self._run(), name="conversation")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Conversation.__aexit__`."""
        if self._task is not None and not self._task.done():
            await settle(self._task)

    async def events(self) -> AsyncIterator[ConversationEvent]:
        """See `Conversation.events`."""
        while True:
            event = await self._queue.get()
            if isinstance(event, Exception):
                raise event
            yield event
            if isinstance(event, Closed):
                return

    @property
    def status(self) -> LinkStatus | None:
        """See `Conversation.status`."""
        return self._link.status if self._link is not None else None

    async def send(self, text: str, action: bool = False) -> int:
        """See `Conversation.send`. The dialect acknowledges nothing, so no `Delivered` will follow."""
        await self._ready.wait()
        if self._channel is None:
            raise ChannelClosed("The conversation is over.")
        for message in self._codec.say(text, action):
            await self._channel.send(message)
        self._said += 1
        return self._said

    async def typing(self, active: bool) -> None:
        """See `Conversation.typing`: no dialect says that."""

    @property
    def files(self) -> None:
        """See `Conversation.files`: no dialect has any."""

    @property
    def calls(self) -> CallDesk | None:
        """See `Conversation.calls`."""
        return self._sound.calls if self._sound is not None else None

    async def goodbye(self, deadline: float) -> None:
        """See `Conversation.goodbye`."""
        self._left = True
        if self._sound is not None:
            self._sound.calls.leave()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._ready.wait()
                if self._channel is not None:
                    await self._channel.drain()
        if self._link is not None:
            await self._link.close()

    async def _run(self) -> None:
        try:
            async with self._dial(self._tell) as (link, channel):
                self._link, self._channel = link, channel
                await self._listen(link, channel)
        except Exception as exc:  # whoever waits for events hears of the end, whatever it was
            await self._queue.put(exc)
        finally:
            self._channel = None
            self._ready.set()

    async def _listen(self, link: Link, channel: TextChannel) -> None:
        beside = [asyncio.create_task(self._keep_alive(channel))]
        try:
            for message in self._codec.start(_now()):
                await channel.send(message)
            self._ready.set()
            if self._make_sound is not None:
                self._sound = self._make_sound(link, channel)
                beside.append(asyncio.create_task(self._sound.run(self._tell)))
                self._call()
            while True:
                message = await channel.receive_message()
                if self._sound is not None and isinstance(message, bytes):
                    self._sound.take(message)
                for event in self._codec.receive(message, _now()):
                    await self._queue.put(event)
        except ChannelClosed:
            if self._sound is not None:
                await self._sound.calls.lose()
        finally:
            await settle(*beside)
            for last in self._sound.calls.rest() if self._sound is not None else ():
                self._tell(last)
        # A channel may end before its link does: with it the conversation is over.
        await link.close()
        reason = CloseReason.LOCAL if self._left else await link.wait_closed()
        if reason is CloseReason.LOCAL and not self._left:
            reason = CloseReason.PEER
        lost = reason in (CloseReason.LOST, CloseReason.BROKEN)
        if reason is CloseReason.PEER:
            await self._queue.put(PeerLeft())
        error = NoPath("The other side went silent; the string is cut.") if lost else None
        await self._queue.put(Closed(reason, 0, error))

    def _call(self) -> None:
        if self._sound is not None:
            try:
                self._sound.calls.call()
            except TinCanError as exc:
                self._tell(SoundTrouble(str(exc)))

    async def _keep_alive(self, channel: TextChannel) -> None:
        await self._ready.wait()
        while (deadline := self._codec.next_deadline()) is not None:
            await asyncio.sleep(max(0.0, deadline - _now()))
            for message in self._codec.idle(_now()):
                await channel.send(message)

    def _tell(self, event: LinkEvent | CallEvent) -> None:
        if self._queue.qsize() < MAX_EVENTS - 2:
            self._queue.put_nowait(event)


def _now() -> float:
    return asyncio.get_running_loop().time()
