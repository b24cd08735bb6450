"""The range stays clear of the machine's own networks, and every friend has one place in it."""

from __future__ import annotations

import itertools
import struct
import sys
from ipaddress import IPv4Address, IPv4Network

import pytest

from tincan.errors import UsageError
from tincan.vpn.social.ranges import (
    DEFAULT,
    address,
    choose,
    fits,
    free_offset,
    ip6_of,
    offsets,
    own_offset,
    parse_range,
    routed,
)
from unit.vpn.social.people import person


def nets(*texts: str) -> list[IPv4Network]:
    return [IPv4Network(text) for text in texts]


@pytest.mark.parametrize(
    ("used", "chosen"),
    [
        ([], "172.31.0.0/16"),
        (["192.168.1.0/24", "10.0.0.0/8"], "172.31.0.0/16"),
        (["172.31.5.0/24"], "172.30.0.0/16"),
        (["172.31.5.4/32", "172.30.0.0/15"], "172.29.0.0/16"),
        (["172.16.0.0/12"], "100.127.0.0/16"),
        (["172.16.0.0/12", "100.64.0.0/10"], "10.255.0.0/16"),
    ],
)
def test_it_moves_where_the_machine_is_not(used: list[str], chosen: str) -> None:
    assert choose(DEFAULT, nets(*used)) == IPv4Network(chosen)


def test_a_wish_counts_first() -> None:
    assert choose(IPv4Network("10.7.0.0/24"), nets("172.31.0.0/16")) == IPv4Network("10.7.0.0/24")


def test_everything_may_be_taken() -> None:
    with pytest.raises(UsageError, match="--range"):
        choose(DEFAULT, nets("172.16.0.0/12", "100.64.0.0/10", "10.0.0.0/8"))


@pytest.mark.parametrize("text", ["172.31.0.0/16", "10.0.0.0/8", "192.168.7.0/29", "100.64.0.0/10"])
def test_ranges_to_choose(text: str) -> None:
    assert str(parse_range(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "10.0.0.1/16",
        "8.8.8.0/24",
        "127.0.0.0/16",
        "169.254.0.0/16",
        "224.0.0.0/8",
        "0.0.0.0/8",
        "192.0.2.0/24",
        "240.1.0.0/16",
        "255.255.255.0/24",
        "10.0.0.0/30",
        "fd00::/64",
        "0.0.0.0/0",
        "10.0.0.0/7",
        "10.1.2.3",
    ],
)
def test_ranges_not_to_choose(text: str) -> None:
    with pytest.raises(UsageError):
        parse_range(text)


def line(interface: str, target: str, length: int, flags: int = 1) -> str:
    def number(value: int) -> str:
        return f"{struct.unpack('=I', struct.pack('!I', value))[0]:08X}"

    mask = (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF
    return (
        f"{interface}\t{number(int(IPv4Address(target)))}\t00000000\t{flags:04X}\t0\t0\t100\t{number(mask)}\t0\t0\t0"
    )


def test_routes_are_read() -> None:
    table = "\n".join(
        [
            "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT",
            line("eth0", "0.0.0.0", 0, 3),
            line("eth0", "192.168.4.0", 24),
            line("wg0", "0.0.0.0", 1),
            line("wg0", "128.0.0.0", 1),
            line("tincan0", "172.31.0.0", 16),
            line("eth1", "10.9.0.0", 16, 0),
            "nonsense",
            "eth0\tXX\t0\t1\t0\t0\t0\t0",
        ]
    )
    assert routed(table, {"tincan0"}) == nets("192.168.4.0/24")
    assert routed(table) == nets("192.168.4.0/24", "172.31.0.0/16")
    assert routed("") == []


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has such a table")
def test_the_kernels_own_table_is_read() -> None:
    with open("/proc/net/route", encoding="ascii") as file:
        routed(file.read())


def test_addresses_as_ipop_gave_them() -> None:
    assert str(address(DEFAULT, own_offset(DEFAULT))) == "172.31.0.100"
    first = [str(address(DEFAULT, offset)) for offset in itertools.islice(offsets(DEFAULT), 156)]
    assert first[0] == "172.31.0.101"
    assert first[153] == "172.31.0.254"
    assert first[154] == "172.31.1.100"
    assert {len(text) for text in first} == {len("172.31.0.100")}


@pytest.mark.parametrize(
    "text", ["172.31.0.0/16", "10.0.0.0/24", "10.0.0.0/29", "10.0.0.0/20", "10.0.0.0/25", "10.0.0.128/25"]
)
def test_every_place_is_given_once_and_fits(text: str) -> None:
    network = IPv4Network(text)
    found = list(offsets(network))
    assert len(found) == len(set(found)) > min(3, len(found) - 1)
    assert all(fits(network, offset) for offset in found)
    assert not {own_offset(network), 0, network.num_addresses - 1} & set(found)
    assert all(0 < int(network[offset]) % 256 < 255 for offset in found)
    assert len(found) == sum(
        1 for o in range(1, network.num_addresses - 1) if 0 < int(network[o]) % 256 < 255 and o != own_offset(network)
    )


def test_a_full_range_says_so() -> None:
    network = IPv4Network("10.0.0.0/29")
    had: list[int] = []
    for _ in range(5):
        had.append(free_offset(network, had))
    with pytest.raises(UsageError, match="full"):
        free_offset(network, had)


def test_an_identity_has_one_ipv6_address() -> None:
    assert str(ip6_of(person(1).public)).startswith("fd50:dbc:41f2:4a3c:")
    assert ip6_of(person(1).public).packed[8:] == person(1).public.digest[:8]
    assert ip6_of(person(1).public) != ip6_of(person(2).public)
