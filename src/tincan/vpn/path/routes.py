"""Whose an IP address is: which link a packet goes out by, and who may send as whom."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from tincan.vpn.path.plane import Interface, Network

OWN = -1
"""The number that stands for ourselves where links have theirs."""

REMEMBERED = 4096
"""Addresses whose answer is remembered."""

Prefix = tuple[bytes, int]
"""An address and how many of its bits count."""


def prefix(address: Interface | Network) -> Prefix:
    """Give an interface's one address, or a whole network."""
    if isinstance(address, IPv4Network | IPv6Network):
        return address.network_address.packed, address.prefixlen
    return address.packed, address.max_prefixlen


def masked(address: bytes, bits: int) -> bytes:
    """Give the address with all but its first bits zero."""
    size = len(address) * 8
    return (int.from_bytes(address, "big") >> size - bits << size - bits).to_bytes(len(address), "big")


class Routes:
    """Longest prefix first, as everywhere."""

    def __init__(self) -> None:
        self._owners: dict[Prefix, int] = {}
        self._lengths: dict[int, list[int]] = {4: [], 16: []}
        self._remembered: dict[bytes, int | None] = {}

    def assign(self, owner: int, prefixes: Iterable[Prefix]) -> None:
        """Give an owner these addresses in place of those it had; whoever else had one loses it."""
        kept = {known: number for known, number in self._owners.items() if number != owner}
        kept |= {(masked(address, bits), bits): owner for address, bits in prefixes if len(address) in (4, 16)}
        self._owners = kept
        for size, lengths in self._lengths.items():
            lengths[:] = sorted({bits for address, bits in kept if len(address) == size}, reverse=True)
        self._remembered.clear()

    def owner(self, address: bytes) -> int | None:
        """Say whose an address is."""
        try:
            return self._remembered[address]
        except KeyError:
            found = self._search(address)
            if len(self._remembered) >= REMEMBERED:
                self._remembered.clear()
            self._remembered[address] = found
            return found

    def _search(self, address: bytes) -> int | None:
        for bits in self._lengths.get(len(address), ()):
            found = self._owners.get((masked(address, bits), bits))
            if found is not None:
                return found
        return None

    def owners(self) -> set[int]:
        """Give everybody who has an address."""
        return set(self._owners.values())


class Everybody:
    """Which destinations mean all: multicast, and the broadcast addresses of our networks."""

    def __init__(self, networks: Iterable[Prefix] = ()) -> None:
        self._broadcast = {b"\xff\xff\xff\xff"}
        for address, bits in networks:
            if len(address) == 4 and bits < 31:
                last = int.from_bytes(masked(address, bits), "big") | (1 << 32 - bits) - 1
                self._broadcast.add(last.to_bytes(4, "big"))

    def __contains__(self, address: bytes) -> bool:
        if len(address) == 16:
            return address[0] == 0xFF
        return address[0] >> 4 == 14 or address in self._broadcast
