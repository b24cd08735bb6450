"""What is not let in."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.path.filters import Filter, Verdict
from tincan.vpn.path.headers import ARP, IPV4, IPV6, network_header, parse
from tincan.vpn.path.routes import OWN, Everybody, Routes
from unit.vpn.path import packets as p
from unit.vpn.path.packets import fuzz

PASSED, SPOOFED, FILTERED = Verdict.PASSED, Verdict.SPOOFED, Verdict.FILTERED


def rules(allow_dhcp: bool = False, allow_ra: bool = False) -> Filter:
    """Make a filter where A is ourselves, B the peer of link 1, C that of link 2."""
    routes = Routes()
    for owner, names in ((OWN, (p.A4, p.A6)), (1, (p.B4, p.B6)), (2, (p.C4, p.C6))):
        routes.assign(owner, [(ip_address(name).packed, len(ip_address(name).packed) * 8) for name in names])
    made = Filter(routes, allow_dhcp, allow_ra)
    made.everybody = Everybody([(ip_address(p.A4).packed, 24)])
    return made


def judged(packet: bytes, link: int = 1, **allow: bool) -> Verdict:
    return rules(**allow).packet(link, packet, parse(packet))


def judged_frame(frame: bytes, link: int = 1, **allow: bool) -> Verdict:
    found = network_header(frame)
    assert found is not None
    kind, start = found
    return rules(**allow).frame(link, frame, kind, parse(frame, start) if kind in (IPV4, IPV6) else None)


# -- IP mode


@pytest.mark.parametrize(
    ("packet", "verdict"),
    [
        (p.tcp(p.B4, p.A4), PASSED),
        (p.tcp(p.B6, p.A6), PASSED),
        (p.udp(p.B4, "10.7.0.255"), PASSED),
        (p.udp(p.B4, "239.255.255.250"), PASSED),
        (p.udp(p.B6, "ff02::fb"), PASSED),
        (p.tcp(p.C4, p.A4), SPOOFED),
        (p.tcp(p.A4, p.A4), SPOOFED),
        (p.tcp("127.0.0.1", p.A4), SPOOFED),
        (p.tcp("0.0.0.0", p.A4), SPOOFED),
        (p.tcp("fe80::1", p.A6), SPOOFED),
        (p.tcp(p.B4, p.C4), FILTERED),
        (p.tcp(p.B4, "192.168.1.1"), FILTERED),
        (p.tcp(p.B4, "127.0.0.1"), FILTERED),
        (b"", FILTERED),
        (b"\x45" + bytes(30), FILTERED),
    ],
    ids=range(15),
)
def test_only_the_peer_to_us(packet: bytes, verdict: Verdict) -> None:
    assert judged(packet) is verdict


# -- switch mode


@pytest.mark.parametrize(
    ("frame", "verdict"),
    [
        (p.frame(p.tcp(p.B4, p.A4)), PASSED),
        (p.frame(p.tcp("192.168.7.7", p.A4)), PASSED),  # a LAN behind the peer
        (p.frame(p.udp("0.0.0.0", "255.255.255.255")), PASSED),
        (p.frame(p.tcp(p.C4, p.A4)), SPOOFED),
        (p.frame(p.tcp(p.C6, p.A6)), SPOOFED),
        (p.frame(p.tcp(p.A4, p.B4)), SPOOFED),
        (p.frame(p.tcp(p.C4, p.A4), tags=b"\x81\0\0\x07"), SPOOFED),
        (p.arp(p.MAC_B, p.B4, p.A4), PASSED),
        (p.arp(p.MAC_B, "0.0.0.0", p.A4), PASSED),
        (p.arp(p.MAC_B, p.C4, p.A4), SPOOFED),
        (p.arp(p.MAC_B, p.A4, p.A4), SPOOFED),
        (p.arp(p.MAC_B, p.B4, p.A4, claimed=p.MAC_C), SPOOFED),
        (p.arp(p.MAC_B, p.B4, p.A4)[:30], FILTERED),
        (p.MAC_A + p.MAC_B + b"\x08\0" + bytes(30), FILTERED),
        (p.MAC_A + p.MAC_B + b"\x08\0" + p.tcp(p.B6, p.A6), FILTERED),
        (p.MAC_A + p.MAC_B + b"\x88\xcc" + b"LLDP", PASSED),
        (p.frame(p.icmp6(p.B6, p.A6, 136, bytes(4) + ip_address(p.B6).packed)), PASSED),
        (p.frame(p.icmp6(p.B6, p.A6, 136, bytes(4) + ip_address(p.C6).packed)), SPOOFED),
    ],
    ids=range(18),
)
def test_nobody_is_somebody_else(frame: bytes, verdict: Verdict) -> None:
    assert judged_frame(frame) is verdict


SERVER = p.udp("192.168.7.1", "255.255.255.255", bytes(240), ports=(67, 68))
CLIENT = p.udp("0.0.0.0", "255.255.255.255", bytes(240), ports=(68, 67))
SERVER6 = p.udp("fe80::9", "fe80::1", bytes(40), ports=(547, 546))


@pytest.mark.parametrize("packet", [SERVER, CLIENT, SERVER6])
def test_foreign_dhcp(packet: bytes) -> None:
    frame = p.frame(packet, destination=p.ALL)
    assert judged_frame(frame) is FILTERED
    assert judged_frame(frame, allow_dhcp=True) is PASSED
    assert not rules().outgoing(frame)
    assert rules(allow_dhcp=True).outgoing(frame)
    assert judged_frame(p.frame(packet, tags=b"\x81\0\0\x07")) is FILTERED


def test_ports_of_dhcp_in_other_traffic() -> None:
    assert judged_frame(p.frame(p.udp(p.B4, p.A4, ports=(67, 5000)))) is PASSED


def advertisement(kind: int) -> bytes:
    return p.icmp6("fe80::9", "ff02::1", kind, bytes(12))


@pytest.mark.parametrize("kind", [134, 137])
def test_router_advertisements_and_redirects(kind: int) -> None:
    assert judged_frame(p.frame(advertisement(kind))) is FILTERED
    assert judged_frame(p.frame(advertisement(kind)), allow_ra=True) is PASSED
    assert not rules().outgoing(p.frame(advertisement(kind)))
    assert judged_frame(p.frame(advertisement(133))) is PASSED


def test_advertisements_behind_extension_headers() -> None:
    """RFC 7113: what is hidden behind headers or in fragments."""
    body = advertisement(134)[40:]
    for chain, following in (
        (bytes([58, 0]) + bytes(6), 0),  # hop by hop
        (bytes([60, 0]) + bytes(6) + bytes([58, 1]) + bytes(14), 60),
        (bytes([58, 0]) + struct.pack(">HI", 1, 5), 44),  # the first of several fragments
        (bytes([60, 0]) + struct.pack(">HI", 1, 5) + bytes([58, 0]) + bytes(6), 44),
    ):
        assert judged_frame(p.frame(p.ip("fe80::9", "ff02::1", following, chain + body))) is FILTERED
    cut_short = p.ip("fe80::9", "ff02::1", 44, bytes([60, 0]) + struct.pack(">HI", 1, 5) + bytes([58, 4]) + bytes(6))
    assert judged_frame(p.frame(cut_short)) is FILTERED
    without_type = p.ip("fe80::9", "ff02::1", 44, bytes([58, 0]) + struct.pack(">HI", 1, 5))
    assert judged_frame(p.frame(without_type)) is FILTERED
    endless = bytes([60, 0]) + bytes(6)
    assert judged_frame(p.frame(p.ip("fe80::9", "ff02::1", 60, endless * 12 + body))) is FILTERED


def test_dhcp_in_a_tiny_first_fragment() -> None:
    assert judged_frame(p.frame(p.ip("192.168.7.1", p.A4, 17, b"\0\x43\0\x44", field=0x2000))) is FILTERED


@fuzz
@given(st.binary(min_size=14, max_size=120), st.sampled_from([IPV4, IPV6, ARP, None]))
def test_every_frame_gets_a_verdict(data: bytes, kind: int | None) -> None:
    frame = data[:12] + kind.to_bytes(2, "big") + data[14:] if kind else data
    if network_header(frame) is not None:
        assert judged_frame(frame) in Verdict
        assert rules().outgoing(frame) in (True, False)


@fuzz
@given(st.binary(max_size=120), st.sampled_from([b"\x45", b"\x60", b"\x4f", b""]))
def test_every_packet_gets_a_verdict(data: bytes, first: bytes) -> None:
    assert judged(first + data) in Verdict
