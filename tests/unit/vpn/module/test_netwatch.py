"""What counts as a change of the network; and two questions put to the real kernel."""

from __future__ import annotations

import ipaddress

import pytest

from tincan.nat.addresses import Interface
from tincan.vpn.module import netwatch
from tincan.vpn.module.netwatch import default_routes, is_ours, snapshot, usable_interfaces
from tincan.vpn.module.nic import carries, mac

IPV4 = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0000000A\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
tincan0\t00000000\t0100630A\t0003\t0\t0\t0\t00000000\t0\t0\t0
"""

ZERO = "0" * 32
IPV6 = f"""{ZERO} 00 {ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
{ZERO} 00 {ZERO} 00 {ZERO} ffffffff 00000001 00000000 00200200       lo
fd000000000000000000000000000000 40 {ZERO} 00 {ZERO} 00000100 00000001 00000000 00000001     eth0
"""


def test_default_routes_that_are_not_ours_count() -> None:
    routes = default_routes(IPV4, IPV6, ())
    assert routes == {"4 eth0 0100000A 100", "6 eth0 fe800000000000000000000000000001 00000400"}
    assert default_routes(IPV4, IPV6, ("eth0",)) == frozenset()
    assert default_routes(IPV4.replace("0100000A", "0200000A"), IPV6, ()) != routes
    # An address renewed or another use count is no change.
    assert default_routes(IPV4.replace("\t0003\t0\t0", "\t0003\t7\t9"), IPV6, ()) == routes
    assert default_routes("", "", ()) == frozenset()


def test_taps_are_known_by_their_names() -> None:
    assert [is_ours(name) for name in ("tincan0", "tincan12", "tincan", "tincanx", "eth0")] == [True] * 2 + [
        False
    ] * 3


def test_the_kernel_answers() -> None:
    assert carries("lo")
    assert carries("no-such-nic-0")  # not for us to say
    assert mac("lo") is None
    assert mac("no-such-nic-0") is None
    assert any(interface.address.is_loopback for interface in usable_interfaces(()))
    assert not any(interface.name == "lo" for interface in usable_interfaces(("lo",)))
    assert snapshot(()) == snapshot(())


def test_a_carrier_that_the_kernel_tells_of_late(monkeypatch: pytest.MonkeyPatch) -> None:
    lo, eth, pulled = (
        Interface(name, ipaddress.ip_address(text), 24)
        for name, text in (("lo", "127.0.0.1"), ("eth0", "10.0.0.2"), ("eth1", "10.0.1.2"))
    )
    monkeypatch.setattr(netwatch, "interfaces", lambda: [lo, eth, pulled])
    monkeypatch.setattr(netwatch, "carries", lambda name: name in ("lo", "eth0"))
    assert usable_interfaces(()) == (lo, eth)
    monkeypatch.setattr(netwatch, "carries", lambda name: name == "lo")
    assert usable_interfaces(()) == (lo, eth, pulled)  # nothing but loopback would reach nobody
    assert usable_interfaces(("eth1",)) == (lo, eth)
