from __future__ import annotations

import pytest

from tincan.nat.portmap.mapping import LONGEST_LEASE, SHORTEST_PAUSE, Granted, NoMapping, checked, renewal


@pytest.mark.parametrize("address", ["203.0.113.7", "198.51.100.1", "8.8.8.8", "100.63.255.255", "172.32.0.1"])
def test_a_public_address_is_of_use_and_documentation_ranges_count_as_such(address: str) -> None:
    assert checked(Granted(address, 5000, 900)) == Granted(address, 5000, 900)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "172.16.0.1",
        "192.0.0.2",
        "192.168.1.1",
        "198.18.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "",
        "router.example",
        "2001:db8::1",
        "::ffff:203.0.113.7",
        "203.0.113.07",
        " 203.0.113.7",
        "203.0.113.7\n",
    ],
)
def test_an_address_nobody_can_reach_is_no_mapping(address: str) -> None:
    with pytest.raises(NoMapping):
        checked(Granted(address, 5000, 900))


@pytest.mark.parametrize(("port", "lifetime"), [(0, 900), (65536, 900), (-1, 900), (5000, 0), (5000, -5)])
def test_a_mapping_without_port_or_time_is_none(port: int, lifetime: int) -> None:
    with pytest.raises(NoMapping):
        checked(Granted("203.0.113.7", port, lifetime))


def test_a_lease_is_two_hours_at_most() -> None:
    assert checked(Granted("203.0.113.7", 5000, 2**32 - 1)).lifetime == LONGEST_LEASE


def test_a_lease_is_renewed_at_half_but_not_all_the_time() -> None:
    assert renewal(900) == 450
    assert renewal(1) == renewal(-5) == SHORTEST_PAUSE
