"""Two links, and two ends of a stream, connected within one process: what every app is tested over.

`MemoryLink.pair` returns both ends. They keep the whole contract of
`tincan.link.interface`: bounded queues make a fast sender wait for a slow
receiver, what was sent before a close still arrives, and each end learns why
the link ended. A test can also let an end die (`vanish`) or change and drop
messages on their way (`alter`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from tincan.link.interface import (
    CONTROL_LABEL,
    MAX_CHANNEL_MESSAGE,
    ChannelClosed,
    CloseReason,
    LinkStatus,
    Path,
    StreamBroken,
)
from tincan.link.memory_media import MemoryMedia, Weather

Alter = Callable[[str, bytes], bytes | None]
"""Given a channel's label and a message: the message to deliver instead, or None to drop it."""

_NEARBY = LinkStatus(Path.LAN, 0.0)

_T = TypeVar("_T")


class _Pipe(Generic[_T]):
    """A bounded queue that can be closed: what is in it can still be taken then."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[_T] = deque()
        self._capacity = capacity
        self._closed = False
        self._turn = asyncio.Lock()  # waiting senders go in the order they came
        self._room = asyncio.Event()
        self._filled = asyncio.Event()

    async def put(self, item: _T) -> None:
        async with self._turn:
            while not self._closed and len(self._items) >= self._capacity:
                self._room.clear()
                await self._room.wait()
            if self._closed:
                raise ChannelClosed("The connection has ended.")
            self._items.append(item)
            self._filled.set()

    async def get(self) -> _T:
        while not self._items:
            if self._closed:
                raise ChannelClosed("The connection has ended.")
            self._filled.clear()
            await self._filled.wait()
        self._room.set()
        return self._items.popleft()

    def close(self) -> None:
        self._closed = True
        self._room.set()
        self._filled.set()


class MemoryChannel:
    """One end of a channel of a `MemoryLink`; see `tincan.link.interface.Channel`."""

    def __init__(self, label: str, link: MemoryLink, inbox: _Pipe[bytes], outbox: _Pipe[bytes]) -> None:
        self._label = label
        self._link = link
        self._inbox = inbox
        self._outbox = outbox

    @property
    def label(self) -> str:
        """What the channel is for."""
        return self._label

    async def send(self, message: bytes) -> None:
        """See `Channel.send`. Waits while the peer has not taken as many as its queue holds."""
        if len(message) > MAX_CHANNEL_MESSAGE:
            raise ValueError(f"a channel message is at most {MAX_CHANNEL_MESSAGE} bytes")
        alter = self._link.alter
        delivered = message if alter is None else alter(self._label, message)
        if delivered is not None:
            await self._outbox.put(delivered)

    async def receive(self) -> bytes:
        """See `Channel.receive`."""
        return await self._inbox.get()

    async def drain(self) -> None:
        """See `Channel.drain`. Nothing to wait for: `send` puts straight into the peer's queue."""

    async def close(self) -> None:
        """See `Channel.close`."""
        self.end()

    def end(self) -> None:
        """Close both directions at once, as the end of the link does."""
        self._inbox.close()
        self._outbox.close()


class MemoryLink:
    """One end of a link within this process; see `tincan.link.interface.Link`.

    ``status`` may be replaced by a test. ``alter``, when set, sees every
    message that this end sends, and decides what the peer receives.
    """

    def __init__(self, status: LinkStatus, capacity: int) -> None:
        self.status = status
        self.alter: Alter | None = None
        self._capacity = capacity
        self._peer: MemoryLink | None = None
        self._control: MemoryChannel | None = None
        self._channels: list[MemoryChannel] = []
        self._arriving: _Pipe[MemoryChannel] = _Pipe(capacity)
        self._reason: CloseReason | None = None
        self._ended = asyncio.Event()
        self.binding = b""
        self.weather = Weather()
        self._media: MemoryMedia | None = None

    @classmethod
    def pair(
        cls,
        *,
        capacity: int = 16,
        status: LinkStatus = _NEARBY,
        alter: Alter | None = None,
    ) -> tuple[MemoryLink, MemoryLink]:
        """Return two connected links.

        ``capacity``: messages that a channel holds in each direction before
        `send` waits, and channels that may wait for `accept_channel`.
        ``alter``: set on both ends; each end's attribute can be changed later.
        """
        if capacity < 1:
            raise ValueError("a link must hold at least one message")
        a, b = cls(status, capacity), cls(status, capacity)
        a._peer, b._peer = b, a
        a.binding = b.binding = secrets.token_bytes(32)
        a.alter = b.alter = alter
        a._control, b._control = a._make_channel(CONTROL_LABEL)
        return a, b

    @property
    def control(self) -> MemoryChannel:
        """The channel both ends have from the start."""
        if self._control is None:
            raise RuntimeError("a MemoryLink comes from MemoryLink.pair()")
        return self._control

    async def open_channel(self, label: str) -> MemoryChannel:
        """See `Link.open_channel`. Waits while too many channels are not accepted yet."""
        if self._reason is not None or self._peer is None:
            raise ChannelClosed("The connection has ended.")
        ours, theirs = self._make_channel(label)
        await self._peer._arriving.put(theirs)
        return ours

    async def accept_channel(self) -> MemoryChannel:
        """See `Link.accept_channel`."""
        return await self._arriving.get()

    def media(self, hear: Callable[[bytes], None]) -> MemoryMedia:
        """See `Link.media`. What happens to packets on their way is up to ``weather``."""
        self._media = MemoryMedia(hear, self._media_there, self.weather)
        return self._media

    async def wait_closed(self) -> CloseReason:
        """See `Link.wait_closed`."""
        await self._ended.wait()
        return self._reason or CloseReason.LOCAL

    async def close(self) -> None:
        """See `Link.close`."""
        self._end_both(CloseReason.PEER)

    def vanish(self, seen: CloseReason = CloseReason.LOST) -> None:
        """Let this end die without a word: the peer's link ends with ``LOST``, or what it is to see.

        What this end sent before can still be received there. No time passes
        before the peer notices, so that tests need not wait.
        """
        self._end_both(seen)

    def _media_there(self) -> MemoryMedia | None:
        return self._peer._media if self._reason is None and self._peer is not None else None

    def _make_channel(self, label: str) -> tuple[MemoryChannel, MemoryChannel]:
        if self._peer is None:
            raise RuntimeError("a MemoryLink comes from MemoryLink.pair()")
        there: _Pipe[bytes] = _Pipe(self._capacity)
        back: _Pipe[bytes] = _Pipe(self._capacity)
        ours = MemoryChannel(label, self, inbox=back, outbox=there)
        theirs = MemoryChannel(label, self._peer, inbox=there, outbox=back)
        self._channels.append(ours)
        self._peer._channels.append(theirs)
        return ours, theirs

    def _end_both(self, seen_by_peer: CloseReason) -> None:
        self._end(CloseReason.LOCAL)
        if self._peer is not None:
            self._peer._end(seen_by_peer)

    def _end(self, reason: CloseReason) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        for channel in self._channels:
            channel.end()
        self._channels.clear()
        self._arriving.close()
        self._ended.set()


class MemoryStream:
    """One end of a stream within this process; see `tincan.link.interface.Stream`.

    ``pair`` returns both ends. A test may cut it (`vanish`), or let it break
    by itself once ``break_after`` more bytes were written at this end.
    """

    def __init__(self, capacity: int) -> None:
        self.path = Path.LAN
        self.break_after: int | None = None
        self._capacity = capacity
        self._arrived = bytearray()
        self._eof_came = False
        self._eof_sent = False
        self._broken = False
        self._changed = asyncio.Event()
        self._peer: MemoryStream | None = None

    @classmethod
    def pair(cls, *, capacity: int = 256 * 1024) -> tuple[MemoryStream, MemoryStream]:
        """Return two connected ends; ``capacity``: bytes that wait in each direction before `write` does."""
        a, b = cls(capacity), cls(capacity)
        a._peer, b._peer = b, a
        return a, b

    async def read(self, limit: int) -> bytes:
        """See `Stream.read`."""
        while not self._arrived and not self._eof_came and not self._broken:
            await self._wait()
        if not self._arrived:
            if self._eof_came:
                return b""
            raise StreamBroken("The stream to the peer broke.")
        data = bytes(self._arrived[:limit])
        del self._arrived[:limit]
        self._ring()
        return data

    async def read_into(self, buffer: memoryview) -> int:
        """See `Stream.read_into`."""
        data = await self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `Stream.write`."""
        peer = self._peer_end()
        rest = memoryview(bytes(data))
        while rest:
            while not self._broken and len(peer._arrived) >= self._capacity:
                await self._wait()
            if self._broken or self._eof_sent:
                raise StreamBroken("The stream to the peer has ended.")
            count = min(len(rest), self._capacity - len(peer._arrived))
            if self.break_after is not None:
                count = min(count, self.break_after)
                self.break_after -= count
            peer._arrived += rest[:count]
            rest = rest[count:]
            self._ring()
            if self.break_after == 0:
                self.vanish()
        await asyncio.sleep(0)

    async def write_eof(self) -> None:
        """See `Stream.write_eof`."""
        if self._broken and not self._eof_sent:
            raise StreamBroken("The stream to the peer has ended.")
        self._eof_sent = True
        self._peer_end()._eof_came = True
        self._ring()

    async def close(self) -> None:
        """See `Stream.close`."""
        self.vanish()

    def vanish(self) -> None:
        """Break both directions; what was written before can still be read."""
        self._broken = self._peer_end()._broken = True
        self._ring()

    def _peer_end(self) -> MemoryStream:
        if self._peer is None:
            raise RuntimeError("a MemoryStream comes from MemoryStream.pair()")
        return self._peer

    def _ring(self) -> None:
        self._changed.set()
        self._peer_end()._changed.set()

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()
