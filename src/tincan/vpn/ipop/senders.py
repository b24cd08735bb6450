"""Whose socket a datagram came from: a port of loopback says nothing of the user behind it, the kernel's table does.

The original takes calls from every user of the machine. Here only root, the
user that the module runs as, and the one who started it by sudo are listened
to. That is seen in ``/proc/net/udp`` and ``udp6``, where each socket stands
with its owner.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Final

KEPT: Final = 1.0
"""Seconds that an answer stays good; a port can get another owner."""

MAX_KEPT: Final = 256

TABLES: Final = ("/proc/net/udp", "/proc/net/udp6")


def owners(table: str, port: int) -> set[int]:
    """Return the user ids of the sockets that may send from a port of loopback; lines of another form are none."""
    found = set()
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 8 or not words[7].isdigit():
            continue
        address, _, number = words[1].rpartition(":")
        try:
            here, local = int(number, 16), _address(address)
        except ValueError:
            continue
        if here == port and (local.is_unspecified or local.is_loopback or _mapped_loopback(local)):
            found.add(int(words[7]))
    return found


class Senders:
    """Who is listened to. ``users``: their ids; ``read`` gives the kernel's tables."""

    def __init__(self, users: Iterable[int]) -> None:
        self._users = frozenset(users)
        self._kept: dict[int, tuple[bool, float]] = {}

    def known(self, port: int, now: float) -> bool | None:
        """Return the answer of a moment ago, if there is one."""
        answer, until = self._kept.get(port, (False, now))
        return answer if now < until else None

    def judge(self, port: int, tables: Iterable[str], now: float) -> bool:
        """Whether whoever sends from this port is listened to."""
        found = set().union(*(owners(table, port) for table in tables))
        answer = bool(found) and found <= self._users
        if len(self._kept) >= MAX_KEPT:
            self._kept.clear()
        self._kept[port] = (answer, now + KEPT)
        return answer


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Read an address as the kernel prints it: 32-bit words in the order of this machine, which is little-endian."""
    words = bytes.fromhex(text)
    if len(words) not in (4, 16):
        raise ValueError(text)
    turned = b"".join(words[at : at + 4][::-1] for at in range(0, len(words), 4))
    return ipaddress.ip_address(turned)


def _mapped_loopback(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped is not None and (mapped.is_loopback or mapped.is_unspecified)
