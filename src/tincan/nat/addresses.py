"""Addresses of this machine, and which addresses of others are acceptable.

`usable_remote` is the one door for addresses that a peer names: what it lets
through is where connectivity checks may be sent.
"""

from __future__ import annotations

import functools
import ipaddress
import os
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Interface:
    """One address of one network interface of this machine."""

    name: str
    address: IPAddress
    prefix: int

    def holds(self, other: IPAddress) -> bool:
        """Whether ``other`` is on the same network as this address."""
        if other.version != self.address.version:
            return False
        return other in ipaddress.ip_network((self.address, self.prefix), strict=False)


def interfaces() -> list[Interface]:
    """Return the addresses of this machine, loopback included, IPv6 link-local ones left out.

    Link-local IPv6 addresses need a zone, which has no meaning to a peer.
    """
    found = []
    for adapter in _ifaddr().get_adapters():
        for ip in adapter.ips:
            text = ip.ip if isinstance(ip.ip, str) else ip.ip[0]
            address = ipaddress.ip_address(text)
            if not (address.version == 6 and address.is_link_local):
                found.append(Interface(adapter.nice_name, address, ip.network_prefix))
    return found


@functools.cache
def _ifaddr() -> ModuleType:
    """Load ifaddr: 5 ms that help and completion do not need.

    It asks for the name of the C library, for which ctypes runs ldconfig or
    even a compiler. The answer that it is in this process is as good.
    """
    import ctypes.util

    find = ctypes.util.find_library
    if os.name == "posix":  # others may ask for other libraries at the same time
        ctypes.util.find_library = lambda name: None if name == "c" else find(name)
    try:
        import ifaddr
    finally:
        ctypes.util.find_library = find
    return ifaddr


def host_addresses(found: Iterable[Interface]) -> list[str]:
    """Return the addresses to offer as host candidates.

    A machine with nothing but loopback offers loopback, so that two cans on it
    can still be connected; any other machine does not, since its peer could do
    nothing with it.
    """
    addresses = [i.address for i in found]
    outward = [a for a in addresses if not a.is_loopback]
    return [str(a) for a in (outward or addresses)]


def usable_remote(text: str, *, loopback: bool) -> bool:
    """Whether a candidate's address may be sent to. ``loopback``: this machine has nothing else.

    Refused: names, unspecified, multicast, broadcast and reserved addresses,
    zones, and loopback unless this machine offers loopback itself; else a peer
    could aim checks at services that trust the machine they run on.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if address.version == 6:
        if address.ipv4_mapped is not None or "%" in text:
            return False
    elif address.is_reserved:  # 240/4, and with it the broadcast address
        return False
    if address.is_unspecified or address.is_multicast:
        return False
    return not address.is_loopback or loopback


def on_lan(remote: IPAddress, found: Iterable[Interface]) -> bool:
    """Whether an address of the peer's own is in one of our networks, or at least a private one."""
    return remote.is_loopback or any(i.holds(remote) for i in found) or is_private(remote)


def is_private(address: IPAddress) -> bool:
    """Whether an address is one of those that every private network may use."""
    return any(address in network for network in _PRIVATE)


# RFC 1918, RFC 3927, RFC 4193; not `is_private`, which counts every special range as private.
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7")
)
