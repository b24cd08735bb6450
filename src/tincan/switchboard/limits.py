"""How much one address may ask for: token buckets and counts, pure.

An address is what one customer of a provider has: an IPv4 address, or an IPv6
/64 (`address_key`). The defaults let an office behind one NAT work and stop a
flood. Times are seconds of one monotonic clock, given by the caller.

An address is forgotten once it holds no connection and has been quiet for so
long that its buckets are full again: remembering it would change nothing. The
table is bounded as well; when it is full, the address that was quiet for
longest goes. One that holds a connection stays.
"""

from __future__ import annotations

import collections
import ipaddress
from dataclasses import dataclass, field

_SCAN = 16
"""Addresses looked at when a new one comes, so that a full table costs a bounded time."""


@dataclass(frozen=True, slots=True)
class RateLimits:
    """What each address may do. ``burst`` is what it may do at once after a pause."""

    opens_per_minute: float = 60
    opens_burst: float = 30
    connections: int = 64
    """WebSockets at one time."""
    frames_per_second: float = 50
    frames_burst: float = 200
    sockets: int = 128
    """TCP connections at one time, whatever is said on them. More than `connections`, since
    those over that limit are told so."""
    sockets_per_second: float = 20
    sockets_burst: float = 200
    party_bytes_per_second: float = 1024 * 1024
    """Bytes that messages on party lines become, counting the copy for each who hears them."""
    party_bytes_burst: float = 16 * 1024 * 1024
    addresses: int = 65_536
    """Addresses remembered, about 400 bytes each."""


def address_key(address: str) -> str:
    """Return the key under which ``address``, an IP address as text, is counted.

    IPv6 counts by /64, IPv4-mapped IPv6 as IPv4. What is no address shares one key.
    """
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(ip, ipaddress.IPv4Address):
        return str(ip)
    if ip.ipv4_mapped is not None:
        return str(ip.ipv4_mapped)
    return str(ipaddress.IPv6Address(int(ip) >> 64 << 64)) + "/64"


@dataclass(slots=True)
class Bucket:
    """A token bucket: ``burst`` tokens at most, ``rate`` new ones a second."""

    rate: float
    burst: float
    tokens: float
    updated: float

    def take(self, now: float, tokens: float = 1) -> bool:
        """Take tokens at ``now``; False when there are not so many."""
        # A clock never goes back, but two callers may have read it out of order.
        self.tokens = min(self.burst, self.tokens + max(0.0, now - self.updated) * self.rate)
        self.updated = max(self.updated, now)
        if self.tokens < tokens:
            return False
        self.tokens -= tokens
        return True


@dataclass(slots=True)
class _Address:
    opens: Bucket
    frames: Bucket
    new_sockets: Bucket
    party_bytes: Bucket
    asked: float
    sockets: int = 0
    connections: int = 0


@dataclass(slots=True)
class Limiter:
    """Counts what addresses do. Every question is asked with an `address_key`.

    ``enter_socket`` and ``connect`` that returned True are undone by
    ``leave_socket`` and ``disconnect``, exactly once.
    """

    limits: RateLimits
    _table: collections.OrderedDict[str, _Address] = field(default_factory=collections.OrderedDict)

    def __len__(self) -> int:
        return len(self._table)

    def enter_socket(self, address: str, now: float) -> bool:
        """May this address have one more TCP connection?"""
        entry = self._entry(address, now)
        if entry is None or entry.sockets >= self.limits.sockets or not entry.new_sockets.take(now):
            return False
        entry.sockets += 1
        return True

    def leave_socket(self, address: str) -> None:
        """Give one TCP connection back."""
        self._table[address].sockets -= 1

    def connect(self, address: str, now: float) -> bool:
        """May this address have one more WebSocket?"""
        entry = self._entry(address, now)
        if entry is None or entry.connections >= self.limits.connections:
            return False
        entry.connections += 1
        return True

    def disconnect(self, address: str) -> None:
        """Give one WebSocket back."""
        self._table[address].connections -= 1

    def allow_open(self, address: str, now: float) -> bool:
        """May this address open one more side of a mailbox?"""
        entry = self._entry(address, now)
        return entry is not None and entry.opens.take(now)

    def allow_frame(self, address: str, now: float) -> bool:
        """May this address send one more frame?"""
        entry = self._entry(address, now)
        return entry is not None and entry.frames.take(now)

    def allow_party(self, address: str, size: int, now: float) -> bool:
        """May this address send so many bytes on party lines, all copies counted?"""
        entry = self._entry(address, now)
        return entry is not None and entry.party_bytes.take(now, size)

    def _entry(self, address: str, now: float) -> _Address | None:
        entry = self._table.get(address)
        if entry is not None:
            self._table.move_to_end(address)
            entry.asked = now
            return entry
        self._forget(now)
        if len(self._table) >= self.limits.addresses:
            return None
        limits = self.limits
        entry = self._table[address] = _Address(
            opens=_full(limits.opens_per_minute / 60, limits.opens_burst, now),
            frames=_full(limits.frames_per_second, limits.frames_burst, now),
            new_sockets=_full(limits.sockets_per_second, limits.sockets_burst, now),
            party_bytes=_full(limits.party_bytes_per_second, limits.party_bytes_burst, now),
            asked=now,
        )
        return entry

    def _forget(self, now: float) -> None:
        """Drop those who are quiet for long, and if the table is full the quietest of the rest."""
        for _ in range(min(_SCAN, len(self._table))):
            address, entry = next(iter(self._table.items()))
            if entry.sockets or entry.connections:
                # In use, so it is not quiet after all; the next one gets its turn.
                self._table.move_to_end(address)
            elif now - entry.asked >= self._refill or len(self._table) >= self.limits.addresses:
                del self._table[address]
            else:
                return

    @property
    def _refill(self) -> float:
        """Seconds after which every bucket is full again."""
        limits = self.limits
        return max(
            limits.opens_burst / limits.opens_per_minute * 60,
            limits.frames_burst / limits.frames_per_second,
            limits.sockets_burst / limits.sockets_per_second,
            limits.party_bytes_burst / limits.party_bytes_per_second,
        )


def _full(rate: float, burst: float, now: float) -> Bucket:
    return Bucket(rate, burst, tokens=burst, updated=now)
