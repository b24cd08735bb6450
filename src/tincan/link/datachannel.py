"""A data channel of WebRTC (RFC 8831) as a `tincan.link.interface.Channel`: waits, bounds and ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from tincan.link.interface import MAX_CHANNEL_MESSAGE, ChannelClosed

if TYPE_CHECKING:
    from tincan.link.transports import DataChannel

SEND_BUFFER: Final = 256 * 1024
"""Bytes a channel takes before `send` waits."""

MESSAGE_COST: Final = 64
"""Bytes that an unread message counts besides its own: empty ones take room too."""


class Carrier(Protocol):
    """What a channel asks of its link: `tincan.link.webrtc.WebRtcLink`."""

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more."""

    async def drain(self) -> None:
        """Wait until the peer has acknowledged everything sent, or the link has ended."""

    def took(self, count: int) -> None:
        """Count bytes that wait to be read."""

    async def made_room(self, count: int) -> None:
        """Count bytes that somebody took, or never will, and take what waited for room."""


class WebRtcChannel:
    """A data channel as a `tincan.link.interface.Channel`."""

    def __init__(self, link: Carrier, channel: DataChannel) -> None:
        self._link = link
        self._channel = channel
        self._inbox: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._unread = 0
        self._left = False
        self._ended = False
        self._lower = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once the channel is open, or never will be."""
        channel.bufferedAmountLowThreshold = SEND_BUFFER // 2
        channel.on("message", self._take)
        channel.on("bufferedamountlow", self._lower.set)
        channel.on("open", self.settled.set)
        channel.on("close", self.end)

    @property
    def label(self) -> str:
        """See `Channel.label`."""
        return self._channel.label

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._channel.readyState == "open" and not self._link.ended

    async def send(self, message: bytes | str) -> None:
        """See `Channel.send`. A text goes as a text message, which only other clients tell apart."""
        if len(message if isinstance(message, bytes) else message.encode()) > MAX_CHANNEL_MESSAGE:
            raise ValueError("message too long for a channel")
        while self.is_open and self._channel.bufferedAmount > SEND_BUFFER:
            self._lower.clear()
            await self._lower.wait()
        if not self.is_open:
            raise ChannelClosed("The link has ended.")
        self._channel.send(message)

    async def receive(self) -> bytes:
        """See `Channel.receive`."""
        message = await self.receive_message()
        return message.encode() if isinstance(message, str) else message

    async def receive_message(self) -> bytes | str:
        """Return the next message as it was sent, as text or as bytes; `ChannelClosed` after the last one."""
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise ChannelClosed("The link has ended.")
        if not self._left:
            cost = _cost(message)
            self._unread -= cost
            await self._link.made_room(cost)
        return message

    async def drain(self) -> None:
        """See `Channel.drain`."""
        await self._link.drain()

    async def close(self) -> None:
        """See `Channel.close`."""
        if not self._left:
            # Nobody may read what is here: it must not hold up the other channels.
            self._left = True
            await self._link.made_room(self._unread)
        try:
            if self.is_open:
                await self._link.drain()
        finally:
            self._channel.close()

    def end(self) -> None:
        """Tell everybody who waits that no more will come. Idempotent."""
        if not self._ended:
            self._ended = True
            self._inbox.put_nowait(None)
            self._lower.set()
            self.settled.set()

    def _take(self, message: bytes | str) -> None:
        if not self._left:
            cost = _cost(message)
            self._unread += cost
            self._link.took(cost)
            self._inbox.put_nowait(message)


def _cost(message: bytes | str) -> int:
    return len(message if isinstance(message, bytes) else message.encode()) + MESSAGE_COST
