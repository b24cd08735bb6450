"""Which way a link goes: the candidate pair in use, in words that need no ICE library. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from tincan.link.interface import Path
from tincan.nat.addresses import Interface, on_lan

FIRST_OF_PACKETS: Final = 192
"""What packets of a virtual network begin with, or more: nothing else on a port does (RFC 7983 section 7)."""


@dataclass(frozen=True)
class Route:
    """The candidate pair in use. ``local`` is our socket's address, or the relay's when it is ``relayed``."""

    local: tuple[str, int]
    remote: tuple[str, int]
    relayed: bool


def path_between(local_kind: str, remote_kind: str, remote_address: str, found: Iterable[Interface]) -> Path:
    """Return what a pair of candidates of these kinds is to users. ``found``: our own interfaces."""
    if "relay" in (local_kind, remote_kind):
        return Path.RELAYED
    # Only an address that is the peer's own says that we share its network.
    if remote_kind == "host" and on_lan(ipaddress.ip_address(remote_address), found):
        return Path.LAN
    return Path.DIRECT_UDP
