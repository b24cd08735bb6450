"""Link, Channel and Stream: what the rest of tin-can knows of a connection.

A link is one authenticated, encrypted connection to one peer. Channels are
reliable, ordered message pipes inside it; a stream is a bulk byte stream that
belongs to it (`tincan.link.streams`); media are packets of sound. `tincan.link.memory` has pairs of links
and streams for tests, `tincan.link.webrtc` the real links.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tincan.errors import WorldError

CONTROL_LABEL = "tin-can:control"
"""The channel that every link has from the start (pre-negotiated, stream id 0)."""

MAX_CHANNEL_MESSAGE = 128 * 1024
"""Bytes in one channel message; larger ones are refused by `Channel.send`."""


class Path(enum.Enum):
    """The network route in use."""

    LAN = "lan"
    DIRECT_UDP = "direct-udp"
    DIRECT_TCP = "direct-tcp"
    RELAYED = "relayed"


class CloseReason(enum.Enum):
    """Why a link ended."""

    LOCAL = "local"
    """This side closed it."""
    PEER = "peer"
    """The peer closed it in good order."""
    LOST = "lost"
    """The peer went silent, or the path died."""
    BROKEN = "broken"
    """The peer sent something that the transport could not take."""


@dataclass(frozen=True)
class LinkStatus:
    """How a link is doing. ``rtt``: round-trip time in seconds, None before the first measure."""

    path: Path
    rtt: float | None


class ChannelClosed(WorldError):
    """The channel or its link has ended; there is no more to receive or to send to."""


class StreamBroken(WorldError):
    """A stream ended before the peer had said that it has nothing more to send."""

    exit_code = 8


class Channel(Protocol):
    """A reliable, ordered pipe of messages (bytes) inside a link."""

    @property
    def label(self) -> str:
        """What the channel is for."""

    async def send(self, message: bytes) -> None:
        """Send one message, waiting while too much is unsent (back-pressure).

        Raises `ChannelClosed` when the link has ended, `ValueError` when the
        message is longer than `MAX_CHANNEL_MESSAGE`.
        """

    async def receive(self) -> bytes:
        """Return the next message; raise `ChannelClosed` after the last one."""

    async def drain(self) -> None:
        """Wait until everything sent has left this process's buffers, or the link has ended."""

    async def close(self) -> None:
        """Close the channel for both sides. What was sent before still arrives. Idempotent."""


class Stream(Protocol):
    """A bulk byte stream to the peer: full duplex, and each direction ends by itself.

    One task at a time may read and one may write; they do not wait for each
    other. Nothing is buffered without bound: a peer that does not read makes
    `write` wait.
    """

    @property
    def path(self) -> Path:
        """The route in use; `Path.DIRECT_TCP` or `Path.LAN` may replace the link's own path while data flows."""

    async def read(self, limit: int) -> bytes | bytearray | memoryview:
        """Return 1 to ``limit`` bytes; none after the peer's `write_eof`, then and ever after.

        What was returned is valid until the next call; a call that is
        cancelled takes nothing. Raises `StreamBroken`
        when the stream ended otherwise: a read that returns nothing is proof
        that everything the peer wrote has come.
        """

    async def read_into(self, buffer: memoryview) -> int:
        """Read as `read` does, but to the front of ``buffer``, and return how much.

        Saves a copy where the buffer is large, half a MiB or more.
        """

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of ``data``, waiting while too much is unsent; ``data`` may be changed once this returns.

        Raises `StreamBroken` when the stream has ended.
        """

    async def write_eof(self) -> None:
        """Tell the peer that nothing more comes. Reading goes on. Idempotent."""

    async def close(self) -> None:
        """End both directions now. Idempotent. Before both sides wrote their end, the peer gets `StreamBroken`."""


class Media(Protocol):
    """The sound of a link: packets (RTP and RTCP) that arrive at once or never, encrypted like everything else."""

    def send(self, packet: bytes) -> None:
        """Send a packet, of at most 1,200 bytes. Never waits and never raises: what cannot be sent now is lost."""

    def close(self) -> None:
        """Hear nothing more. Idempotent."""


class Link(Protocol):
    """One connection to one peer.

    ``control`` is there from the start on both sides. `close` ends everything;
    `wait_closed` returns why, on both sides, within 5 s of a peer that died.
    """

    @property
    def control(self) -> Channel:
        """The channel both sides have from the start."""

    @property
    def status(self) -> LinkStatus:
        """The path in use and the round-trip time."""

    @property
    def binding(self) -> bytes:
        """32 bytes that both ends of this link have alike, and no other link has (RFC 5056): to be signed."""

    async def open_channel(self, label: str) -> Channel:
        """Open another channel; the peer gets it from `accept_channel`."""

    async def accept_channel(self) -> Channel:
        """Return the next channel the peer opened; raise `ChannelClosed` at the end."""

    def media(self, hear: Callable[[bytes], None]) -> Media:
        """Send media, and hear the peer's from now on: ``hear`` is called in the loop with each packet.

        What comes while nobody hears is thrown away unread. Only one hears at a time, the last who asked.
        """

    async def wait_closed(self) -> CloseReason:
        """Wait for the end and return its reason."""

    async def close(self) -> None:
        """End the link. Idempotent."""
