"""The packet path between real kernels: taps, TCP with its offloads, IPv6, frames, narrow and lossy paths."""

from __future__ import annotations

import hashlib
import random
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_interface
from pathlib import Path

import pytest

from lab.netlab import PATIENCE, Host, Lab, Process
from tincan.vpn.path.plane import Mode
from tincan.vpn.path.tap import Tap

END = Path(__file__).parent / "plane_end.py"
WITHIN = PATIENCE
INSIDE = (("10.7.0.1", "fd07::1"), ("10.7.0.2", "fd07::2"))
SIZE = 20_000_000

SINK = """
import hashlib, socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
listening = socket.create_server((sys.argv[1], 7007), family=family)
print("ready", flush=True)
sock, _ = listening.accept()
digest, count = hashlib.sha256(), 0
while data := sock.recv(1 << 16):
    digest.update(data)
    count += len(data)
print(digest.hexdigest(), count, flush=True)
"""
SOURCE = """
import random, socket, sys
sock = socket.create_connection((sys.argv[1], 7007), timeout=60)
sock.sendall(random.Random(7).randbytes(int(sys.argv[2])))
sock.shutdown(socket.SHUT_WR)
sock.recv(1)
"""
ECHO = """
import socket, sys
sock = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[1], 7007))
print("ready", flush=True)
while True:
    data, source = sock.recvfrom(65536)
    sock.sendto(data, source)
"""
ASK = """
import random, socket, sys
host, sizes = sys.argv[1], [int(size) for size in sys.argv[2:]]
sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((host, 7007))
sock.settimeout(0.5)
for size in sizes:
    data = random.Random(size).randbytes(size)
    for _ in range(240):
        try:
            sock.send(data)
            if sock.recv(65536) == data:
                break
        except OSError:
            pass
    else:
        sys.exit(f"{size} bytes did not come back")
"""


@dataclass
class End:
    """A host, its data plane, and its addresses in the virtual network."""

    host: Host
    process: Process
    tap: str
    four: str
    six: str

    def python(self, code: str, *arguments: object) -> Process:
        return self.host.start([sys.executable, "-I", "-c", code, *map(str, arguments)])

    def statistics(self) -> dict[str, int]:
        """End the plane and give its figures."""
        self.process.close_stdin()
        line = self.process.wait_line("LinkStatistics", timeout=WITHIN)
        return {name: int(number) for name, number in re.findall(r"(\w+)=(\d+)\b", line)}


def ends(
    one: Host, other: Host, *options: str, outside: Callable[[Host], str] = lambda host: host.address
) -> list[End]:
    """Start a data plane on both hosts, and wait until they have heard each other."""
    hosts, made = (one, other), []
    for side in range(2):
        peers = [outside(hosts[side]), outside(hosts[1 - side]), *INSIDE[side], *INSIDE[1 - side]]
        process = hosts[side].start([sys.executable, str(END), str(side), *peers, *options])
        made.append((process, side))
    return [
        End(hosts[side], process, process.wait_line("ready", timeout=WITHIN).split()[1], *INSIDE[side])
        for process, side in made
    ]


def transfer(source: End, sink: End, address: str, size: int = SIZE) -> None:
    """Send random bytes over TCP and compare them."""
    receiver = sink.python(SINK, address)
    receiver.wait_line("ready", timeout=WITHIN)
    source.python(SOURCE, address, size)
    digest, count = receiver.read_line(timeout=2 * WITHIN).split()
    assert int(count) == size
    assert digest == hashlib.sha256(random.Random(7).randbytes(size)).hexdigest()


def datagrams(source: End, sink: End, address: str, *sizes: int) -> None:
    """Send datagrams of these sizes and have them back, in fragments where they are larger than the network's."""
    echo = sink.python(ECHO, address)
    echo.wait_line("ready", timeout=WITHIN)
    asking = source.python(ASK, address, *sizes)
    assert asking.wait(2 * WITHIN) == 0, asking.report()
    echo.stop()


@pytest.mark.parametrize("options", [(), ("two",), ("switch",)], ids=["ip", "two pumps", "switch"])
def test_tcp_and_udp_both_ways_in_both_families(lab: Lab, options: tuple[str, ...]) -> None:
    lan = lab.lan()
    one, other = ends(lan.host("one"), lan.host("other"), *options)
    for address in (other.four, other.six):
        transfer(one, other, address)
        datagrams(one, other, address, 0, 1, 1300, 1393, 20_000)
    transfer(other, one, one.six)
    counted = one.statistics()
    assert counted["mtu"] == (1420 if "switch" not in options else 1418)
    assert {counted[name] for name in ("invalid", "replayed", "spoofed")} == {0}
    # Large packets went through whole: far fewer writes than packets, but each segment was a datagram of its own.
    assert counted["packets_out"] > SIZE // 1400


def test_over_ipv6_outside(lab: Lab) -> None:
    lan = lab.lan("ipv6")
    one, other = ends(lan.host("one"), lan.host("other"))
    transfer(one, other, other.four)
    assert other.statistics()["mtu"] == 1420


def test_a_narrow_path_is_found_and_used(lab: Lab) -> None:
    """The path takes 1,350 bytes, and its router tells nobody (a black hole for those who do not probe)."""
    lan = lab.lan()
    hosts = lan.host("one"), lan.host("other")
    for host in hosts:
        rule = (
            "table inet narrow { chain in { type filter hook prerouting priority 0; meta length > 1350 drop; }\n}\n"
        )
        host.namespace.nft(rule)
        # Segments that the card would have cut come whole to the rule, so here they are cut before.
        host.namespace.ip(["link set eth0 gso_max_segs 1 gro_max_size 1500"])
    one, other = ends(*hosts)
    for end in (one, other):
        end.process.wait_line(re.escape("MtuChanged(link=1, mtu=1280)"), timeout=WITHIN)
    for address in (other.four, other.six):
        transfer(one, other, address, 2_000_000)
    datagrams(one, other, other.four, 1200, 1380)
    assert one.statistics()["mtu"] == 1280


def test_two_percent_loss_is_no_collapse(lab: Lab) -> None:
    lan = lab.lan()
    hosts = lan.host("one"), lan.host("other")
    one, other = ends(*hosts)
    transfer(one, other, other.four)
    hosts[1].namespace.nft(
        "table inet lossy { chain in { type filter hook input priority 0; "
        "udp dport 7000 numgen random mod 100 < 2 drop; }\n}\n"
    )
    transfer(one, other, other.four, 2_000_000)


def test_frames_carry_neighbour_discovery_but_no_foreign_dhcp(lab: Lab) -> None:
    lan = lab.lan()
    one, other = ends(lan.host("one"), lan.host("other"), "switch")
    for address in (other.four, other.six):
        done = one.host.run(["ping", "-n", "-c", "3", "-i", "0.1", "-W", "5", address])
        assert " 3 received" in done.stdout, done.stdout
    neighbours = one.host.namespace.ip([f"neigh show dev {one.tap}"])
    assert other.four in neighbours
    assert other.six in neighbours
    # A DHCP server's offer, to everybody, and then something that passes.
    send = (
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1); s.bind(('10.7.0.1', 67))\n"
        "s.sendto(b'offer', ('10.7.0.255', 68)); s.sendto(b'game', ('10.7.0.255', 6868))\n"
    )
    hear = (
        "import socket, select\n"
        "ports = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]\n"
        "[s.bind(('', port)) for s, port in zip(ports, (68, 6868))]; print('ready', flush=True)\n"
        "while True:\n"
        "    for s in select.select(ports, [], [])[0]: print(s.recv(99).decode(), flush=True)\n"
    )
    hearing = other.python(hear)
    hearing.wait_line("ready")
    one.python(send).wait(WITHIN)
    assert hearing.read_line(timeout=WITHIN) == "game"


def test_an_interface_may_go_down_and_up_but_not_away(lab: Lab) -> None:
    lan = lab.lan()
    one, other = ends(lan.host("one"), lan.host("other"))
    one.host.namespace.ip([f"link set {one.tap} down", f"link set {one.tap} up"])
    datagrams(one, other, other.four, 100)
    one.host.namespace.ip([f"link del {one.tap}"])
    said = one.process.wait_line("was deleted", timeout=WITHIN, stream="stderr")
    assert one.tap in said


def test_the_tap_is_set_up_and_changed_and_gone(lab: Lab) -> None:
    host = lab.isolated("one")

    def work() -> list[str]:
        tap = Tap("cantest%d", Mode.IP)
        shown = []
        for mtu, addresses in ((1420, ("10.7.0.1/24", "fd07::1/64")), (1300, ("10.8.0.1/16",))):
            tap.configure(mtu, tuple(map(ip_interface, addresses)), 45)
            shown.append(host.namespace.ip([f"addr show dev {tap.name}"]))
        tap.close()
        return shown

    first, second = host.call(work)
    for part in ("mtu 1420", "inet 10.7.0.1/24 brd 10.7.0.255", "inet6 fd07::1/64", "NOARP", "UP"):
        assert part in first
    assert "fe80" not in first
    assert "mtu 1300" in second
    assert "10.8.0.1/16" in second
    assert "10.7.0.1" not in second
    assert "cantest" not in host.namespace.ip(["link show"])
