"""Which addresses a peer may make us send to, and which are ours."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.nat.addresses import Interface, host_addresses, interfaces, on_lan, usable_remote
from unit.cli.programs import run

ACCEPTED = [
    "8.8.8.8",
    "192.168.1.7",
    "10.0.0.1",
    "172.16.5.5",
    "100.64.0.1",
    "169.254.7.7",
    "192.0.2.1",
    "2001:db8::1",
    "2001:4860:4860::8888",
    "fd00::7",
    "2002:c000:201::1",
]
REFUSED = [
    # names, and what only looks like an address
    "",
    "localhost",
    "printer.local",
    "can.example",
    "127.1",
    "0x7f000001",
    "2130706433",
    "0177.0.0.1",
    "127.000.0.1",
    " 127.0.0.1",
    "8.8.8.8 ",
    "8.8.8.8\n",
    "8.8.8.8:53",
    "[2001:db8::1]",
    "8.8.8.8/32",
    "8.8.8.8%eth0",
    "\u0661.\u0661.\u0661.\u0661",
    # unspecified, multicast, broadcast, reserved
    "0.0.0.0",
    "::",
    "224.0.0.251",
    "239.255.255.250",
    "ff02::fb",
    "ff0e::1",
    "255.255.255.255",
    "240.0.0.1",
    "250.1.2.3",
    # IPv4 in disguise
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:7f00:1",
    "::ffff:0.0.0.0",
    # zones
    "fe80::1%eth0",
    "fe80::1%1",
    "2001:db8::1%lo",
    "::1%lo",
]
LOOPBACK = ["127.0.0.1", "127.0.0.53", "127.255.255.254", "::1", "0:0:0:0:0:0:0:1"]


@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize("text", ACCEPTED)
def test_accepted(text: str, loopback: bool) -> None:
    assert usable_remote(text, loopback=loopback)


@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str, loopback: bool) -> None:
    assert not usable_remote(text, loopback=loopback)


@pytest.mark.parametrize("text", LOOPBACK)
def test_loopback_only_where_there_is_nothing_else(text: str) -> None:
    assert usable_remote(text, loopback=True)
    assert not usable_remote(text, loopback=False)


@given(st.text(max_size=50) | st.ip_addresses().map(str))
def test_nothing_is_raised_and_nothing_slips_through(text: str) -> None:
    if usable_remote(text, loopback=False):
        address = ipaddress.ip_address(text)
        assert not any((address.is_loopback, address.is_multicast, address.is_unspecified))


# -- this machine ------------------------------------------------------------------


def interface(text: str) -> Interface:
    whole = ipaddress.ip_interface(text)
    return Interface("eth0", whole.ip, whole.network.prefixlen)


LO = [interface("127.0.0.1/8"), interface("::1/128")]
HOME = [interface("192.168.1.7/24"), interface("2001:db8:1::7/64")]


def test_host_addresses_leave_loopback_out_unless_it_is_all_there_is() -> None:
    assert host_addresses([*LO, *HOME]) == ["192.168.1.7", "2001:db8:1::7"]
    assert host_addresses(LO) == ["127.0.0.1", "::1"]
    assert host_addresses([]) == []


@pytest.mark.parametrize(
    ("remote", "near"),
    [
        ("192.168.1.9", True),
        ("192.168.2.9", True),
        ("10.1.2.3", True),
        ("172.31.255.255", True),
        ("172.32.0.1", False),
        ("169.254.1.1", True),
        ("fd12::1", True),
        ("2001:db8:1::9", True),
        ("2001:db8:2::9", False),
        ("127.0.0.1", True),
        ("::1", True),
        ("8.8.8.8", False),
        ("100.64.0.1", False),
        ("192.0.2.1", False),
        ("2001:4860:4860::8888", False),
    ],
)
def test_on_lan(remote: str, near: bool) -> None:
    assert on_lan(ipaddress.ip_address(remote), HOME) is near


def test_a_public_network_of_ours_is_a_lan() -> None:
    assert on_lan(ipaddress.ip_address("198.51.100.9"), [interface("198.51.100.7/24")])
    assert not on_lan(ipaddress.ip_address("198.51.101.9"), [interface("198.51.100.7/24")])


def test_holds() -> None:
    assert interface("10.1.2.3/8").holds(ipaddress.ip_address("10.200.0.1"))
    assert not interface("10.1.2.3/16").holds(ipaddress.ip_address("10.200.0.1"))
    assert not interface("0.0.0.0/0").holds(ipaddress.ip_address("::1"))
    assert not interface("::/0").holds(ipaddress.ip_address("127.0.0.1"))


def test_the_interfaces_of_this_machine() -> None:
    found = interfaces()
    assert any(i.address.is_loopback for i in found)
    assert not any(i.address.version == 6 and i.address.is_link_local for i in found)
    assert all(i.holds(i.address) for i in found)
    assert host_addresses(found)


def test_the_addresses_of_this_machine_are_found_without_running_anything(tmp_path: Path) -> None:
    look = "from tincan.nat.addresses import interfaces; print(bool(interfaces()))"
    done = run(tmp_path, code=f"import subprocess; subprocess.Popen = None; {look}")
    assert (done.stdout, done.stderr) == ("True\n", "")
