"""The frames of the forward protocol on the wire; docs/forward.md, version 1.

A frame is nine bytes, ``u8 kind, u32 id, u32 value`` in network order, and for
the kinds in `PAYLOAD` as many bytes of payload as the value says. The shape is
that of yamux and of HTTP/2's streams: many connections share one byte stream,
and each has a credit of its own.

`FrameReader` checks the form of what comes; whether a frame may come now is
the business of `mux.py`. The payload of a DATA frame is handed on in the parts
in which it arrives, as views of what was read, so that nothing is copied to
put a frame together.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from tincan.errors import ProtocolError

PREFACE = b"tin-can forward 1\n"
"""What each side sends first. The number is the version of the protocol."""

HEADER = struct.Struct("!BII")

MAX_DATA = 64 * 1024
"""Bytes in one DATA frame: few enough that many connections take turns quickly, enough to be worth the header."""

MAX_TEXT = 512
"""Bytes of UTF-8 in a reason or an address."""

MAX_WHAT = 2048
"""Bytes that say what is to be opened: two addresses of 255 characters, or two paths, fit well."""

MAX_ID = 2**32 - 1
MAX_CREDIT = 2**31 - 1
"""The most credit that one connection can have, as in HTTP/2."""


class Kind(enum.IntEnum):
    """What a frame says about the connection of its id."""

    OPEN = 1
    """Open a connection; the payload says to what."""
    ACCEPTED = 2
    """It is open. The payload is text, for a listener the address it got."""
    REFUSED = 3
    """It is not opened; the payload says why."""
    DATA = 4
    WINDOW = 5
    """The sender of this frame can take ``value`` bytes more."""
    EOF = 6
    """The sender of this frame sends no more DATA. ``value`` is 0."""
    RESET = 7
    """The connection is broken, in both directions; the payload says why."""


PAYLOAD = {
    Kind.OPEN: MAX_WHAT,
    Kind.ACCEPTED: MAX_TEXT,
    Kind.REFUSED: MAX_TEXT,
    Kind.DATA: MAX_DATA,
    Kind.RESET: MAX_TEXT,
}
"""The kinds with a payload, and the most bytes in it."""

_KINDS = {int(kind): kind for kind in Kind}


class Frame(NamedTuple):
    """One frame, or for DATA a part of one."""

    kind: Kind
    id: int
    value: int
    payload: bytes | memoryview


def header(kind: Kind, id: int, value: int = 0) -> bytes:
    """Return the nine bytes that begin a frame."""
    return HEADER.pack(kind, id, value)


def encode(kind: Kind, id: int, payload: bytes) -> bytes:
    """Return a frame with a payload."""
    return HEADER.pack(kind, id, len(payload)) + payload


def encode_text(kind: Kind, id: int, text: str) -> bytes:
    """Return a frame whose payload is text, cut to what may be sent."""
    payload = text.encode("utf-8", "replace")[:MAX_TEXT]
    return encode(kind, id, payload.decode("utf-8", "ignore").encode())


def text_of(frame: Frame) -> str:
    """Return the text in a frame; raise `ProtocolError` when it is none."""
    try:
        return bytes(frame.payload).decode()
    except UnicodeDecodeError as exc:
        raise ProtocolError("The peer's forward sent a text that is not UTF-8.") from exc


class FrameReader:
    """Cuts the bytes of a stream into frames; holds at most one header or one small payload."""

    def __init__(self) -> None:
        self._part = bytearray()
        self._need = len(PREFACE)
        self._greeted = False
        self._kind: Kind | None = None
        self._id = 0
        self._data_left = 0

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """Yield the frames that ``data`` completes, and the part of DATA at its end.

        Payloads of DATA are views of ``data``. Raises `ProtocolError`; the
        reader is of no use after that.
        """
        view, place, end = memoryview(data), 0, len(data)
        while place < end:
            if self._data_left:
                payload = view[place : place + self._data_left]
                place += len(payload)
                self._data_left -= len(payload)
                yield Frame(Kind.DATA, self._id, len(payload), payload)
                continue
            piece = view[place : place + self._need - len(self._part)]
            place += len(piece)
            self._part += piece
            if len(self._part) == self._need and (frame := self._complete()) is not None:
                yield frame

    def _complete(self) -> Frame | None:
        """The preface, a header or a small payload is complete."""
        part = bytes(self._part)
        self._part.clear()
        self._need = HEADER.size
        if not self._greeted:
            if part != PREFACE:
                raise ProtocolError(
                    "The other can does not forward in a way that this one understands; do both run "
                    "'tin-can forward', and the same version of it?"
                )
            self._greeted = True
            return None
        if self._kind is not None:
            frame, self._kind = Frame(self._kind, self._id, len(part), part), None
            return frame
        number, self._id, value = HEADER.unpack(part)
        kind = _checked_kind(number, value)
        if kind not in PAYLOAD or (value == 0 and kind is not Kind.DATA):
            return Frame(kind, self._id, value, b"")
        if kind is Kind.DATA:
            self._data_left = value
        else:
            self._kind, self._need = kind, value
        return None


def _checked_kind(number: int, value: int) -> Kind:
    kind = _KINDS.get(number)
    if kind is None:
        raise ProtocolError(f"The peer's forward sent a frame of the unknown kind {number}.")
    if kind in PAYLOAD and value > PAYLOAD[kind]:
        raise ProtocolError(f"The peer's forward sent a frame {kind.name} that is too long ({value} bytes).")
    if kind is Kind.EOF and value:
        raise ProtocolError("The peer's forward sent a frame EOF with a value.")
    if kind in (Kind.WINDOW, Kind.DATA) and value == 0:
        raise ProtocolError(f"The peer's forward sent an empty frame {kind.name}.")
    return kind
