"""The rooms of pypeer, as a Firebase Realtime Database keeps them: docs/protocol.md, section 3. A pure core.

A room has two values, ``offer`` and ``answer``, of JSON. It is there from the
first value on; it is gone when both values are, when it is deleted, and ten
minutes after it was made. Watchers, numbered by the shell, hear of every
change of one value, also when there is no room yet.

Whoever knows a room's name may write and delete in it: that is pypeer's
protocol. So nothing lists names, and addresses have limits.
"""

from __future__ import annotations

import collections
import enum
from dataclasses import dataclass, field

import msgspec

from tincan.meet.firebase import KEYS, MAX_VALUE, is_room_name
from tincan.switchboard.metrics import Metrics

NULL = b"null"


@dataclass(frozen=True, slots=True)
class RoomLimits:
    """Limits of the rooms. A room holds two values of at most 64 KiB."""

    lifetime: float = 600
    """Seconds from the making of a room to its end."""
    rooms: int = 10_000
    rooms_per_address: int = 32
    bytes: int = 128 * 1024 * 1024
    watchers: int = 10_000
    watchers_of_a_value: int = 16


class Refusal(enum.Enum):
    """Why something is refused: HTTP status and Firebase's words for it."""

    DENIED = 401, "Permission denied"
    """Also for what a database's rules would forbid: another path, a name that is no room's, a listing."""
    INVALID = 400, "Invalid data; couldn't parse JSON object."
    TOO_LARGE = 413, "Data to write exceeds the maximum size that can be modified with a single request."
    RATE = 429, "Too many requests from this address."
    FULL = 503, "This switchboard is full. Try again in a few minutes."


class Refused(Exception):
    """A request that is refused."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why.value[1])
        self.why = why


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What pypeer puts under a key. Nothing else is stored: this is no database for everybody."""

    payload: str
    timestamp: int | float


@dataclass(slots=True)
class _Room:
    name: str
    expires: float
    address: str
    values: dict[str, bytes] = field(default_factory=dict)


Notice = tuple[int, bytes]
"""A watcher, and the value (JSON) that it has to hear of."""

_decoder = msgspec.json.Decoder(_Stored | None)


class Rooms:
    """All rooms of one switchboard. ``now`` is in seconds of one monotonic clock."""

    def __init__(self, limits: RoomLimits, metrics: Metrics) -> None:
        self._limits = limits
        self._metrics = metrics
        # In the order of their making, which is that of their expiry.
        self._rooms: collections.OrderedDict[str, _Room] = collections.OrderedDict()
        self._of_address: collections.Counter[str] = collections.Counter()
        self._bytes = 0
        self._watchers: dict[tuple[str, str], set[int]] = {}
        self._watching = 0

    def put(self, room: str, key: str, data: bytes, *, address: str, now: float) -> tuple[bytes, list[Notice]]:
        """Store a value for ``address`` (an `address_key`); return it, and who hears of it. ``null`` deletes."""
        _check(room, key)
        notices = self.expire(now)
        value = _parse(data)
        if value == NULL:
            return NULL, notices + self._take_away(room, [key])
        found = self._rooms.get(room)
        before = len(found.values.get(key, b"")) if found is not None else 0
        if self._bytes + len(value) - before > self._limits.bytes:
            raise Refused(Refusal.FULL)
        if found is None:
            found = self._make(room, address, now)
        self._bytes += len(value) - before
        found.values[key] = value
        self._metrics.room_values += 1
        return value, notices + self._notices(room, key, value)

    def get(self, room: str, key: str | None, *, now: float) -> bytes:
        """Return a value, or the object of both."""
        _check(room, key)
        found = self._rooms.get(room)
        if found is None or found.expires <= now:
            return NULL
        if key is not None:
            return found.values.get(key, NULL)
        return b"{" + b",".join(b'"%s":%s' % (k.encode(), found.values[k]) for k in KEYS if k in found.values) + b"}"

    def delete(self, room: str, key: str | None, *, now: float) -> list[Notice]:
        """Delete a value, or the room; return who hears of it."""
        _check(room, key)
        return self.expire(now) + self._take_away(room, KEYS if key is None else [key])

    def watch(self, number: int, room: str, key: str, *, now: float) -> bytes:
        """Let ``number`` hear of a value from now on; return the value as it is."""
        _check(room, key)
        watchers = self._watchers.get((room, key), set())
        if self._watching >= self._limits.watchers or len(watchers) >= self._limits.watchers_of_a_value:
            raise Refused(Refusal.FULL)
        self._watchers.setdefault((room, key), watchers).add(number)
        self._watching += 1
        self._metrics.room_watchers = self._watching
        return self.get(room, key, now=now)

    def unwatch(self, number: int, room: str, key: str) -> None:
        """End what `watch` began."""
        watchers = self._watchers[room, key]
        watchers.remove(number)
        if not watchers:
            del self._watchers[room, key]
        self._watching -= 1
        self._metrics.room_watchers = self._watching

    def next_deadline(self) -> float | None:
        """Return when `expire` must be called next, if at all."""
        oldest = next(iter(self._rooms.values()), None)
        return None if oldest is None else oldest.expires

    def expire(self, now: float) -> list[Notice]:
        """Delete the rooms whose time is over; return who hears of it."""
        notices: list[Notice] = []
        while (oldest := next(iter(self._rooms.values()), None)) is not None and oldest.expires <= now:
            notices += self._take_away(oldest.name, KEYS)
            self._metrics.rooms_expired += 1
        return notices

    def exists(self, room: str) -> bool:
        """Whether there is such a room."""
        return room in self._rooms

    def _make(self, name: str, address: str, now: float) -> _Room:
        if len(self._rooms) >= self._limits.rooms:
            raise Refused(Refusal.FULL)
        if self._of_address[address] >= self._limits.rooms_per_address:
            raise Refused(Refusal.RATE)
        room = self._rooms[name] = _Room(name, now + self._limits.lifetime, address)
        self._of_address[address] += 1
        self._metrics.rooms = len(self._rooms)
        return room

    def _take_away(self, name: str, keys: list[str] | tuple[str, ...]) -> list[Notice]:
        room = self._rooms.get(name)
        if room is None:
            return []
        notices: list[Notice] = []
        for key in keys:
            value = room.values.pop(key, None)
            if value is not None:
                self._bytes -= len(value)
                notices += self._notices(name, key, NULL)
        if not room.values:
            del self._rooms[name]
            self._of_address[room.address] -= 1
            if not self._of_address[room.address]:
                del self._of_address[room.address]  # an address is not kept for longer than needed
            self._metrics.rooms = len(self._rooms)
        return notices

    def _notices(self, room: str, key: str, value: bytes) -> list[Notice]:
        return [(number, value) for number in self._watchers.get((room, key), ())]


def split_path(path: str) -> tuple[str, str | None]:
    """Return room and key of ``/rooms/ROOM.json`` or ``/rooms/ROOM/KEY.json``; `Refused` for any other path."""
    parts = path.removesuffix(".json").split("/")
    if not path.endswith(".json") or len(parts) not in (3, 4) or parts[:2] != ["", "rooms"]:
        raise Refused(Refusal.DENIED)
    key = parts[3] if len(parts) == 4 else None
    _check(parts[2], key)
    return parts[2], key


def _check(room: str, key: str | None) -> None:
    if not is_room_name(room) or key not in (None, *KEYS):
        raise Refused(Refusal.DENIED)


def _parse(data: bytes) -> bytes:
    """Return a value in its shortest form."""
    if len(data) > MAX_VALUE:
        raise Refused(Refusal.TOO_LARGE)
    try:
        return msgspec.json.encode(_decoder.decode(data))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Refused(Refusal.INVALID) from None
