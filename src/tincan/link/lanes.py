"""The two lanes of a stream, without any input or output; docs/streams.md is the wire format.

A stream begins on a channel of its link, where it may send at once. Meanwhile
both ends punch a TCP path (`tincan.link.punch`), and tell each other over the
same channel what that needs. Once the path is there, each direction moves
over by itself: `switch` is its last word on the channel, and every byte after
that comes by TCP, where TLS says the end.

How to drive `Lanes`: give every message of the channel to `receive`; send what
`data`, `switch`, `eof` and `consumed` return, in order. Nothing here grows
without bound: a direction on the channel has at most `WINDOW` bytes that the
other end has not read.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from tincan.errors import ProtocolError

logger = logging.getLogger(__name__)

WINDOW: Final = 512 * 1024
"""Bytes on the channel that may wait for the reader: a tenth of a second of what aiortc's SCTP moves."""

PIECE: Final = 32 * 1024
"""Bytes of data in one message."""

MAX_ADDRESSES: Final = 16
"""Candidates of one peer in all."""

MAX_CERTIFICATE: Final = 2048


class Lane(enum.Enum):
    """How one direction of a stream goes."""

    CHANNEL = "channel"
    TCP = "tcp"
    ENDED = "ended"
    """It ended on the channel; the end of a direction on TCP is TLS's business."""


_MOVES: Final = {
    Lane.CHANNEL: {Lane.TCP, Lane.ENDED},
    Lane.TCP: set(),
    Lane.ENDED: set(),
}

_Address = tuple[Annotated[str, msgspec.Meta(max_length=64)], Annotated[int, msgspec.Meta(ge=1, le=65535)]]
_Addresses = Annotated[list[_Address], msgspec.Meta(max_length=MAX_ADDRESSES)]


class Offer(msgspec.Struct, frozen=True, tag="offer", tag_field="kind"):
    """What the other end needs to punch: ``nonce`` for the proof, the certificate to pin, where to try."""

    nonce: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
    certificate: Annotated[bytes, msgspec.Meta(min_length=64, max_length=MAX_CERTIFICATE)]
    addresses: _Addresses


class More(msgspec.Struct, frozen=True, tag="more", tag_field="kind"):
    """Addresses that were found later."""

    addresses: _Addresses


class NoOffer(msgspec.Struct, frozen=True, tag="none", tag_field="kind"):
    """The other end looks for no TCP path: the stream stays on the channel."""


@dataclass(frozen=True)
class Data:
    """Bytes that came."""

    data: bytes


@dataclass(frozen=True)
class Moved:
    """The incoming direction goes on by TCP, or has ended; see `Lanes.incoming`."""


LaneEvent = Data | Moved | Offer | More | NoOffer

_DATA, _CREDIT, _SWITCH, _EOF, _PUNCH = range(5)
_punch = msgspec.msgpack.Decoder(Offer | More | NoOffer)
_encoder = msgspec.msgpack.Encoder()


class Lanes:
    """One end of a stream."""

    def __init__(self) -> None:
        self.incoming = Lane.CHANNEL
        self.outgoing = Lane.CHANNEL
        self.room = WINDOW
        """How many bytes `data` may take now."""
        self._unread = 0
        self._read = 0  # and not told the peer yet

    def receive(self, message: bytes) -> LaneEvent | None:
        """Take a message; raise `ProtocolError`. Kinds of a later version are ignored."""
        kind, body = message[:1], message[1:]
        if kind == bytes([_DATA]):
            return self._data(body)
        if kind == bytes([_CREDIT]):
            self._credit(body)
        elif kind in (bytes([_SWITCH]), bytes([_EOF])):
            self._still_open()
            self._set_incoming(Lane.TCP if kind == bytes([_SWITCH]) else Lane.ENDED)
            return Moved()
        elif kind == bytes([_PUNCH]):
            try:
                offer: Offer | More | NoOffer = _punch.decode(body)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                raise ProtocolError("The peer sent a stream offer that cannot be read.") from None
            return offer
        return None

    def consumed(self, count: int) -> bytes | None:
        """Take note that the application has read; return what is to be told the peer, if anything now."""
        self._unread -= count
        self._read += count
        if self._read < WINDOW // 4 or self.incoming is not Lane.CHANNEL:
            return None
        credit, self._read = self._read, 0
        return bytes([_CREDIT]) + credit.to_bytes(4, "big")

    def data(self, data: bytes | memoryview) -> bytes:
        """Return the message that carries ``data``, at most `room` bytes of it."""
        if self.outgoing is not Lane.CHANNEL or len(data) > self.room:
            raise ValueError("no room on the channel")
        self.room -= len(data)
        return b"".join((bytes([_DATA]), data))

    def switch(self) -> bytes:
        """Move the outgoing direction to TCP."""
        self._set_outgoing(Lane.TCP)
        return bytes([_SWITCH])

    def eof(self) -> bytes:
        """End the outgoing direction on the channel."""
        self._set_outgoing(Lane.ENDED)
        return bytes([_EOF])

    def _data(self, data: bytes) -> Data:
        self._still_open()
        self._unread += len(data)
        if self._unread > WINDOW or not 0 < len(data) <= PIECE:
            raise ProtocolError("The peer sent more than it may, or nothing.")
        return Data(data)

    def _credit(self, body: bytes) -> None:
        credit = int.from_bytes(body, "big")
        if len(body) != 4 or not 0 < credit <= WINDOW - self.room:
            raise ProtocolError("The peer has read what was never sent.")
        self.room += credit

    def _still_open(self) -> None:
        if self.incoming is not Lane.CHANNEL:
            raise ProtocolError("The peer sent something after the end of a stream.")

    def _set_incoming(self, lane: Lane) -> None:
        self.incoming = _moved("in", self.incoming, lane)

    def _set_outgoing(self, lane: Lane) -> None:
        self.outgoing = _moved("out", self.outgoing, lane)


def punching(message: Offer | More | NoOffer) -> bytes:
    """Return the channel message of an offer, of more addresses, or of none."""
    return bytes([_PUNCH]) + _encoder.encode(message)


def _moved(direction: str, old: Lane, new: Lane) -> Lane:
    if new not in _MOVES[old]:
        raise ValueError(f"{old.value} -> {new.value}")
    logger.debug("stream %s: %s -> %s", direction, old.value, new.value)
    return new
