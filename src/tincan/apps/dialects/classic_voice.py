"""Voice as the classic tin-can speaks it: bare Opus packets on its data channel, 20 ms each, and nothing else.

There is no signalling of calls, no number and no time on a packet. So a call
begins when both have come to talk: the peer's part in `CallProtocol` is played
by `ClassicSound` here. For the playout a packet's place in time is made up from
when it came (`Numbering`); what is lost is not seen as lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tincan.apps.call.desk import CallDesk
from tincan.apps.call.events import CallEvent
from tincan.apps.call.frames import Accept, Invite, decode, encode
from tincan.link.interface import ChannelClosed, Link, LinkStatus
from tincan.tasks import plain_errors

if TYPE_CHECKING:
    from tincan.apps.foreign import TextChannel

MAX_QUEUED: Final = 8
"""Packets that wait for the channel; on a full one the oldest is worth nothing any more."""

RATE: Final = 48_000
FRAME: Final = RATE // 50
OPUS: Final = 111
SOURCE: Final = 1
"""The SSRC that the peer's packets are given."""

PAUSE: Final = 4 * FRAME
"""Samples by which a packet must be late to be taken for the first one after a pause."""


class Numbering:
    """Gives each packet of the peer a sequence number and a timestamp, going by when it came."""

    def __init__(self) -> None:
        self._sequence = 0
        self._timestamp: int | None = None
        self._began = 0.0

    def next(self, now: float) -> tuple[int, int]:
        """Return both for the packet that came now."""
        if self._timestamp is None:
            self._began, self._timestamp = now, 0
        else:
            self._timestamp += FRAME
            late = int((now - self._began) * RATE) - self._timestamp
            if late > PAUSE:
                self._timestamp += late - late % FRAME
        self._sequence = (self._sequence + 1) & 0xFFFF
        return self._sequence, self._timestamp & 0xFFFFFFFF


class _BareLink:
    """The part of a `Link` that a call uses: media, with RTP added to what comes and taken off what goes."""

    def __init__(self, link: Link) -> None:
        self.queue: asyncio.Queue[bytes] = asyncio.Queue(MAX_QUEUED)
        self._link = link
        self._hear: Callable[[bytes], None] | None = None
        self._numbering = Numbering()

    @property
    def status(self) -> LinkStatus:
        """See `Link.status`."""
        return self._link.status

    def media(self, hear: Callable[[bytes], None]) -> _BareLink:
        """See `Link.media`."""
        self._hear = hear
        return self

    def send(self, packet: bytes) -> None:
        """See `Media.send`. Reports are not for this peer."""
        from tincan.audio import rtp

        if 192 <= packet[1] <= 223:
            return
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(rtp.parse(packet).payload)

    def close(self) -> None:
        """See `Media.close`."""
        self._hear = None

    def take(self, payload: bytes, now: float) -> None:
        """Take a packet of the peer."""
        from tincan.audio import rtp

        if self._hear is not None and 0 < len(payload) <= rtp.MAX_PACKET - 12:
            sequence, timestamp = self._numbering.next(now)
            self._hear(rtp.pack(rtp.Packet(OPUS, sequence, timestamp, SOURCE, payload)))


MakeDesk = Callable[[Any, Callable[[bytes], None]], CallDesk]
"""`tincan.apps.conversation.MakeCalls`; the link it is given has media and a status, which is all a call needs."""


class ClassicSound:
    """The sound of one conversation with a classic tin-can; a call goes on from the beginning."""

    def __init__(self, link: Link, channel: TextChannel, make_calls: MakeDesk = CallDesk) -> None:
        self._channel = channel
        self._link = _BareLink(link)
        self.calls: CallDesk = make_calls(self._link, self._answer)
        self.calls.takes = True

    def take(self, packet: bytes) -> None:
        """Take a binary message of the peer."""
        self._link.take(packet, asyncio.get_running_loop().time())

    async def run(self, tell: Callable[[CallEvent], None]) -> None:
        """Talk until cancelled, or until the channel is closed."""
        with plain_errors():
            async with asyncio.TaskGroup() as group:
                group.create_task(self.calls.run())
                group.create_task(self._send())
                while True:
                    tell(await self.calls.next_event())

    def _answer(self, frame: bytes) -> None:
        """Be the peer, who wants every call."""
        match decode(frame):
            case Invite(number):
                accept = encode(Accept(number, SOURCE))
                asyncio.get_running_loop().call_soon(self.calls.receive, accept)
            case _:
                pass

    async def _send(self) -> None:
        while True:
            payload = await self._link.queue.get()
            try:
                await self._channel.send(payload)
            except ChannelClosed:
                await asyncio.Event().wait()
