"""Which routers to ask: read from the kernel's table of routes, or guessed from our own addresses.

A home router is on our own network and we have a private address there;
where that is not so, no mapping is needed, and nobody is bothered.
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tincan.nat.addresses import Interface
from tincan.nat.portmap.mapping import useless

MAX_ROUTERS: Final = 4
"""Routers asked at most; a machine full of virtual networks has dozens of guesses."""

_UP_AND_GATEWAY: Final = 0x1 | 0x2  # <linux/route.h>: RTF_UP, RTF_GATEWAY


@dataclass(frozen=True)
class Router:
    """A router on one of our networks. ``local``: our address there; ``guessed``: it may be another machine there."""

    address: str
    local: str
    network: ipaddress.IPv4Network
    guessed: bool = False

    def may_be(self, source: str) -> bool:
        """Whether what comes from this address can be this router's."""
        if not self.guessed:
            return source == self.address
        return source != self.local and ipaddress.IPv4Address(source) in self.network


def default_gateways(table: str) -> list[ipaddress.IPv4Address]:
    """Read the default gateways from the text of Linux's /proc/net/route, the preferred one first.

    Addresses there are written as numbers in the machine's order of bytes.
    """
    found = []
    for line in table.splitlines()[1:]:
        fields = line.split()
        try:
            _interface, target, gateway, flags, _refs, _use, metric, mask = fields[:8]
            address = ipaddress.IPv4Address(int(gateway, 16).to_bytes(4, sys.byteorder))
            if int(target, 16) == int(mask, 16) == 0 and int(flags, 16) & _UP_AND_GATEWAY == _UP_AND_GATEWAY:
                found.append((int(metric), address))
        except (ValueError, OverflowError):
            continue  # not a line of that table
    return [address for _, address in sorted(found)]


def routers(found: Iterable[Interface], gateways: Iterable[ipaddress.IPv4Address] | None) -> list[Router]:
    """Pair routers with our addresses. Without known gateways the first address of each private network is one."""
    inside = [
        (i.address, ipaddress.IPv4Network((i.address, i.prefix), strict=False))
        for i in found
        if isinstance(i.address, ipaddress.IPv4Address) and _at_home(i.address) and i.prefix <= 30
    ]
    if gateways is None:
        pairs = [(network[1], local, network) for local, network in inside]
    else:
        pairs = [(g, local, network) for g in gateways for local, network in inside if g in network]
    guessed = gateways is None
    made = [Router(str(g), str(local), network, guessed) for g, local, network in pairs if g != local]
    return list(dict.fromkeys(made))[:MAX_ROUTERS]


def _at_home(address: ipaddress.IPv4Address) -> bool:
    return useless(address) and not address.is_loopback and not address.is_link_local
