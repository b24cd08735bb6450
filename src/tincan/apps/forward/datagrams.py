"""Datagrams in the byte stream of one connection, and the table of those who send them.

A datagram travels as ``u16 length`` and its bytes. Each UDP source address is
a flow with a connection of its own, which ends when it is idle for a minute
or when newer flows need its place.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Hashable, Iterator
from typing import Final, Generic, TypeVar

IDLE: Final = 60.0
"""Seconds after which a flow without datagrams ends. RFC 4787 asks NATs for 120, but DNS and games need far less."""

MAX_FLOWS: Final = 256
"""Flows of one listener."""

MAX_DATAGRAM: Final = 65535

_LENGTH = struct.Struct("!H")

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def pack(datagram: bytes) -> bytes:
    """Return a datagram with its length before it."""
    return _LENGTH.pack(len(datagram)) + datagram


class DatagramReader:
    """Cuts the bytes of a connection into datagrams; holds at most one."""

    def __init__(self) -> None:
        self._part = bytearray()

    def feed(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield the datagrams that ``data`` completes."""
        self._part += data
        place = 0
        while len(self._part) - place >= _LENGTH.size:
            start = place + _LENGTH.size
            end = start + _LENGTH.unpack_from(self._part, place)[0]
            if len(self._part) < end:
                break
            yield bytes(self._part[start:end])
            place = end
        del self._part[:place]


class Flows(Generic[K, V]):
    """Who sends datagrams, the one that was heard longest ago first; bounded, and with a deadline."""

    def __init__(self, limit: int = MAX_FLOWS, idle: float = IDLE) -> None:
        self._limit = limit
        self._idle = idle
        self._flows: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flows)

    def find(self, key: K, now: float) -> V | None:
        """Return the flow of a source, which has just been heard."""
        found = self._flows.get(key)
        if found is None:
            return None
        self._flows[key] = (now, found[1])
        self._flows.move_to_end(key)
        return found[1]

    def add(self, key: K, value: V, now: float) -> V | None:
        """Remember a new flow; return the one that had to make room for it."""
        oldest = self._flows.popitem(last=False)[1][1] if len(self._flows) >= self._limit else None
        self._flows[key] = (now, value)
        return oldest

    def remove(self, key: K, value: V) -> None:
        """Forget a flow, unless its source has a new one already."""
        found = self._flows.get(key)
        if found is not None and found[1] is value:
            del self._flows[key]

    def expired(self, now: float) -> list[V]:
        """Forget the flows that were idle for too long, and return them."""
        gone = []
        while self._flows and next(iter(self._flows.values()))[0] + self._idle <= now:
            gone.append(self._flows.popitem(last=False)[1][1])
        return gone

    def next_deadline(self) -> float | None:
        """Return when to call `expired` next, or None while there is no flow."""
        return next(iter(self._flows.values()))[0] + self._idle if self._flows else None
