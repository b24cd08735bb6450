"""Limits per address, in virtual time."""

from __future__ import annotations

import pytest

from tincan.switchboard.limits import Bucket, Limiter, RateLimits, address_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", "unknown"),
        ("evil\n", "unknown"),
    ],
)
def test_address_key(address: str, key: str) -> None:
    assert address_key(address) == key


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate=2, burst=3, tokens=3, updated=10)
    assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
    assert [bucket.take(10.5), bucket.take(10.5)] == [True, False]
    assert not bucket.take(10.25)  # a time read earlier gives nothing, and takes nothing
    assert [bucket.take(11), bucket.take(11)] == [True, False]
    assert [bucket.take(100) for _ in range(4)] == [True, True, True, False]


def test_an_office_behind_one_nat_can_work() -> None:
    """Thirty people at once, and then one meeting a second from one address."""
    limiter = Limiter(RateLimits())
    assert all(limiter.connect("nat", 0) and limiter.allow_open("nat", 0) for _ in range(30))
    for _ in range(30):
        limiter.disconnect("nat")
    assert all(limiter.allow_open("nat", second) for second in range(1, 600))


def test_a_flood_is_stopped_and_others_do_not_notice() -> None:
    limiter = Limiter(RateLimits())
    assert sum(limiter.allow_open("flood", 0) for _ in range(1000)) == 30
    assert sum(limiter.allow_frame("flood", 0) for _ in range(1000)) == 200
    assert sum(limiter.connect("flood", 0) for _ in range(1000)) == 64
    assert sum(limiter.enter_socket("flood", 0) for _ in range(1000)) == 128
    assert limiter.allow_open("quiet", 0)
    assert limiter.allow_frame("quiet", 0)
    assert limiter.connect("quiet", 0)
    assert limiter.enter_socket("quiet", 0)


def test_places_that_are_given_back_can_be_taken_again() -> None:
    limiter = Limiter(RateLimits(connections=1, sockets=1))
    for _ in range(3):
        assert limiter.connect("a", 0)
        assert not limiter.connect("a", 0)
        limiter.disconnect("a")
        assert limiter.enter_socket("a", 0)
        assert not limiter.enter_socket("a", 0)
        limiter.leave_socket("a")


def test_new_sockets_are_limited_even_if_they_close_at_once() -> None:
    limiter = Limiter(RateLimits(sockets_per_second=1, sockets_burst=2))

    def come_and_go(now: float) -> bool:
        allowed = limiter.enter_socket("a", now)
        if allowed:
            limiter.leave_socket("a")
        return allowed

    assert [come_and_go(0) for _ in range(3)] == [True, True, False]
    assert come_and_go(1)


def test_the_number_of_remembered_addresses_is_bounded() -> None:
    limiter = Limiter(RateLimits(addresses=100))
    for number in range(10_000):
        assert limiter.allow_open(f"a{number}", number * 0.001)
        assert len(limiter) <= 100


def test_quiet_addresses_are_forgotten_once_it_makes_no_difference() -> None:
    limiter = Limiter(RateLimits())
    for number in range(10):
        limiter.allow_open(f"a{number}", 0)
    limiter.allow_open("b", 29.9)
    assert len(limiter) == 11
    limiter.allow_open("c", 30)
    assert len(limiter) == 2


def test_an_address_with_a_connection_is_not_forgotten() -> None:
    limiter = Limiter(RateLimits(addresses=2, connections=1))
    assert limiter.connect("a", 0)
    for number in range(100):
        assert limiter.allow_open(f"b{number}", number)
    assert not limiter.connect("a", 1000)
    limiter.disconnect("a")
    assert limiter.connect("a", 1000)


def test_when_everybody_remembered_is_connected_nobody_new_gets_in() -> None:
    limiter = Limiter(RateLimits(addresses=2))
    assert limiter.connect("a", 0)
    assert limiter.connect("b", 0)
    assert not limiter.connect("c", 0)
    assert not limiter.allow_frame("c", 0)
    limiter.disconnect("a")
    assert limiter.connect("c", 0)
