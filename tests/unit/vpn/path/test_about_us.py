"""An error of ICMP is let in only if it is about a packet that we sent to the one who sends it."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest

from tincan.vpn.path.filters import Verdict
from tincan.vpn.path.headers import checksum
from tincan.vpn.path.incoming import Incoming
from tincan.vpn.path.plane import Cipher
from tincan.vpn.path.wire import WHOLE, Sealer
from unit.vpn.path import packets as p
from unit.vpn.path.test_filters import judged


def error(kind: int, about: bytes, *, six: bool) -> bytes:
    body = bytes([kind, 0, 0, 0]) + b"\0\0\2\0" + about[:96]
    if six:
        source, destination = (ip_address(a).packed for a in (p.B6, p.A6))
        return struct.pack(">IHBB", 6 << 28, len(body), 58, 64) + source + destination + body
    source, destination = (ip_address(a).packed for a in (p.B4, p.A4))
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 1, 0, 64, 1, 0) + source + destination
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + body


A, B, C = (p.A4, p.A6), (p.B4, p.B6), (p.C4, p.C6)


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("kind", [1, 2, 3, 4, 11, 12])
def test_about_a_packet_of_ours(kind: int, six: bool) -> None:
    assert judged(error(kind, p.udp(A[six], B[six]), six=six)) is Verdict.PASSED


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (A, C),  # another member's
        (A, ("8.8.8.8", "2001:db8::8")),
        (("192.168.1.5", "2001:db8::5"), ("8.8.8.8", "2001:db8::8")),  # the network that this machine is in
        (B, A),
        (C, B),
    ],
)
def test_about_anything_else(source: tuple[str, str], destination: tuple[str, str], six: bool) -> None:
    """It could end a connection of this machine's, or slow it down."""
    about = p.tcp(source[six], destination[six])
    for kind in (3, 4):  # unreachable and too big, in both versions
        assert judged(error(kind, about, six=six)) is Verdict.FILTERED


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_about_nothing_that_can_be_read(six: bool) -> None:
    for about in (b"", bytes(19), bytes(60), p.udp(A[not six], B[not six])):
        assert judged(error(3, about, six=six)) is Verdict.FILTERED


def test_pings_are_no_errors() -> None:
    for kind, six in ((0, False), (8, False), (128, True), (129, True)):
        assert judged(error(kind, bytes(20), six=six)) is Verdict.PASSED


def test_a_redirect_is_for_routers_to_send() -> None:
    about = p.udp(A[False], B[False])
    assert judged(error(5, about, six=False)) is Verdict.FILTERED
    assert judged(error(137, about, six=True)) is Verdict.FILTERED
    assert judged(error(5, about, six=False), allow_ra=True) is Verdict.PASSED


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_a_good_error_opens_no_door_for_others(six: bool) -> None:
    """Packets of a flow that was judged once take a short way; errors must not."""
    core = Incoming(switched=False)
    own, peer = ip_address(A[six]).packed, ip_address(B[six]).packed
    core.configure([(own, len(own) * 8)], False, False)
    core.add_link(1, bytes(32), Cipher.AES_128_GCM)
    core.set_peer(1, [(peer, len(peer) * 8)])
    sealer = Sealer(bytes(32), Cipher.AES_128_GCM, 0.0)
    good = error(3, p.udp(A[six], B[six]), six=six)
    bad = error(3, p.udp(("192.168.1.5", "2001:db8::5")[six], ("8.8.8.8", "2001:db8::8")[six]), six=six)
    for packet, expected in ((good, 1), (bad, 0), (good, 1), (bad, 0)):
        [datagram] = sealer.seal(WHOLE, [packet])
        core.take(1, datagram, len(datagram), 1.0)
        assert len(core.writes()) == expected
