from __future__ import annotations

import sys
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.nat.addresses import Interface
from tincan.nat.portmap.routes import MAX_ROUTERS, default_gateways, routers

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
TABLE = (
    HEAD
    + "wlan0\t00000000\t0100A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n"
    + "eth0\t00000000\t0101000A\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
    + "eth0\t0001000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
    + "tun0\t00000000\t0102000A\t0002\t0\t0\t50\t00000000\t0\t0\t0\n"  # down
    + "tun1\t00000000\t00000000\t0001\t0\t0\t50\t00000000\t0\t0\t0\n"  # no gateway
    + "tun2\t00000000\t0103000A\t0003\t0\t0\t50\t00000080\t0\t0\t0\n"  # half of the internet
)
HOME = Interface("eth0", IPv4Address("10.0.1.2"), 24)
LOOPBACK = Interface("lo", IPv4Address("127.0.0.1"), 8)


@pytest.mark.skipif(sys.byteorder != "little", reason="the table is written in the machine's order of bytes")
def test_default_gateways_come_in_the_kernels_order() -> None:
    assert default_gateways(TABLE) == [IPv4Address("10.0.1.1"), IPv4Address("192.168.0.1")]


@pytest.mark.parametrize(
    "table", ["", HEAD, HEAD + "\n\n", HEAD + "eth0 zz 1 3 0 0 0 0", HEAD + "eth0 0 1FFFFFFFF 3 0 0 0 0"]
)
def test_no_table_has_no_gateways(table: str) -> None:
    assert default_gateways(table) == []


@given(st.text())
def test_any_text_is_read_without_an_error(text: str) -> None:
    default_gateways(HEAD + text)


def test_a_router_is_on_our_own_network_and_we_have_a_private_address_there() -> None:
    [router] = routers([LOOPBACK, HOME], [IPv4Address("10.0.1.1")])
    assert (router.address, router.local) == ("10.0.1.1", "10.0.1.2")
    assert routers([LOOPBACK, HOME], [IPv4Address("10.0.2.1")]) == []


@pytest.mark.parametrize(
    "interface",
    [
        Interface("eth0", IPv4Address("203.0.113.9"), 24),  # public: nothing to map
        Interface("eth0", IPv4Address("10.0.1.2"), 32),  # a tunnel
        Interface("eth0", IPv4Address("169.254.7.7"), 16),  # no DHCP, so no router
        Interface("eth0", IPv6Address("2001:db8::9"), 64),
        LOOPBACK,
    ],
)
def test_where_no_home_router_can_be_nobody_is_asked(interface: Interface) -> None:
    assert routers([interface], None) == []
    assert routers([interface], [IPv4Address("203.0.113.1"), IPv4Address("10.0.1.1"), IPv4Address("127.0.0.2")]) == []


def test_a_machine_that_is_its_own_gateway_asks_nobody() -> None:
    assert routers([Interface("br0", IPv4Address("10.0.1.1"), 24)], None) == []


def test_without_a_table_the_first_address_of_each_network_is_guessed() -> None:
    other = Interface("wlan0", IPv4Address("192.168.7.20"), 24)
    assert [router.address for router in routers([HOME, LOOPBACK, other], None)] == ["10.0.1.1", "192.168.7.1"]


def test_a_machine_with_many_networks_asks_few() -> None:
    many = [Interface(f"veth{n}", IPv4Address(f"10.{n}.0.2"), 24) for n in range(50)]
    assert len(routers(many, None)) == MAX_ROUTERS


def test_only_the_gateway_is_heard_or_its_network_where_it_is_guessed() -> None:
    [known] = routers([HOME], [IPv4Address("10.0.1.1")])
    assert [known.may_be(source) for source in ("10.0.1.1", "10.0.1.254", "10.0.1.2", "8.8.8.8")] == [
        True,
        False,
        False,
        False,
    ]
    [guessed] = routers([HOME], None)
    assert [guessed.may_be(source) for source in ("10.0.1.1", "10.0.1.254", "10.0.1.2", "8.8.8.8")] == [
        True,
        True,
        False,
        False,
    ]
