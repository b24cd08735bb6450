"""Programs that people use on a network, for members of one."""

from __future__ import annotations

import random
import socket
import struct
import sys
import time
from collections.abc import Sequence

from lab.networks import WITHIN, Member

GAME = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
sock.bind(("", 27960))
print("ready", flush=True)
while True:
    data, sender = sock.recvfrom(1500)
    if data == b"getinfo":
        sock.sendto(b"infoResponse " + sys.argv[1].encode(), sender)
"""
"""A game's server, which answers whoever asks the whole network for servers."""


def discover(seeker: Member, servers: Sequence[Member]) -> set[str]:
    """Broadcast for game servers; return the names of those that answer."""
    for server in servers:
        server.host.start([sys.executable, "-I", "-c", GAME, server.host.name]).wait_line("ready", timeout=WITHIN)
    return seeker.host.call(_ask_all, seeker.tap, len(servers))


def _ask_all(tap: str, count: int) -> set[str]:
    found: set[str] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
        sock.settimeout(1)
        deadline = time.monotonic() + WITHIN
        while len(found) < count and time.monotonic() < deadline:
            sock.sendto(b"getinfo", ("255.255.255.255", 27960))
            try:
                while len(found) < count:
                    found.add(sock.recv(1500).decode().removeprefix("infoResponse "))
            except TimeoutError:
                pass
    return found


def gets_lease(server: Member, client: Member, within: float) -> bool:
    """Whether a DHCPDISCOVER of one member reaches dnsmasq on another one, and the offer comes back."""
    base = server.address.rpartition(".")[0]
    argv = [
        "dnsmasq",
        "--no-daemon",
        "--port=0",
        "--conf-file=/dev/null",
        f"--interface={server.tap}",
        "--bind-interfaces",
        f"--dhcp-range={base}.200,{base}.220,1h",
        f"--dhcp-leasefile={server.data}/leases-{client.host.name}",
        "--dhcp-authoritative",
        "--no-ping",
        "--user=root",
        "--pid-file=",
    ]
    with server.serving(*argv) as process:
        process.wait_line("started", timeout=WITHIN, stream="stderr")
        return client.host.call(_discover, client.tap, within)


def _discover(tap: str, within: float) -> bool:
    """Broadcast DHCPDISCOVER (RFC 2131) and wait for an offer."""
    number = random.randbytes(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tap.encode())
        sock.bind(("", 68))
        sock.settimeout(0.5)
        message = struct.pack("!4B4sHH16x16s192x", 1, 1, 6, 0, number, 0, 0x8000, b"\x02\0\0\0\0\x77")
        message += b"\x63\x82\x53\x63" + b"\x35\x01\x01" + b"\x37\x01\x01" + b"\xff"
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            sock.sendto(message.ljust(300, b"\0"), ("255.255.255.255", 67))
            try:
                answer = sock.recv(1500)
            except TimeoutError:
                continue
            if answer[:1] == b"\x02" and answer[4:8] == number and b"\x35\x01\x02" in answer[240:]:
                return True
    return False


def ask_dns(member: Member, name: str) -> str | None:
    """Ask the name server at a member's own address for an A record (RFC 1035)."""
    return member.host.call(_ask_dns, member.address, name)


def _ask_dns(server: str, name: str) -> str | None:
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(WITHIN)
        sock.sendto(struct.pack("!6H", 7, 0x0100, 1, 0, 0, 0) + question, (server, 53))
        answer = sock.recv(1500)
    return socket.inet_ntoa(answer[-4:]) if struct.unpack_from("!H", answer, 6)[0] else None
