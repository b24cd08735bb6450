"""The laboratory's routers do what their names say (RFC 4787); shown with real packets."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from lab import netlab
from lab.netlab import PATIENCE, Lab
from lab.packets import Observers, assert_nothing, connect, exchange

pytestmark = pytest.mark.skipif(not netlab.root_available(), reason="needs Linux, root, ip and nft")


def test_port_restricted_nat_maps_endpoint_independently(lab: Lab) -> None:
    home = lab.nat("port-restricted")
    with Observers(lab) as seen, home.host("a").socket() as a, home.host("b").socket() as b:
        for sock in (a, b):
            first, second = seen.mapping(sock)
            assert first == second == (home.address, sock.getsockname()[1])


def test_port_restricted_nat_filters_by_address_and_port(lab: Lab) -> None:
    with Observers(lab) as seen, lab.nat("port-restricted").host().socket() as a:
        mapped = exchange(a, seen.where[0], seen.first)
        with seen.hosts[0].socket() as other_port:
            other_port.sendto(b"unsolicited", mapped)
        seen.second.sendto(b"unsolicited", mapped)
        for _ in range(2):
            assert exchange(seen.first, mapped, a) == seen.where[0]
        assert_nothing(a)


def test_two_port_restricted_nats_can_be_punched(lab: Lab) -> None:
    homes = lab.nat("port-restricted"), lab.nat("port-restricted")
    with homes[0].host().socket(port=5000) as a, homes[1].host().socket(port=6000) as b:
        a.sendto(b"lost", (homes[1].address, 6000))
        assert exchange(b, (homes[0].address, 5000), a) == (homes[1].address, 6000)
        assert exchange(a, (homes[1].address, 6000), b) == (homes[0].address, 5000)
        assert_nothing(b)


def test_symmetric_nat(lab: Lab) -> None:
    home = lab.nat("symmetric")
    with Observers(lab) as seen, home.host().socket() as a:
        # A random port is the same as the one before once in 64,512 times.
        mappings = {endpoint for _ in range(3) for endpoint in seen.mapping(a)}
        assert len(mappings) == 2, "one endpoint per destination, and it stays"
        first, second = seen.mapping(a)
        assert first[0] == second[0] == home.address
        seen.second.sendto(b"unsolicited", first)
        for _ in range(2):
            exchange(seen.first, first, a)
        assert_nothing(a)


def test_full_cone_nat(lab: Lab) -> None:
    home = lab.nat("full-cone")
    with Observers(lab) as seen, home.host().socket() as a, home.host().socket() as b:
        mapped_a, mapped_b = (exchange(sock, seen.where[0], seen.first) for sock in (a, b))
        assert exchange(seen.second, mapped_a, a) == seen.where[1], "endpoint-independent filtering"
        assert exchange(seen.second, mapped_b, b) == seen.where[1]
        assert seen.mapping(a) == (mapped_a, mapped_a)


def test_address_restricted_nat(lab: Lab) -> None:
    home = lab.nat("address-restricted")
    with Observers(lab) as seen, home.host().socket() as a:
        mapped = exchange(a, seen.where[0], seen.first)
        seen.second.sendto(b"unsolicited", mapped)
        with seen.hosts[0].socket() as other_port:
            for _ in range(2):
                exchange(other_port, mapped, a)
        assert_nothing(a)


def test_hairpinning(lab: Lab) -> None:
    for home, passes in ((lab.nat(hairpin=True), True), (lab.nat(), False)):
        with Observers(lab) as seen, home.host().socket() as a, home.host().socket() as b:
            mapped_a, mapped_b = seen.mapping(a)[0], seen.mapping(b)[0]
            if passes:
                assert exchange(a, mapped_b, b) == mapped_a
                assert exchange(b, mapped_a, a) == mapped_b
            else:
                a.sendto(b"never", mapped_b)
                exchange(a, (lab.hosts[-1].address, b.getsockname()[1]), b)
                assert_nothing(b)


def test_hairpinning_needs_endpoint_independent_mapping(lab: Lab) -> None:
    with pytest.raises(ValueError, match="mapping"):
        lab.nat("symmetric", hairpin=True)


def test_tcp_passes_outwards_only(lab: Lab) -> None:
    home, server = lab.nat(), lab.host()
    inside = home.host()
    assert connect(inside, server, 80) == home.address
    with server.socket(socket.SOCK_STREAM, timeout=0.3) as sock, pytest.raises(TimeoutError):
        sock.connect((home.address, 80))


def test_tcp_simultaneous_open_through_two_nats(lab: Lab) -> None:
    homes = lab.nat(), lab.nat()
    a, b = (home.host().socket(socket.SOCK_STREAM, port=5000) for home in homes)
    with a, b:
        b.setblocking(False)
        assert b.connect_ex((homes[0].address, 5000)) != 0
        a.connect((homes[1].address, 5000))
        b.settimeout(PATIENCE)
        a.sendall(b"hello")
        assert b.recv(5) == b"hello"


def test_udp_blocked(lab: Lab) -> None:
    home, server = lab.nat(udp_blocked=True), lab.host()
    inside = home.host()
    with server.socket(port=7000) as listener, inside.socket() as sock:
        sock.sendto(b"never", (server.address, 7000))
        assert connect(inside, server, 443) == home.address
        assert_nothing(listener)
        home.block_udp(False)
        exchange(sock, (server.address, 7000), listener)
        home.block_udp()
        sock.sendto(b"never", (server.address, 7000))
        assert connect(inside, server, 443) == home.address
        assert_nothing(listener)


def test_double_nat(lab: Lab) -> None:
    provider = lab.nat("port-restricted")
    home = lab.nat("port-restricted", behind=provider)
    inside = home.host()
    assert ipaddress.ip_address(home.address) in provider.network.prefixes[0]
    with Observers(lab) as seen, inside.socket() as sock:
        first, second = seen.mapping(sock)
        assert first == second == (provider.address, sock.getsockname()[1])
    assert connect(inside, lab.hosts[-1], 80) == provider.address


def test_two_homes_with_the_same_private_network(lab: Lab) -> None:
    homes = [lab.nat(inside="10.9.9.0/24") for _ in range(2)]
    inside = [home.host() for home in homes]
    assert inside[0].address == inside[1].address
    with Observers(lab) as seen, inside[0].socket() as a, inside[1].socket() as b:
        assert seen.mapping(a)[0][0] == homes[0].address
        assert seen.mapping(b)[0][0] == homes[1].address
