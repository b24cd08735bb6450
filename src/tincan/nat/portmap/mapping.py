"""What a port mapping is, what a router may grant, and which of its answers are worth anything.

Routers are asked in three ways (`Mapper`), which share the words of this
module. Whatever a router says is checked here before anybody acts on it.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from tincan.errors import WorldError

Transport = Literal["tcp", "udp"]
Method = Literal["pcp", "nat-pmp", "upnp"]

LEASE: Final = 900
"""Seconds asked for: long enough to renew rarely, short enough that a crash leaves no hole for long."""

LONGEST_LEASE: Final = 7200
"""A longer grant is renewed as if it were this long."""

SHORTEST_PAUSE: Final = 30.0
"""Seconds between two renewals at least, so that a router granting one second does not keep us busy."""

# No packet from the internet arrives at these: a router that has one outside is itself behind another NAT, or
# has no connection. Not `is_private`, which counts documentation ranges too, and the laboratory is made of those.
_USELESS: Final = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # RFC 1122
        "10.0.0.0/8",  # RFC 1918
        "100.64.0.0/10",  # RFC 6598, carriers' NATs
        "127.0.0.0/8",
        "169.254.0.0/16",  # RFC 3927
        "172.16.0.0/12",  # RFC 1918
        "192.0.0.0/24",  # RFC 6890, among them DS-Lite
        "192.168.0.0/16",  # RFC 1918
        "198.18.0.0/15",  # RFC 2544
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)


class NoMapping(WorldError):
    """One way to a mapping does not work; caught inside this package and logged."""


@dataclass(frozen=True)
class PortMapping:
    """A port of the router that leads to one of ours. ``address`` and ``port``: as the internet sees it."""

    address: str
    port: int
    method: Method


@dataclass(frozen=True)
class Wanted:
    """Which of our ports is to be reachable. ``local``: our address towards the router, ``lease``: seconds."""

    local: str
    port: int
    transport: Transport
    lease: int = LEASE


@dataclass(frozen=True)
class Granted:
    """What a router says it did. ``lifetime``: seconds until it forgets."""

    address: str
    port: int
    lifetime: int


@dataclass(frozen=True)
class Refused:
    """What a router says it will not do. ``reason``: our words for its number, never the router's own text."""

    reason: str


class Mapper(Protocol):
    """One way to ask one router for one mapping.

    `map` asks, or renews what was asked for before; `unmap` undoes whatever
    was asked, answered or not, and does nothing when nothing was. Both end by
    themselves within seconds and raise nothing but `NoMapping` and `OSError`.
    """

    @property
    def method(self) -> Method:
        """The protocol spoken."""

    @property
    def asked(self) -> bool:
        """Whether something has left this machine that may have made a mapping."""

    async def map(self) -> Granted:
        """Ask for the mapping, or for the one already had to go on."""

    async def unmap(self) -> None:
        """Have the mapping deleted."""


def checked(granted: Granted) -> Granted:
    """Return a grant that is of use, its lifetime within bounds; raise `NoMapping`."""
    try:
        address = ipaddress.IPv4Address(granted.address)
    except ValueError as exc:
        raise NoMapping("the router names no IPv4 address") from exc
    if useless(address):
        raise NoMapping(f"the router's own outside address is {address}, so it is behind another NAT or offline")
    if not 0 < granted.port < 65536:
        raise NoMapping("the router names a port that is none")
    if granted.lifetime <= 0:
        raise NoMapping("the router grants no time")
    return Granted(str(address), granted.port, min(granted.lifetime, LONGEST_LEASE))


def useless(address: ipaddress.IPv4Address) -> bool:
    """Whether nobody on the internet can send to this address."""
    return any(address in network for network in _USELESS)


def renewal(lifetime: float) -> float:
    """Say how many seconds to wait when so many of a lease are left: half of them (RFC 6886, 3.3)."""
    return max(lifetime / 2, SHORTEST_PAUSE)
