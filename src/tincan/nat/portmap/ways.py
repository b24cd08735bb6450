"""All the ways to ask for a mapping that this machine has right now."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Final

from tincan.nat.addresses import interfaces
from tincan.nat.portmap.direct import NatPmpMapper, PcpMapper
from tincan.nat.portmap.mapping import Mapper, Transport, Wanted
from tincan.nat.portmap.routes import default_gateways, routers
from tincan.nat.portmap.search import UpnpMapper

_ROUTES: Final = Path("/proc/net/route")


def mappers(port: int, transport: Transport) -> list[Mapper]:
    """Return PCP and NAT-PMP for each router, and UPnP for all; empty where there is no home router."""
    try:
        found = routers(interfaces(), _gateways())
    except OSError:  # the system does not tell its interfaces
        return []
    made: list[Mapper] = []
    for router in found:
        wanted = Wanted(router.local, port, transport)
        made += [PcpMapper(router.address, wanted), NatPmpMapper(router.address, wanted)]
    if found:
        made.append(UpnpMapper(found, Wanted(found[0].local, port, transport)))
    return made


def _gateways() -> list[ipaddress.IPv4Address] | None:
    try:
        return default_gateways(_ROUTES.read_text("ascii"))
    except (OSError, UnicodeDecodeError):  # not Linux, or without procfs
        return None
