"""Real `tin-can tete` through real NATs: both users know two addresses and two ports, and nothing else helps."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from lab import netlab
from lab.bytes_cans import digest
from lab.cans import TIN_CAN, settings
from lab.netlab import Host, Lab, Process

pytestmark = pytest.mark.skipif(not netlab.root_available(), reason="needs Linux, root, ip and nft")

SIZE = 5_000_000
PORTS = 40001, 40002


class TeteCan:
    """One `tin-can tete` process, with its input from a file and its output into one."""

    def __init__(self, host: Host, line: list[str], stdin: Path, stdout: Path) -> None:
        with open(stdin, "rb") as read, open(stdout, "wb") as write:
            self.process = host.start([*TIN_CAN, "tete", *line], env=settings(), stdin=read, stdout=write)
        self.stdout = stdout


def line(mine: str, peer: str, ports: tuple[int, int], *more: str) -> list[str]:
    return ["-myip", mine, "-peerip", peer, "-lport", str(ports[0]), "-rport", str(ports[1]), *more]


def both_ways(tmp_path: Path, hosts: tuple[Host, Host], addresses: tuple[str, str], *more: str) -> None:
    """Send a file each way, and check that both arrive and both ends leave in good order."""
    sources = [tmp_path / f"in{n}" for n in range(2)]
    results = [tmp_path / f"out{n}" for n in range(2)]
    for source in sources:
        source.write_bytes(os.urandom(SIZE))
    cans = [
        TeteCan(hosts[n], line(addresses[n], addresses[1 - n], PORTS[:: 1 - 2 * n], *more), sources[n], results[n])
        for n in range(2)
    ]
    for can in cans:
        assert can.process.wait() == 0, can.process.report()
        assert "Connected to peer!" in can.process.stderr
    assert [digest(path) for path in results] == [digest(path) for path in reversed(sources)]


def test_through_two_port_restricted_nats(lab: Lab, tmp_path: Path) -> None:
    routers = lab.nat("port-restricted"), lab.nat("port-restricted")
    hosts = routers[0].host("alice"), routers[1].host("bob")
    both_ways(tmp_path, hosts, (routers[0].address, routers[1].address))


def test_through_two_nats_with_a_phrase_and_the_roles_the_other_way_round(lab: Lab, tmp_path: Path) -> None:
    routers = lab.nat("port-restricted"), lab.nat("port-restricted")
    hosts = routers[0].host("alice"), routers[1].host("bob")
    both_ways(tmp_path, hosts[::-1], (routers[1].address, routers[0].address), "-phrase", "of the two of us", "-k")


def test_over_ipv6(lab: Lab, tmp_path: Path) -> None:
    hosts = lab.host("alice", family="ipv6"), lab.host("bob", family="ipv6")
    both_ways(tmp_path, hosts, (hosts[0].address6, hosts[1].address6))


def test_behind_the_same_network(lab: Lab, tmp_path: Path) -> None:
    router = lab.nat("port-restricted")
    hosts = router.host("alice"), router.host("bob")
    both_ways(tmp_path, hosts, (hosts[0].address, hosts[1].address))


IMPATIENT = """
import asyncio, ipaddress, sys
from tincan.apps.ends import sink, source
from tincan.apps.tete import TeteSettings
from tincan.apps.tete.session import run_tete
from tincan.errors import TinCanError
mine, peer = map(ipaddress.ip_address, sys.argv[1:3])
tries = int(sys.argv[3])
tell = lambda text: print(text, file=sys.stderr, flush=True)
run = run_tete(
    TeteSettings(mine, peer, keepalive=True), None, source(0), sink(1), tell, tries=tries, pause=0.2, keepalive=1
)
try:
    asyncio.run(run)
except TinCanError as exc:
    sys.exit(exc.exit_code)
"""


def impatient(host: Host, mine: str, peer: str, tries: int) -> Process:
    """Start what `tin-can tete -k` runs, with so many tries, and keepalive after a second in place of ten."""
    return host.start([sys.executable, "-c", IMPATIENT, mine, peer, str(tries)], env=settings())


def test_behind_nats_that_change_the_port_no_connection_comes_about(lab: Lab, tmp_path: Path) -> None:
    routers = lab.nat("symmetric"), lab.nat("port-restricted")
    addresses = routers[0].address, routers[1].address
    cans = [impatient(routers[n].host(), addresses[n], addresses[1 - n], tries=3) for n in range(2)]
    for can in cans:
        assert can.wait() == 6, can.report()


@pytest.mark.parametrize("busy", [False, True])
def test_a_peer_that_died_is_noticed(lab: Lab, busy: bool) -> None:
    """Silence, or bytes that are not acknowledged, end it with 8."""
    alice, bob = lab.host("alice", family="ipv4"), lab.host("bob", family="ipv4")
    can = impatient(alice, alice.address, bob.address, tries=1000)
    other = bob.start([*TIN_CAN, "tete", "-myip", bob.address, "-peerip", alice.address], env=settings())
    for process in (can, other):
        process.wait_line("Connected to peer!", stream="stderr")
    bob.unplug()
    if busy:
        can.write("into the void")
    assert can.wait() == 8, can.report()
    other.signal(signal.SIGKILL)
