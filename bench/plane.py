"""One end of a data plane with fixed keys, for `bench.net`: what the packet path does by itself."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from ipaddress import ip_interface

from tincan.vpn.path.driver import open_plane
from tincan.vpn.path.plane import LinkKeys, Mode, PlaneSettings, UdpTransport

PORT = 7000
SECRETS = [bytes([n]) * 32 for n in (1, 2)]


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("side", type=int)
    parser.add_argument("local")
    parser.add_argument("remote")
    parser.add_argument("own")
    parser.add_argument("peer")
    parser.add_argument("--mode", default="ip")
    options = parser.parse_args()
    settings = PlaneSettings(mode=Mode(options.mode), addresses=(ip_interface(options.own),))
    keys = LinkKeys(SECRETS[options.side], SECRETS[1 - options.side])
    async with open_plane(settings) as plane:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((options.local, PORT))
        await plane.add_link(1, UdpTransport(sock, (options.remote, PORT)), keys)
        await plane.set_peer(1, (ip_interface(options.peer),))
        print("ready", plane.tap, flush=True)

        async def show() -> None:
            async for event in plane.events():
                print(event, file=sys.stderr, flush=True)

        shower = asyncio.create_task(show())
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        print(await plane.statistics(), flush=True)
        shower.cancel()


asyncio.run(main())
