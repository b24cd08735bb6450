"""A controller of `ipop_controllers` as a program: its two sockets, and its loop.

    python -m interop.ipop_replay KIND PORT '{"ip4": ...}'

As the originals do, it calls from one socket that is bound to every address, and has a second one on loopback for
echoes. Each control message that comes is a line of JSON on stdout, and so is who is online after a change. A line on
stdin is a datagram to send, as hex without the version.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from typing import Any

from interop.ipop_controllers import Controller, GroupVpn14, GroupVpn16, SocialVpn14, SocialVpn16

KINDS: dict[str, Any] = {
    "group14": GroupVpn14,
    "group16": GroupVpn16,
    "social14": SocialVpn14,
    "social16": SocialVpn16,
}


def main(kind: str, port: int, options: dict[str, Any]) -> None:
    controller: Controller = KINDS[kind](**options)
    calls = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    calls.bind(("", 0))
    service = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    service.bind(("::1", port + 1))

    def send(datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            calls.sendto(datagram, ("::1", port))

    shown: set[str] = set()
    send(controller.start(time.monotonic()))
    while True:
        ready, _, _ = select.select([calls, service, sys.stdin], [], [], 0.1)
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            send([bytes([controller.version]) + bytes.fromhex(line)])
        for sock in ready:
            if sock is not sys.stdin:
                data, _ = sock.recvfrom(65507)
                send(controller.receive(data, time.monotonic()))
                say(json.loads(data[2:]) if data[1] == 1 else {"kind": data[1], "size": len(data)})
        send(controller.tick(time.monotonic()))  # type: ignore[attr-defined]
        if controller.online() != shown:
            shown = controller.online()
            say({"online": sorted(shown)})


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))
