"""The first packets to somebody there is no link to yet: kept while one is made."""

from __future__ import annotations

PACKETS = 8
"""For one destination; TCP opens with one, and what comes after repeats itself."""
DESTINATIONS = 64
SECONDS = 5.0
TELL_EVERY = 1.0


class Waiting:
    """Packets by destination, each a few seconds."""

    def __init__(self) -> None:
        self._packets: dict[bytes, list[tuple[float, bytes]]] = {}
        self._told: dict[bytes, float] = {}

    def add(self, destination: bytes, packet: bytes, now: float) -> bool:
        """Keep a packet; True if it is time to say that somebody wants to go there."""
        self._packets = {where: kept for where, kept in self._packets.items() if kept and now - kept[-1][0] < SECONDS}
        if destination not in self._packets and len(self._packets) >= DESTINATIONS:
            del self._packets[next(iter(self._packets))]
        kept = self._packets.setdefault(destination, [])
        if len(kept) < PACKETS:
            kept.append((now, packet))
        if now - self._told.get(destination, -TELL_EVERY) < TELL_EVERY:
            return False
        if len(self._told) >= 4 * DESTINATIONS:
            self._told.clear()
        self._told[destination] = now
        return True

    def destinations(self) -> list[bytes]:
        """Say for whom packets wait."""
        return list(self._packets)

    def take(self, destination: bytes, now: float) -> list[bytes]:
        """Give the packets for a destination that are not too old, and forget them."""
        return [packet for since, packet in self._packets.pop(destination, ()) if now - since < SECONDS]
