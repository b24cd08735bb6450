"""Two real cans across real NATs: messages flow both ways, and which path they take."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.cans import SECRET, Can, Town, checked_pairs, converse, hang_up, meet
from lab.netlab import Family, Host, Lab

Pair = Callable[[Lab], tuple[Host, Host]]


def same_nat(lab: Lab) -> tuple[Host, Host]:
    router = lab.nat("port-restricted")
    return router.host("alice"), router.host("bob")


def nats(first: str, second: str) -> Pair:
    def make(lab: Lab) -> tuple[Host, Host]:
        return lab.nat(first).host("alice"), lab.nat(second).host("bob")  # type: ignore[arg-type]

    return make


def open_to_nat(lab: Lab) -> tuple[Host, Host]:
    return lab.host("alice"), lab.nat("port-restricted").host("bob")


def double_nat(lab: Lab) -> tuple[Host, Host]:
    outer = lab.nat("port-restricted")
    return lab.nat("port-restricted", behind=outer).host("alice"), lab.nat("port-restricted").host("bob")


@pytest.mark.parametrize(
    ("pair", "path"),
    [
        pytest.param(open_to_nat, "direct-udp", id="open to port-restricted"),
        pytest.param(nats("port-restricted", "port-restricted"), "direct-udp", id="port-restricted both"),
        pytest.param(nats("full-cone", "port-restricted"), "direct-udp", id="full-cone to port-restricted"),
        pytest.param(nats("full-cone", "symmetric"), "direct-udp", id="full-cone to symmetric"),
        pytest.param(nats("address-restricted", "symmetric"), "direct-udp", id="address-restricted to symmetric"),
        pytest.param(nats("port-restricted", "symmetric"), "relayed", id="port-restricted to symmetric"),
        pytest.param(nats("symmetric", "port-restricted"), "relayed", id="symmetric to port-restricted"),
        pytest.param(nats("symmetric", "symmetric"), "relayed", id="symmetric both"),
        pytest.param(double_nat, "direct-udp", id="double NAT"),
        pytest.param(same_nat, "lan", id="behind one NAT"),
    ],
)
def test_path(lab: Lab, pair: Pair, path: str) -> None:
    town = Town(lab)
    alice, bob = pair(lab)
    a, b = meet(alice, bob, *town.options(transport="udp"))
    assert converse(a, b) == (path, path)
    hang_up(a, b)


# -- no server at all ---------------------------------------------------------------


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_one_lan_without_any_server(lab: Lab, family: Family) -> None:
    lan = lab.lan(family)
    a, b = meet(lan.host("alice", family=family), lan.host("bob", family=family))
    assert converse(a, b) == ("lan", "lan")
    hang_up(a, b)
    assert "refuses multicast" not in a.error + b.error


def test_one_machine_with_nothing_but_loopback(lab: Lab) -> None:
    host = lab.isolated()
    a, b = meet(host, host)
    assert converse(a, b) == ("lan", "lan")
    hang_up(a, b)
    for can in (a, b):
        assert ("refuses multicast" in can.error) is not host.call(multicast_works), can.error


def multicast_works() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        try:
            sock.sendto(b"", ("224.0.0.251", 5353))
        except OSError:
            return False
        return True


def test_whoever_taps_first_waits_too(lab: Lab) -> None:
    """On a LAN and at a switchboard at once."""
    town, lan = Town(lab), lab.lan()
    near, far = (lan.host("anna"), lan.host("ben")), town.hosts
    pairs = []
    for (attaching, tapping), options in ((near, []), (far, [*town.options(), "--no-lan"])):
        b = Can(tapping, "tap", SECRET, *options)
        b.event("waiting")
        pairs.append((attaching, options, b))
    for (attaching, options, b), path in zip(pairs, ("lan", "direct-udp"), strict=True):
        b.process.wait_line("Looking for the other can", stream="stderr")
        a = Can(attaching, "attach-string", SECRET, *options)
        assert converse(a, b) == (path, path)
        hang_up(a, b)


def test_two_open_hosts_with_ipv6_alone(lab: Lab) -> None:
    town = Town(lab, family="ipv6")
    a, b = meet(lab.host("alice", family="ipv6"), lab.host("bob", family="ipv6"), *town.options())
    assert converse(a, b) == ("direct-udp", "direct-udp")
    hang_up(a, b)


# -- relayed ------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["tcp", "tls"])
@pytest.mark.parametrize("both", [False, True], ids=["blocked on one side", "blocked on both sides"])
def test_where_udp_is_blocked_it_is_relayed(lab: Lab, both: bool, transport: str) -> None:
    town = Town(lab, tls=transport == "tls")
    alice, bob = lab.nat(udp_blocked=True).host("alice"), lab.nat(udp_blocked=both).host("bob")
    trusted = {"SSL_CERT_FILE": str(town.turn.certificate)} if transport == "tls" else {}
    a, b = meet(alice, bob, *town.options(transport=transport), env=trusted)
    assert converse(a, b) == ("relayed", "relayed")
    hang_up(a, b)


@pytest.mark.parametrize("both", [True, False], ids=["both", "the one that attaches"])
def test_relay_only(lab: Lab, both: bool, tmp_path: Path) -> None:
    """The two routers never exchange a packet, although they could."""
    town = Town(lab)
    alice, bob = town.hosts
    direct = lab.internet.count_between(*(router.address for router in town.routers))
    log = tmp_path / "bob.log"
    only = ("--relay-only",)
    watched = (*(only if both else ()), "-vv", "--log-file", str(log))
    a, b = meet(alice, bob, *town.options(transport="udp"), only_attached=only, only_tapping=watched)
    assert converse(a, b) == ("relayed", "relayed")
    hang_up(a, b)
    # Nothing but the relay was ever known to the other one.
    assert {peer for _, peer in checked_pairs(log)} == {town.turn.address}
    assert direct() == 0


def test_packets_of_a_direct_path_are_counted(lab: Lab) -> None:
    """Shows that the count in `test_relay_only` would have seen them."""
    town = Town(lab)
    alice, bob = town.hosts
    direct = lab.internet.count_between(*(router.address for router in town.routers))
    a, b = meet(alice, bob, *town.options(transport="udp"))
    assert converse(a, b) == ("direct-udp", "direct-udp")
    hang_up(a, b)
    assert direct() > 0


def test_turn_is_offered_by_the_switchboard(lab: Lab) -> None:
    town = Town(lab, offer_turn=True)
    alice, bob = lab.nat("symmetric").host("alice"), lab.nat("symmetric").host("bob")
    a, b = meet(alice, bob, *town.options())
    assert converse(a, b) == ("relayed", "relayed")
    hang_up(a, b)


def test_a_direct_path_is_preferred_to_a_quicker_relay(lab: Lab, tmp_path: Path) -> None:
    """A fifth of a second to and fro directly; to the relay, each can has a line of its own without delay."""
    town = Town(lab)
    hosts = []
    for name in ("alice", "bob"):
        host, short_cut = lab.host(name, delay=0.05), lab.lan()
        town.server.join(short_cut)
        host.join(short_cut)
        host.namespace.ip([f"route add {town.server.address}/32 via {town.server.addresses[-1]}"])
        hosts.append(host)
    log = tmp_path / "bob.log"
    watched = ("-vv", "--log-file", str(log))
    a, b = meet(*hosts, *town.options(transport="udp"), only_tapping=watched)
    assert converse(a, b) == ("direct-udp", "direct-udp")
    hang_up(a, b)
    assert any(town.turn.address in pair for pair in checked_pairs(log))  # the relay was there
