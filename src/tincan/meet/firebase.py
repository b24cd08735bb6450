"""Rooms on a Firebase Realtime Database, as pypeer uses them: names, sizes and events. Pure.

A room is ``rooms/ROOM`` with two values in it, ``offer`` and ``answer``. It is
written by PUT and DELETE and watched by a stream of server-sent events (WHATWG
HTML section 9.2). Both ends of that are ours: `tincan.meet.places.firebase`
asks, `tincan.switchboard.dialects.firebase` answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import msgspec

from tincan.errors import PlaceUnreachable, ProtocolError

KEYS: Final = ("offer", "answer")

MAX_VALUE: Final = 64 * 1024
"""Bytes of one value as JSON; a session description with 40 candidates comes to about 3,000."""

MAX_EVENT: Final = 2 * MAX_VALUE
"""Bytes of one event of a stream: what a database says around a value is small."""

KEEP_ALIVE: Final = b"event: keep-alive\ndata: null\n\n"

_ROOM = re.compile(r"[A-Z0-9]{6}")
_LINE_END = re.compile(rb"\r\n|\n|\r")


def is_room_name(text: str) -> bool:
    """Whether this is what rooms are called: six capitals and digits."""
    return _ROOM.fullmatch(text) is not None


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    name: str
    data: str


class EventStream:
    """Cuts a stream of bytes into events."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._after_cr = False
        self._first = True
        self._name = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[Event]:
        """Take what came next; return the events that are complete now.

        Raises `ProtocolError` for an event that is far too long.
        """
        if self._after_cr and data.startswith(b"\n"):  # the end of the line was cut in two
            data = data[1:]
            self._after_cr = False
        if not data:
            return []
        self._after_cr = data.endswith(b"\r")
        found = []
        for index, part in enumerate(_LINE_END.split(data)):
            if index:
                found += self._end_of_line()
            self._line += part
            self._size += len(part)
            if self._size > MAX_EVENT:
                raise ProtocolError("The database sends events that are far too long.")
        return found

    def _end_of_line(self) -> list[Event]:
        line = self._line.decode(errors="replace")
        self._line.clear()
        if self._first:
            self._first = False
            line = line.removeprefix("\ufeff")
        if line:
            self._take(line)
            return []
        found = [Event(self._name or "message", "\n".join(self._data))] if self._data else []
        self._name, self._size = "", 0
        self._data.clear()
        return found

    def _take(self, line: str) -> None:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
        else:  # a comment, or a field that these streams do not use: nothing is kept of it
            self._size -= len(line.encode())


class _Put(msgspec.Struct, frozen=True):
    path: str
    data: msgspec.Raw


@dataclass(frozen=True)
class Value:
    """What stands under a watched key now, as JSON."""

    json: bytes


_put_decoder = msgspec.json.Decoder(_Put)


def read_event(event: Event) -> Value | None:
    """Return the new value that an event tells of, or None when it tells of none.

    Raises `ProtocolError` for what no database says, `PlaceUnreachable` when
    the database lets us watch no more.
    """
    if event.name in ("cancel", "auth_revoked"):
        raise PlaceUnreachable("The database does not let us watch the room any more.")
    if event.name != "put":
        return None
    try:
        put = _put_decoder.decode(event.data.encode())
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("The database sends events that make no sense.") from None
    # A change of a part of the value: pypeer makes none.
    return Value(bytes(put.data)) if put.path == "/" else None


def put_event(value: bytes) -> bytes:
    """Return the event that tells of a new value, which is JSON on one line."""
    return b'event: put\ndata: {"path":"/","data":' + value + b"}\n\n"
