"""Notices that this machine's addresses or default routes have become others. Linux: rtnetlink(7).

What the kernel tells is only taken for a hint; what counts is a comparison of
what there is, so that a lease renewed or a route touched is no change.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

from tincan.nat.addresses import Interface, interfaces
from tincan.vpn.module.nic import carries

# <linux/rtnetlink.h>: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, _IPV4_ROUTE, RTMGRP_IPV6_IFADDR, _IPV6_ROUTE.
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400

SETTLE: Final = 0.3
"""Seconds without news before it is looked: an uplink that changes does so in several steps."""

LATEST: Final = 2.0
"""Seconds after which it is looked even while there is more news."""


def usable_interfaces(ignored: Collection[str]) -> tuple[Interface, ...]:
    """Return the addresses that links may use: not those of taps, and none whose cable is pulled.

    What goes through a tap would go through itself. Where there is no carrier,
    servers could only be waited for in vain. The kernel tells of a new carrier
    up to a second late, so where none seems to be there, all addresses are taken.
    """
    found = tuple(i for i in interfaces() if i.name not in ignored and not is_ours(i.name))
    alive = tuple(i for i in found if carries(i.name))
    return alive if any(not i.address.is_loopback for i in alive) else found


def is_ours(name: str) -> bool:
    """Whether an interface is named as the taps of modules are by themselves (``tincan0``)."""
    return name.startswith("tincan") and name[6:].isdecimal()


def default_routes(ipv4: str, ipv6: str, ignored: Collection[str]) -> frozenset[str]:
    """Read the default routes from the texts of /proc/net/route and /proc/net/ipv6_route."""
    found = set()
    for line in ipv4.splitlines()[1:]:
        fields = line.split()
        if len(fields) >= 8 and int(fields[1], 16) == int(fields[7], 16) == 0:
            found.add(f"4 {fields[0]} {fields[2]} {fields[6]}")
    for line in ipv6.splitlines():
        fields = line.split()
        # The last bit of flags is RTF_UP; the kernel lists a null route on loopback that is none.
        if len(fields) >= 10 and fields[1] == "00" and fields[9] != "lo" and int(fields[0], 16) == 0:
            found.add(f"6 {fields[9]} {fields[4]} {fields[5]}")
    return frozenset(r for r in found if r.split()[1] not in ignored and not is_ours(r.split()[1]))


Snapshot = tuple[frozenset[Interface], frozenset[str]]


def snapshot(ignored: Collection[str]) -> Snapshot:
    """Return the addresses and default routes of this machine."""
    texts = []
    for name in ("route", "ipv6_route"):
        try:
            texts.append(Path("/proc/self/net", name).read_text(errors="replace"))  # names may be anything
        except OSError:  # a kernel without IPv6
            texts.append("")
    return frozenset(usable_interfaces(ignored)), default_routes(texts[0], texts[1], ignored)


async def watch(ignored: Callable[[], Collection[str]], changed: Callable[[], None]) -> None:
    """Call ``changed`` whenever what counts is another, until cancelled."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0) as sock:
        sock.bind((0, _GROUPS))
        known = snapshot(ignored())
        while True:
            await _news(loop, sock)
            latest = loop.time() + LATEST
            with contextlib.suppress(TimeoutError):
                while (left := latest - loop.time()) > 0:
                    async with asyncio.timeout(min(SETTLE, left)):
                        await _news(loop, sock)
            now = snapshot(ignored())
            if now != known:
                known = now
                changed()


async def _news(loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
    with contextlib.suppress(OSError):  # ENOBUFS: there was more than fits, so something did happen
        await loop.sock_recv(sock, 65536)
