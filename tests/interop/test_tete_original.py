"""The program tete at the other end, where there is one on the path; skipped elsewhere.

It sends only full buffers of 4096 bytes, so only such are expected of it.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable

import pytest

from lab.cans import TIN_CAN, settings
from lab.netlab import Host, Lab, Process

TETE = shutil.which("tete")
pytestmark = pytest.mark.skipif(TETE is None, reason="the program tete is not here")

BUFFERS = b"".join(b"%08d" % n for n in range(512 * 100))

Hosts = Callable[[Lab], list[tuple[Host, str]]]


def open_hosts(lab: Lab) -> list[tuple[Host, str]]:
    return [(host, host.address) for host in (lab.host(family="ipv4"), lab.host(family="ipv4"))]


def ipv6_hosts(lab: Lab) -> list[tuple[Host, str]]:
    return [(host, host.address6) for host in (lab.host(family="ipv6"), lab.host(family="ipv6"))]


def behind_nats(lab: Lab) -> list[tuple[Host, str]]:
    return [(router.host(), router.address) for router in (lab.nat("port-restricted"), lab.nat("port-restricted"))]


def start(program: list[str], ends: list[tuple[Host, str]], which: int) -> Process:
    (host, mine), (_, peer) = ends[which], ends[1 - which]
    ports = ["-lport", str(5000 + which), "-rport", str(5001 - which)]
    return host.start([*program, "-v", "-myip", mine, "-peerip", peer, *ports], env=settings())


def receive(process: Process, count: int) -> bytes:
    process.wait_line(lambda _: len(process.stdout_bytes) >= count, timeout=120)
    return process.stdout_bytes


@pytest.mark.parametrize("hosts", [open_hosts, ipv6_hosts, behind_nats])
@pytest.mark.parametrize("which", [0, 1], ids=["we are the TLS server", "we are the TLS client"])
@pytest.mark.parametrize("we_leave", [True, False])
def test_bytes_both_ways_and_a_farewell(lab: Lab, hosts: Hosts, which: int, we_leave: bool) -> None:
    ends = hosts(lab)
    ours = start([*TIN_CAN, "tete"], ends, which)
    other = start([str(TETE)], ends, 1 - which)
    for process in (ours, other):
        process.wait_line("Connected to peer!", stream="stderr")
    data = BUFFERS + b"\n"
    ours.write(data)
    assert receive(other, len(data)) == data
    ours.close_stdin()
    lines = (BUFFERS[:4095] + b"\n") * 50
    other.write(lines)
    assert receive(ours, len(lines)) == lines, "the end of our stdin has not ended the connection"
    leaving, staying = (ours, other) if we_leave else (other, ours)
    leaving.signal(signal.SIGINT)
    leaving.wait_line("Closed connection", stream="stderr")
    staying.wait_line("Peer closed connection", stream="stderr")
    assert (leaving.wait(), staying.wait()) == (0, 0)


@pytest.mark.parametrize("which", [0, 1])
def test_it_proves_no_phrase(lab: Lab, which: int) -> None:
    ends = open_hosts(lab)
    ours = start([*TIN_CAN, "tete", "-phrase", "something"], ends, which)
    start([str(TETE)], ends, 1 - which)
    assert ours.wait() == 5, ours.report()
    assert "does not prove the phrase" in ours.stderr
