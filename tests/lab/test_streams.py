"""Two real `tin-can pipe` across real NATs: which way the bytes go, and that they are the right ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import miniupnpd
from lab.bytes_cans import ByteCan, digest
from lab.cans import SECRET, Town
from lab.miniupnpd import know_the_way, start_miniupnpd
from lab.netlab import Host, Lab

SIZE = 12_000_000
Pair = Callable[[Lab], tuple[Host, Host]]


def two_nats(lab: Lab) -> tuple[Host, Host]:
    return lab.nat("port-restricted").host("alice"), lab.nat("port-restricted").host("bob")


def one_nat(lab: Lab) -> tuple[Host, Host]:
    router = lab.nat("port-restricted")
    return router.host("alice"), router.host("bob")


def open_to_nat(lab: Lab) -> tuple[Host, Host]:
    return lab.host("alice", family="ipv4"), lab.nat("port-restricted").host("bob")


def symmetric(lab: Lab) -> tuple[Host, Host]:
    return lab.nat("symmetric").host("alice"), lab.nat("port-restricted").host("bob")


def tcp_blocked(lab: Lab) -> tuple[Host, Host]:
    routers = lab.nat("port-restricted"), lab.nat("port-restricted")
    for router in routers:
        router.block_tcp(except_to="203.0.113.5")
    return routers[0].host("alice"), routers[1].host("bob")


def random_file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size))
    return path


def both_ways(tmp_path: Path, alice: Host, bob: Host, *options: str, size: int = SIZE) -> list[tuple[bool, str]]:
    """Send a file each way, check them, and return how each side says that its bytes went in the end."""
    sources = [random_file(tmp_path / f"in{n}", size) for n in range(2)]
    results = [tmp_path / f"out{n}" for n in range(2)]
    a = ByteCan(alice, "pipe", SECRET, *options, stdin=sources[0], stdout=results[0])
    a.event("waiting")
    b = ByteCan(bob, "pipe", SECRET, *options, stdin=sources[1], stdout=results[1])
    assert (a.wait(), b.wait()) == (0, 0), a.process.report() + b.process.report()
    assert [digest(p) for p in results] == [digest(p) for p in reversed(sources)]
    for can in (a, b):
        assert can.event("piped") == {"event": "piped", "sent": size, "received": size}
    return [(told["tcp"], told["path"]) for can in (a, b) for told in can.events("stream")[-1:]]


@pytest.mark.parametrize(
    ("pair", "tcp", "path"),
    [
        pytest.param(two_nats, True, "direct-tcp", id="between port-restricted NATs"),
        pytest.param(open_to_nat, True, "direct-tcp", id="open to port-restricted"),
        pytest.param(one_nat, True, "lan", id="behind one NAT"),
    ],
)
def test_bytes_go_by_punched_tcp(lab: Lab, tmp_path: Path, pair: Pair, tcp: bool, path: str) -> None:
    town = Town(lab)
    assert both_ways(tmp_path, *pair(lab), *town.options()) == [(tcp, path)] * 2


def test_bytes_go_by_tcp_over_ipv6(lab: Lab, tmp_path: Path) -> None:
    town = Town(lab, family="ipv6")
    hosts = lab.host("alice", family="ipv6"), lab.host("bob", family="ipv6")
    assert both_ways(tmp_path, *hosts, *town.options()) == [(True, "direct-tcp")] * 2


@pytest.mark.parametrize(
    ("pair", "path"),
    [
        pytest.param(symmetric, "relayed", id="a symmetric NAT"),
        pytest.param(tcp_blocked, "direct-udp", id="TCP blocked"),
    ],
)
def test_bytes_fall_back_to_the_data_channel(lab: Lab, tmp_path: Path, pair: Pair, path: str) -> None:
    town = Town(lab)
    told = both_ways(tmp_path, *pair(lab), *town.options(transport="udp"))
    assert told, "it took long enough that the user hears of it"
    assert set(told) == {(False, path)}


@pytest.mark.skipif(not miniupnpd.installed(), reason="needs miniupnpd (package miniupnpd-nftables)")
def test_a_port_mapping_lets_bytes_through_a_nat_that_cannot_be_punched(lab: Lab, tmp_path: Path) -> None:
    town = Town(lab)
    home = lab.nat("symmetric")
    bob = lab.host("bob", family="ipv4")
    # Who is behind this NAT cannot connect by TCP to anybody but the server, so it must be connected to.
    home.block_tcp(except_to="203.0.113.5")
    start_miniupnpd(home, {"pcp"})
    know_the_way(bob, home)
    told = both_ways(tmp_path, home.host("alice"), bob, *town.options(transport="udp"))
    assert (True, "direct-tcp") in told
