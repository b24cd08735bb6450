"""Addresses and names of a group's members. Pure.

The admin hands out IPv4 addresses of one flat subnet, so none is given twice;
IPv6 addresses follow from the keys (RFC 4193), so nobody has to.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from typing import Final

from tincan.errors import UsageError, WorldError
from tincan.nat.addresses import Interface
from tincan.vpn.names.safe import MAX_LABEL, label

SHARED: Final = IPv4Network("100.64.0.0/10")
"""RFC 6598: between a provider and its customers, so hardly a LAN uses it."""

PREFIX: Final = 22
"""Bits of the subnets that are chosen by themselves: room for 1,022 members, and 4,096 groups side by side."""

SMALLEST: Final = 29
PRIVATE: Final = (IPv4Network("10.0.0.0/8"), IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16"), SHARED)


def default_subnet(group: bytes, taken: Iterable[IPv4Network]) -> IPv4Network:
    """Choose a subnet for a group by its key, clear of networks that this machine is on."""
    count = 2 ** (PREFIX - SHARED.prefixlen)
    first = int.from_bytes(hashlib.sha256(b"tin-can/1 group subnet" + group).digest()[:8], "big")
    avoided = list(taken)
    for n in range(count):
        base = int(SHARED.network_address) + ((first + n) % count << (32 - PREFIX))
        subnet = IPv4Network((base, PREFIX))
        if not any(subnet.overlaps(network) for network in avoided):
            return subnet
    raise WorldError("This machine is on every network of 100.64.0.0/10; choose another with --subnet.")


def network_of(interface: Interface) -> IPv4Network | None:
    """Return the IPv4 network that an address of this machine is on."""
    if interface.address.version != 4:
        return None
    return IPv4Network((int(interface.address), interface.prefix), strict=False)


def read_subnet(text: str) -> IPv4Network:
    """Return the subnet that a user asks for; `UsageError` when it will not do."""
    try:
        subnet = IPv4Network(text)
    except ValueError:
        raise UsageError(f"{text!r} is not a subnet; write it as 100.64.8.0/22.") from None
    if not any(subnet.subnet_of(private) for private in PRIVATE):
        raise UsageError(f"{text} is not private; take one of 10/8, 172.16/12, 192.168/16 or 100.64/10.")
    if subnet.prefixlen > SMALLEST:
        raise UsageError(f"{text} has no room for a group; take a /{SMALLEST} or larger.")
    return subnet


def next_address(subnet: IPv4Network, taken: Collection[IPv4Address]) -> IPv4Interface:
    """Return the first free address of a subnet; `WorldError` when there is none."""
    for host in subnet.hosts():
        if host not in taken:
            return IPv4Interface((host, subnet.prefixlen))
    raise WorldError(f"All addresses of {subnet} are given out; ban members who have left, or make a larger group.")


def ula(group: bytes) -> IPv6Network:
    """Return the unique local prefix of a group (RFC 4193, its 40 bits by hash of the group's key)."""
    bits = hashlib.sha256(b"tin-can/1 group prefix" + group).digest()[:5]
    return IPv6Network((int.from_bytes(b"\xfd" + bits + bytes(10), "big"), 64))


def ip6_of(group: bytes, sign: bytes) -> IPv6Interface:
    """Return a member's IPv6 address: the group's prefix, and 64 bits of the hash of its key."""
    digest = hashlib.sha256(b"tin-can/1 group interface" + group + sign).digest()
    prefix = ula(group)
    address = IPv6Address(int(prefix.network_address) | int.from_bytes(digest[:8], "big"))
    return IPv6Interface((int(address), prefix.prefixlen))


def is_label(text: str) -> bool:
    """Return whether a text can be a member's or a group's name: one label of a host name (RFC 1123 section 2.1)."""
    return len(text) <= MAX_LABEL and re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", text) is not None


def free_label(wanted: str, taken: Collection[str]) -> str:
    """Return a name like the wanted one that nobody has."""
    return label(wanted, fallback="member", taken=taken)
