"""A data plane by itself, with fixed keys.

``plane_end.py SIDE LOCAL REMOTE ADDRESS4 ADDRESS6 PEER4 PEER6 [OPTION...]``

SIDE is 0 or 1. Options: switch, dhcp, two (pumps). Says ``ready`` and each event in a line; when its input ends,
its statistics.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from ipaddress import ip_interface

from tincan.errors import WorldError
from tincan.vpn.path.driver import open_plane
from tincan.vpn.path.plane import DataPlane, LinkKeys, Mode, PlaneSettings, UdpTransport

PORT = 7000
SECRETS = [bytes([n]) * 32 for n in (1, 2)]


async def show(plane: DataPlane) -> None:
    try:
        async for event in plane.events():
            print(event, flush=True)
    except WorldError as exc:
        print(exc, file=sys.stderr, flush=True)


async def main() -> None:
    side, (local, remote, own4, own6, peer4, peer6) = int(sys.argv[1]), sys.argv[2:8]
    options = sys.argv[8:]
    settings = PlaneSettings(
        mode=Mode.SWITCH if "switch" in options else Mode.IP,
        addresses=(ip_interface(f"{own4}/24"), ip_interface(f"{own6}/64")),
        allow_dhcp="dhcp" in options,
    )
    async with open_plane(settings, pumps=2 if "two" in options else 1) as plane:
        with socket.socket(socket.AF_INET6 if ":" in local else socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.bind((local, PORT))
            keys = LinkKeys(SECRETS[side], SECRETS[1 - side])
            await plane.add_link(1, UdpTransport(link, (remote, PORT)), keys)
        await plane.set_peer(1, (ip_interface(peer4), ip_interface(peer6)))
        print("ready", plane.tap, flush=True)
        shown = asyncio.create_task(show(plane))
        await asyncio.to_thread(sys.stdin.read)
        if not shown.done():
            print((await plane.statistics())[1], flush=True)
        shown.cancel()


asyncio.run(main())
