"""Routes, the MAC table, the token bucket, and packets that wait."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Interface, IPv6Network, ip_address, ip_interface, ip_network

from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.path import waiting
from tincan.vpn.path.routes import OWN, Everybody, Routes, masked, prefix
from tincan.vpn.path.switch import AGE, STATIONS, TELL_EVERY, Bucket, Lesson, MacTable, group
from tincan.vpn.path.waiting import Waiting
from unit.vpn.path import packets as p
from unit.vpn.path.packets import fuzz


def packed(text: str) -> bytes:
    return ip_address(text).packed


def test_the_longest_prefix_wins() -> None:
    routes = Routes()
    routes.assign(1, [prefix(ip_network("10.0.0.0/8"))])
    routes.assign(2, [prefix(ip_network("10.7.0.0/16")), prefix(ip_interface("fd00::5/64"))])
    routes.assign(3, [prefix(ip_interface("10.7.0.9/24"))])
    owners = {
        text: routes.owner(packed(text)) for text in ("10.1.1.1", "10.7.1.1", "10.7.0.9", "11.0.0.1", "fd00::5")
    }
    assert owners == {"10.1.1.1": 1, "10.7.1.1": 2, "10.7.0.9": 3, "11.0.0.1": None, "fd00::5": 2}
    assert routes.owner(packed("fd00::6")) is None
    routes.assign(3, ())
    assert routes.owner(packed("10.7.0.9")) == 2
    assert routes.owners() == {1, 2}


def test_an_address_is_taken_over() -> None:
    routes = Routes()
    routes.assign(1, [prefix(ip_interface("10.7.0.2"))])
    routes.assign(2, [prefix(ip_interface("10.7.0.2"))])
    assert routes.owner(packed("10.7.0.2")) == 2
    routes.assign(2, ())
    assert routes.owner(packed("10.7.0.2")) is None


@fuzz
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.ip_addresses(v=4, network="10.0.0.0/28"), st.integers(26, 32)), max_size=8
    ),
    st.ip_addresses(v=4, network="10.0.0.0/27"),
)
def test_routes_against_ipaddress(entries: list[tuple[int, object, int]], wanted: object) -> None:
    routes = Routes()
    known: dict[IPv4Network, int] = {}
    for owner, address, bits in entries:
        network = IPv4Network((int(address), bits), strict=False)  # type: ignore[call-overload]
        known = {n: o for n, o in known.items() if o != owner} | {network: owner}
        routes.assign(owner, [prefix(network)])
    fitting = [network for network in known if wanted in network]
    expected = known[max(fitting, key=lambda network: network.prefixlen)] if fitting else None
    assert routes.owner(wanted.packed) == expected  # type: ignore[attr-defined]


def test_remembered_answers_do_not_pile_up_or_get_stale() -> None:
    routes = Routes()
    routes.assign(1, [prefix(IPv6Network("fd00::/16"))])
    for number in range(10_000):
        assert routes.owner(packed("fd00::")[:8] + number.to_bytes(8, "big")) == 1
    routes.assign(1, [prefix(IPv6Interface("fd01::1"))])
    assert routes.owner(packed("fd00::")) is None


def test_masked() -> None:
    assert masked(packed("10.7.255.255"), 12) == packed("10.0.0.0")
    assert masked(packed("10.7.255.255"), 0) == bytes(4)


def test_everybody() -> None:
    everybody = Everybody([prefix_of("10.7.0.1/24"), prefix_of("fd00::1/64"), prefix_of("10.8.0.1/31")])
    for text in ("224.0.0.1", "239.255.255.250", "255.255.255.255", "10.7.0.255", "ff02::1"):
        assert packed(text) in everybody
    for text in ("10.7.0.1", "10.8.0.1", "240.0.0.1", "fd00::1"):
        assert packed(text) not in everybody


def prefix_of(text: str) -> tuple[bytes, int]:
    interface = ip_interface(text)
    return interface.packed, interface.network.prefixlen


# -- the switch


def test_stations_are_learned_and_forgotten() -> None:
    table = MacTable()
    assert table.learn(p.MAC_A, 1, 0.0) is Lesson.NEWS
    assert table.learn(p.MAC_A, 1, 1.0) is Lesson.KNOWN
    assert table.find(p.MAC_A, 1.0) == 1
    assert table.find(p.MAC_A, 1.0 + AGE) is None
    assert table.find(p.MAC_B, 1.0) is None
    table.forget(1)
    assert table.find(p.MAC_A, 1.0) is None
    assert table.learn(p.MAC_A, 2, 1.0) is Lesson.NEWS


def test_who_speaks_is_told_of_again() -> None:
    table = MacTable()
    lessons = [table.learn(p.MAC_A, 1, TELL_EVERY / 4 * n) for n in range(9)]
    assert [n for n, lesson in enumerate(lessons) if lesson is Lesson.NEWS] == [0, 4, 8]


def test_nobody_takes_anothers_address_before_it_is_old() -> None:
    table = MacTable()
    table.learn(p.MAC_A, 1, 0.0)
    table.learn(p.MAC_A, 1, 200.0)
    assert table.learn(p.MAC_A, 2, 200.0 + AGE - 1) is Lesson.FAKE
    assert table.find(p.MAC_A, 200.0) == 1
    assert table.learn(p.MAC_A, 2, 200.0 + AGE) is Lesson.NEWS
    table.learn(p.MAC_B, OWN, 0.0)
    assert table.learn(p.MAC_B, 1, 1.0) is Lesson.FAKE


def test_a_link_does_not_fill_the_table() -> None:
    table = MacTable()
    table.learn(p.MAC_A, 2, 0.0)
    macs = [(0x020000000000 + n).to_bytes(6, "big") for n in range(100, 100 + 2 * STATIONS)]
    for n, mac in enumerate(macs):
        table.learn(mac, 1, n / 1000)
    found = [mac for mac in macs if table.find(mac, 1.0) == 1]
    assert found == macs[-STATIONS:]
    assert table.find(p.MAC_A, 1.0) == 2


def test_a_bucket() -> None:
    bucket = Bucket(10, 3)
    assert [bucket.take(100.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert [bucket.take(100.15), bucket.take(100.15)] == [True, False]
    assert not bucket.take(50.0)  # a clock that runs backwards gives nothing
    assert [bucket.take(1000.0) for _ in range(5)] == [True] * 3 + [False] * 2


def test_groups() -> None:
    assert group(p.ALL)
    assert group(bytes.fromhex("333300000001"))
    assert not group(p.MAC_A)


# -- packets that wait


def test_the_first_packets_wait_a_while() -> None:
    kept = Waiting()
    assert kept.add(b"dest", b"1", 0.0)
    assert not kept.add(b"dest", b"2", 0.5)
    assert kept.add(b"dest", b"3", 1.5)
    assert kept.destinations() == [b"dest"]
    assert kept.take(b"dest", waiting.SECONDS + 0.1) == [b"2", b"3"]
    assert kept.take(b"dest", 2.0) == []


def test_what_waits_is_bounded() -> None:
    kept = Waiting()
    for n in range(1000):
        kept.add(n.to_bytes(4, "big"), b"x", 0.0)
        kept.add(b"many", b"x", 0.0)
    assert len(kept.destinations()) <= waiting.DESTINATIONS
    assert len(kept.take(b"many", 0.0)) <= waiting.PACKETS
