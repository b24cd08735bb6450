"""Which IPv4 addresses this machine uses for itself and its friends, and the IPv6 address of an identity. Pure.

The range is this machine's own choice: nobody else ever sees an address of
it, since packets are translated on arrival. So it need only not clash with
networks that the machine is in; where it does, it moves. A friend keeps its
place in the range (the *offset*) for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import Final

from tincan.errors import UsageError
from tincan.identity import PublicIdentity

DEFAULT: Final = IPv4Network("172.31.0.0/16")
OWN_OFFSET: Final = 100
"""This machine is 172.31.0.100, as IPOP's machines are."""

PRIVATE: Final = tuple(map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10")))
"""What a range may be a part of (RFC 1918, RFC 6598). Python's ``is_private`` takes in much that is not for use."""

SMALLEST: Final = 29

PREFIX_6: Final = bytes.fromhex("fd500dbc41f24a3c")
"""IPOP's: an IPv6 address is these 64 bits, and 64 bits of the identity's hash. It means the same everywhere."""

_UP: Final = 0x1  # <linux/route.h>: RTF_UP


def parse_range(text: str) -> IPv4Network:
    """Return a range that a user chose; `UsageError` when it cannot be one."""
    try:
        network = IPv4Network(text)
    except ValueError:
        raise UsageError(f"{text!r} is no range of IPv4 addresses such as {DEFAULT}.") from None
    if not any(network.subnet_of(private) for private in PRIVATE):
        raise UsageError(
            f"{network} is not for private use: take a part of 10/8, 172.16/12, 192.168/16 or 100.64/10."
        )
    if network.prefixlen > SMALLEST:
        raise UsageError(f"{network} is too small: /{SMALLEST} is the least that will do.")
    return network


def candidates() -> Iterator[IPv4Network]:
    """Yield the ranges that are tried one after the other, as IPOP did, and then some."""
    for second in range(31, 15, -1):
        yield IPv4Network(f"172.{second}.0.0/16")
    for second in range(127, 63, -1):
        yield IPv4Network(f"100.{second}.0.0/16")
    for second in range(255, -1, -1):
        yield IPv4Network(f"10.{second}.0.0/16")


def choose(wanted: IPv4Network, used: Collection[IPv4Network]) -> IPv4Network:
    """Return the wanted range, or the first one that no network of this machine overlaps."""
    for network in (wanted, *candidates()):
        if not any(network.overlaps(other) for other in used):
            return network
    raise UsageError("Every private range is in use on this machine; choose one with --range that may be taken.")


def routed(table: str, but: Collection[str] = ()) -> list[IPv4Network]:
    """Read the networks this machine reaches from the text of Linux's /proc/net/route.

    Left out are default routes, and the interfaces named in ``but``: our own tap.
    """
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        try:
            interface, target, _gateway, flags, _refs, _use, _metric, mask = fields[:8]
            base = int.from_bytes(int(target, 16).to_bytes(4, sys.byteorder), "big")
            ones = int.from_bytes(int(mask, 16).to_bytes(4, sys.byteorder), "big")
            network = IPv4Network((base, ones.bit_count()))
            # 0/1 and 128/1 are how a VPN takes everything: a default route in two halves.
            if network.prefixlen > 1 and int(flags, 16) & _UP and interface not in but:
                found.append(network)
        except (ValueError, OverflowError):
            continue  # not a line of that table
    return found


def own_offset(network: IPv4Network) -> int:
    """Return this machine's place in a range."""
    return OWN_OFFSET if network.num_addresses > OWN_OFFSET + 1 else 1


def offsets(network: IPv4Network) -> Iterator[int]:
    """Yield the places for friends, the best ones first.

    Never a last octet of 0 or 255, which some programs take for a network or
    a broadcast. First come those that are written with as many characters as
    this machine's own (172.31.0.101 to 172.31.9.254): within TCP, an address
    in a text can only be replaced by one that is as long.
    """
    base, end, own = int(network.network_address), network.num_addresses - 1, own_offset(network)
    neat = [256 * third + last for third in range(10) for last in range(100, 255)] if network.prefixlen <= 24 else []
    yield from (offset for offset in neat if offset < end and offset != own)
    known = set(neat)
    for offset in range(1, end):
        if 0 < (base + offset) % 256 < 255 and offset != own and offset not in known:
            yield offset


def fits(network: IPv4Network, offset: int) -> bool:
    """Whether an address of that offset can be used in a range."""
    return 0 < offset < network.num_addresses - 1 and offset != own_offset(network)


def free_offset(network: IPv4Network, taken: Iterable[int]) -> int:
    """Return the best place that nobody has; `UsageError` when the range is full."""
    had = set(taken)
    for offset in offsets(network):
        if offset not in had:
            return offset
    raise UsageError(f"The range {network} is full: choose a larger one with --range.")


def address(network: IPv4Network, offset: int) -> IPv4Address:
    """Return the address at a place."""
    return network[offset]


def ip6_of(public: PublicIdentity) -> IPv6Address:
    """Return an identity's IPv6 address."""
    return IPv6Address(PREFIX_6 + public.digest[:8])
