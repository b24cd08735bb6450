"""The interfaces of virtual networks on this machine, and which of its other networks they overlap."""

from __future__ import annotations

import hashlib
import socket
from ipaddress import IPv4Network
from typing import Final

from tincan.nat.addresses import interfaces
from tincan.vpn.group import store
from tincan.vpn.group.addresses import network_of

PREFIX: Final = "can-"
MAX_NAME: Final = 15
"""IFNAMSIZ of <linux/if.h>, without its zero."""


def tap_of(group: str) -> str:
    """Return the interface of a group. Of two long names that begin alike each gets its own."""
    name = PREFIX + group
    if len(name) <= MAX_NAME:
        return name
    return f"{name[:10]}-{hashlib.sha256(group.encode()).hexdigest()[:4]}"


def virtual_interfaces() -> set[str]:
    """Return the interfaces that virtual networks of ours have or may get on this machine.

    A link of one network must not go over another network: that may go over the first one.
    """
    present = {name for _, name in socket.if_nameindex() if name.startswith((PREFIX, "tincan"))}
    return present | {tap_of(name) for name in store.names()}


def overlaps(own: str, subnet: IPv4Network) -> list[str]:
    """Return a sentence for each network of this machine that a subnet overlaps, but for the ``own`` interface."""
    return [
        f"This machine is on {network} by {interface.name} as well, which overlaps {subnet}: "
        "some addresses will be found in the wrong one of them."
        for interface in interfaces()
        if (network := network_of(interface)) is not None and network.overlaps(subnet) and interface.name != own
    ]
