"""Every packet of a friend comes from the friend and goes to me, with checksums that plain arithmetic confirms.

The friend calls itself 172.31.0.100, as I call myself, and me 172.31.0.107. I call the friend 172.31.4.9.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.vpn.social.translate import MAX_KNOWN, Translator
from unit.vpn.social.packets import (
    DCCP,
    ICMP,
    MORE,
    TCP,
    UDP,
    UDPLITE,
    Read,
    icmp,
    internet_sum,
    ipv4,
    pseudo,
    tcp,
    udp,
    with_checksum,
)

THEY = "172.31.0.100"
ME_THERE = "172.31.0.107"
OWN = "172.31.0.100"
PEER = "172.31.4.9"
NETWORK = IPv4Network("172.31.0.0/16")

OPTIONS = bytes([148, 4, 0, 0, 7, 7, 4, 0, 0, 0, 0, 0])  # router alert, a record route, padding

patient = settings(deadline=None, max_examples=300)


def translator() -> Translator:
    return Translator(IPv4Address(OWN), IPv4Address(PEER), NETWORK)


def arrived(packet: bytearray, **how: bool) -> Read:
    """What the tap gets, all of whose checksums must be good."""
    got = translator().translate(packet, **how)
    assert got is not None
    read = Read(got)
    assert read.header_good
    if not how and not read.fragment & 0x3FFF:
        assert read.transport_good
    return read


Maker = Callable[..., bytearray]
KINDS: dict[str, Maker] = {
    "udp": lambda **more: udp(THEY, ME_THERE, (4000, 4001), b"something odd", **more),
    "tcp": lambda **more: tcp(THEY, ME_THERE, (4000, 80), b"GET / HTTP/1.1\r\n\r\n", **more),
    "tcp with options": lambda **more: tcp(
        THEY, ME_THERE, (4000, 80), b"xyz", tcp_options=bytes([1, 1, 8, 10]) + bytes(8), **more
    ),
    "tcp empty": lambda **more: tcp(THEY, ME_THERE, (4000, 80), b"", **more),
    "ping": lambda **more: icmp(THEY, ME_THERE, 8, 0, b"\0\1\0\2", b"0123456789", **more),
    "pong": lambda **more: icmp(THEY, ME_THERE, 0, 0, b"\0\1\0\2", b"0123456789", **more),
    "udp-lite": lambda **more: ipv4(
        THEY,
        ME_THERE,
        UDPLITE,
        with_checksum(THEY, ME_THERE, UDPLITE, bytes([1, 2, 3, 4, 0, 0, 0, 0]) + b"ab"),
        **more,
    ),
    "dccp": lambda **more: ipv4(
        THEY, ME_THERE, DCCP, with_checksum(THEY, ME_THERE, DCCP, bytes([1, 2, 3, 4, 4, 0, 0, 0]) + bytes(8)), **more
    ),
}


@pytest.mark.parametrize("options", [b"", OPTIONS], ids=["plain", "IP options"])
@pytest.mark.parametrize("kind", KINDS)
def test_addresses_and_checksums(kind: str, options: bytes) -> None:
    packet = KINDS[kind](options=options)
    before = Read(packet)
    read = arrived(packet)
    assert (read.source, read.destination) == (PEER, OWN)
    assert (read.options, read.length, read.ident) == (options, before.length, before.ident)
    place = {"udp": 6, "dccp": 6, "udp-lite": 6}.get(kind, 2 if kind.startswith("p") else 16)
    assert read.payload[:place] == before.payload[:place]
    assert read.payload[place + 2 :] == before.payload[place + 2 :]


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_done_in_place(kind: str) -> None:
    packet = KINDS[kind]()
    assert translator().translate(packet) is packet


@pytest.mark.parametrize(
    ("there", "here"),
    [
        (ME_THERE, OWN),
        ("8.8.8.8", OWN),  # nothing that a friend writes goes on to anybody else
        ("127.0.0.1", OWN),
        ("0.0.0.0", OWN),
        ("250.1.2.3", OWN),
        ("224.0.0.251", "224.0.0.251"),
        ("239.255.255.250", "239.255.255.250"),
        ("255.255.255.255", "255.255.255.255"),
        ("172.29.255.255", "172.31.255.255"),
    ],
)
def test_destinations(there: str, here: str) -> None:
    read = arrived(udp(THEY, there, (4000, 4001), b"hello"))
    assert (read.source, read.destination) == (PEER, here)


def test_without_a_network_a_broadcast_is_one_to_all() -> None:
    got = Translator(IPv4Address(OWN), IPv4Address(PEER)).translate(udp(THEY, "172.31.255.255", (1, 2), b""))
    assert got is not None
    assert Read(got).destination == "255.255.255.255"


@pytest.mark.parametrize("there", ["127.0.0.1", "0.0.0.0", "255.255.255.255", "224.0.0.1", OWN, "8.8.8.8"])
def test_no_source_can_be_faked(there: str) -> None:
    assert arrived(udp(there, ME_THERE, (4000, 4001), b"hello")).source == PEER


# -- checksums --------------------------------------------------------------------------


def test_no_checksum_of_udp_stays_none() -> None:
    packet = udp(THEY, ME_THERE, (4000, 4001), b"hello")
    packet[26:28] = b"\0\0"
    assert arrived(packet).payload[6:8] == b"\0\0"


@pytest.mark.parametrize("protocol", [UDP, UDPLITE])
def test_a_checksum_of_udp_never_becomes_none(protocol: int) -> None:
    """There is a payload for which the new sum is 0xFFFF, and its complement zero."""
    head = struct.pack("!HHHH", 4000, 4001, 10, 0)
    rest = pseudo(IPv4Address(PEER).packed, IPv4Address(OWN).packed, protocol, 10)
    data = (0xFFFF - internet_sum(rest + head)).to_bytes(2, "big")
    assert internet_sum(rest + head + data) == 0xFFFF
    packet = ipv4(THEY, ME_THERE, protocol, with_checksum(THEY, ME_THERE, protocol, head + data))
    assert arrived(packet).payload[6:8] == b"\xff\xff"


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_damaged_stays_damaged(kind: str) -> None:
    packet = KINDS[kind]()
    packet[-1] ^= 0x10
    got = translator().translate(packet)
    assert got is not None
    assert not Read(got).transport_good
    packet = KINDS[kind]()
    packet[8] ^= 1
    got = translator().translate(packet)
    assert got is not None
    assert not Read(got).header_good


@pytest.mark.parametrize(("make", "place"), [(udp, 6), (tcp, 16)])
def test_a_sum_that_the_kernel_is_to_finish(make: Maker, place: int) -> None:
    """With VIRTIO_NET_HDR_F_NEEDS_CSUM the field holds the sum of the pseudo header."""
    packet = make(THEY, ME_THERE, (4000, 4001), b"hello")
    protocol, length = packet[9], len(packet) - 20
    ends = IPv4Address(THEY).packed, IPv4Address(ME_THERE).packed
    packet[20 + place : 22 + place] = internet_sum(pseudo(*ends, protocol, length)).to_bytes(2, "big")
    read = arrived(packet, partial=True)
    # What the kernel does: the sum from the transport on, with the field in it, complemented.
    done = internet_sum(read.payload) ^ 0xFFFF
    finished = read.payload[:place] + done.to_bytes(2, "big") + read.payload[place + 2 :]
    assert Read(read.whole[:20] + finished).transport_good


def test_a_merged_packet_of_64_kilobytes() -> None:
    read = arrived(tcp(THEY, ME_THERE, (4000, 80), random.Random(1).randbytes(65000)))
    assert (read.source, read.destination) == (PEER, OWN)


# -- fragments --------------------------------------------------------------------------


def fragments(packet: bytearray, size: int) -> list[bytearray]:
    """Cut a packet as a router does; ``size`` is a multiple of 8."""
    read = Read(packet)
    made = []
    for start in range(0, len(read.payload), size):
        part = read.payload[start : start + size]
        more = MORE if start + size < len(read.payload) else 0
        made.append(ipv4(read.source, read.destination, read.protocol, part, fragment=more | start // 8))
    return made


@pytest.mark.parametrize("kind", ["udp", "tcp", "tcp with options", "ping"])
@pytest.mark.parametrize("size", [24, 32])
def test_fragments_fit_together(kind: str, size: int) -> None:
    packet = KINDS[kind]()
    pieces = fragments(packet, size)
    assert len(pieces) > 1 or kind in ("udp", "ping", "tcp with options")
    found = [translator().translate(piece) for piece in pieces]
    reads = [Read(piece) for piece in found if piece is not None]
    assert len(reads) == len(pieces)
    assert all(read.header_good and (read.source, read.destination) == (PEER, OWN) for read in reads)
    whole = Read(ipv4(PEER, OWN, packet[9], b"".join(read.payload for read in reads)))
    assert whole.transport_good


@pytest.mark.parametrize("protocol", [UDP, TCP, ICMP])
def test_a_later_fragment_is_only_addressed(protocol: int) -> None:
    """Its first bytes are data, whatever they look like."""
    data = bytes(range(40, 80))
    read = arrived(ipv4(THEY, ME_THERE, protocol, data, fragment=MORE | 7))
    assert read.payload == data


def test_the_tiny_fragments_of_rfc_1858_are_dropped() -> None:
    packet = tcp(THEY, ME_THERE, (4000, 80), b"x" * 40)
    first, second, *_ = fragments(packet, 8)
    assert translator().translate(first) is None  # it has no checksum to change
    assert translator().translate(second) is None


def test_text_in_fragments_is_left_alone() -> None:
    packet = udp(THEY, ME_THERE, (5060, 5060), b"INVITE sip:x@172.31.0.107 SIP/2.0\r\n" + b"x" * 50 + b"\r\n\r\n")
    first, *_ = fragments(packet, 64)
    assert b"172.31.0.107" in arrived(first).payload


# -- errors of ICMP ---------------------------------------------------------------------


def about(packet: bytearray, kind: int = 3, code: int = 3, rest: bytes = bytes(4), keep: int = 548) -> bytearray:
    """The friend's error about a packet that I sent, in the view that the friend got it in."""
    return icmp(THEY, ME_THERE, kind, code, rest, bytes(packet[:keep]), fragment=0)


def sent_by_me(make: Maker = udp, **more: Any) -> tuple[bytearray, bytearray]:
    """A packet of mine, as I sent it and as the friend got it."""
    mine = make(OWN, PEER, (33434, 33434), b"trace me", **more)
    theirs = make(ME_THERE, THEY, (33434, 33434), b"trace me", **more)
    return mine, theirs


@pytest.mark.parametrize("keep", [28, 36, 40, 548])
@pytest.mark.parametrize("options", [b"", OPTIONS], ids=["plain", "IP options"])
@pytest.mark.parametrize("make", [udp, tcp])
@pytest.mark.parametrize(
    ("kind", "code", "rest"),
    [
        (3, 3, bytes(4)),
        (3, 4, b"\0\0\5\0"),
        (11, 0, bytes(4)),
        (12, 0, b"\x08\0\0\0"),
        (4, 0, bytes(4)),
        (3, 1, bytes(4)),
    ],
)
def test_an_error_shows_what_i_sent(
    kind: int, code: int, rest: bytes, make: Maker, options: bytes, keep: int
) -> None:
    mine, theirs = sent_by_me(make, options=options)
    keep += len(options)
    read = arrived(about(theirs, kind, code, rest, keep))
    assert (read.source, read.destination) == (PEER, OWN)
    assert read.payload[:2] == bytes([kind, code])
    assert read.payload[4:8] == rest
    # Every byte of it, both checksums included, is as I sent it.
    assert read.payload[8:] == mine[:keep]


def test_an_error_about_udp_without_checksum() -> None:
    mine, theirs = sent_by_me()
    for packet in (mine, theirs):
        packet[26:28] = b"\0\0"
    assert arrived(about(theirs)).payload[8:] == mine


def test_an_error_about_a_later_fragment() -> None:
    mine, theirs = (ipv4(*ends, UDP, bytes(range(32)), fragment=9) for ends in ((OWN, PEER), (ME_THERE, THEY)))
    assert arrived(about(theirs)).payload[8:] == mine


def test_an_error_about_a_ping() -> None:
    mine, theirs = (icmp(*ends, 8, 0, b"\0\1\0\2", b"abc") for ends in ((OWN, PEER), (ME_THERE, THEY)))
    assert arrived(about(theirs)).payload[8:] == mine


def test_an_error_that_comes_in_fragments() -> None:
    mine, theirs = sent_by_me(tcp)
    pieces = [translator().translate(piece) for piece in fragments(about(theirs), 48)]
    payload = b"".join(Read(piece).payload for piece in pieces if piece is not None)
    assert len(pieces) == 2
    assert internet_sum(payload) == 0xFFFF
    assert payload[8:] == mine


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("192.168.1.5", "8.8.8.8"),  # a connection of mine that does not go through this network
        (OWN, "8.8.8.8"),
        (ME_THERE, "172.31.0.101"),  # another friend's
        ("172.31.0.101", THEY),
        (ME_THERE, "224.0.0.251"),
        (THEY, ME_THERE),
    ],
)
def test_an_error_about_anything_else_is_dropped(source: str, destination: str) -> None:
    """The kernel looks only at the packet within: such an error could end connections, or slow them down."""
    assert translator().translate(about(udp(source, destination, (1, 2), b"x"), 3, 4, b"\0\0\2\0")) is None


def test_an_error_to_many_is_dropped() -> None:
    inner = udp("224.0.0.251", THEY, (1, 2), b"x")
    assert translator().translate(icmp(THEY, "224.0.0.251", 3, 3, bytes(4), bytes(inner))) is None


@pytest.mark.parametrize("keep", range(28))
def test_an_error_cut_short_is_dropped(keep: int) -> None:
    packet = about(sent_by_me()[1])
    cut = ipv4(THEY, ME_THERE, ICMP, Read(packet).payload[:keep])
    got = translator().translate(cut)
    assert got is None


def test_a_redirect_is_dropped() -> None:
    assert translator().translate(about(sent_by_me()[1], 5, 1, IPv4Address("10.0.0.1").packed)) is None


def test_what_is_within_may_have_no_impossible_header() -> None:
    _, theirs = sent_by_me()
    for first in (0x44, 0x4F, 0x65, 0x05):
        theirs[0] = first
        assert translator().translate(about(theirs)) is None


@patient
@given(
    st.lists(st.integers(1, 253), min_size=4, max_size=4),
    st.sampled_from(["172.31.0.", "10.1.2.", "192.168.7."]),
    st.sampled_from([udp, tcp]),
    st.binary(max_size=40),
)
def test_a_conversation_is_one_on_both_sides(last: list[int], theirs: str, make: Maker, data: bytes) -> None:
    """What each sends to the other's name comes back from that name, and errors are about what was sent."""
    alice, bob_at_alice = (f"172.31.0.{n}" for n in last[:2])
    bob, alice_at_bob = (f"{theirs}{n}" for n in last[2:])
    at_bob = Translator(IPv4Address(bob), IPv4Address(alice_at_bob))
    at_alice = Translator(IPv4Address(alice), IPv4Address(bob_at_alice))
    for _ in range(2):
        sent = make(alice, bob_at_alice, (4000, 80), data)
        got = at_bob.translate(bytearray(sent))
        assert got is not None
        assert (Read(got).source, Read(got).destination) == (alice_at_bob, bob)
        answer = at_alice.translate(make(bob, alice_at_bob, (80, 4000), data))
        assert answer is not None
        assert (Read(answer).source, Read(answer).destination) == (bob_at_alice, alice)
        error = at_alice.translate(icmp(bob, alice_at_bob, 3, 3, bytes(4), bytes(got)))
        assert error is not None
        assert _zeros(Read(error).payload[8:]) == _zeros(sent)


# -- malformed --------------------------------------------------------------------------


@pytest.mark.parametrize("size", range(28))
def test_a_packet_cut_short_is_dropped(size: int) -> None:
    assert translator().translate(udp(THEY, ME_THERE, (1, 2), b"x")[:size]) is None


@pytest.mark.parametrize("first", [0x40, 0x44, 0x4F, 0x00, 0x15, 0xF5])
def test_an_impossible_header_is_dropped(first: int) -> None:
    packet = udp(THEY, ME_THERE, (1, 2), b"x")
    packet[0] = first
    assert translator().translate(packet) is None


@pytest.mark.parametrize("length", [0, 19, 30, 65535])
def test_a_length_that_is_not_there_is_dropped(length: int) -> None:
    packet = udp(THEY, ME_THERE, (1, 2), b"x")
    packet[2:4] = length.to_bytes(2, "big")
    assert translator().translate(packet) is None


@pytest.mark.parametrize(("protocol", "size"), [(TCP, 17), (UDP, 7), (DCCP, 7), (UDPLITE, 7), (ICMP, 7)])
def test_a_transport_without_its_checksum_is_dropped(protocol: int, size: int) -> None:
    assert translator().translate(ipv4(THEY, ME_THERE, protocol, bytes(size))) is None


def test_other_protocols_are_only_addressed() -> None:
    for protocol in (2, 47, 50, 132):
        read = Read(translator().translate(ipv4(THEY, ME_THERE, protocol, b"anything")) or b"")
        assert (read.source, read.destination, read.payload) == (PEER, OWN, b"anything")


def test_ipv6_is_left_alone() -> None:
    packet = bytearray(b"\x60" + bytes(range(60)))
    before = bytes(packet)
    assert translator().translate(packet) is packet
    assert packet == before


# -- anything ---------------------------------------------------------------------------

addresses = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
options = st.integers(0, 10).flatmap(lambda words: st.binary(min_size=4 * words, max_size=4 * words))


@patient
@given(addresses, addresses, addresses, addresses, st.sampled_from([udp, tcp]), st.binary(max_size=90), options)
def test_checksums_are_always_good(
    they: str, me_there: str, own: str, peer: str, make: Maker, data: bytes, more: bytes
) -> None:
    packet = make(they, me_there, (4000, 4001), data, options=more)
    got = Translator(IPv4Address(own), IPv4Address(peer)).translate(packet)
    assert got is not None
    read = Read(got)
    assert read.header_good
    assert read.transport_good
    assert read.source == peer
    assert read.data == data


@patient
@given(
    addresses,
    addresses,
    addresses,
    addresses,
    st.sampled_from([udp, tcp]),
    st.integers(14, 45).map(lambda half: 2 * half),
    options,
)
def test_errors_are_always_as_i_sent(
    they: str, me_there: str, own: str, peer: str, make: Maker, keep: int, more: bytes
) -> None:
    mine = make(own, peer, (33434, 33434), b"trace me", options=more)[: keep + len(more)]
    theirs = make(me_there, they, (33434, 33434), b"trace me", options=more)[: keep + len(more)]
    packet = icmp(they, me_there, 3, 3, bytes(4), bytes(theirs))
    got = Translator(IPv4Address(own), IPv4Address(peer)).translate(packet)
    there = IPv4Address(me_there).packed
    if there[0] & 0xF0 == 0xE0 or there[3] == 255:
        assert got is None
        return
    assert got is not None
    read = Read(got)
    assert read.transport_good
    # One's complement has two zeros: compare checksums by what they mean.
    assert _zeros(read.payload[8:]) == _zeros(mine)


def _zeros(packet: bytes | bytearray) -> bytes:
    made = bytearray(packet)
    head = (made[0] & 15) * 4
    for place in (10, head + (6 if made[9] == UDP else 16)):
        if made[place : place + 2] == b"\xff\xff":
            made[place : place + 2] = b"\0\0"
    return bytes(made)


@settings(deadline=None, max_examples=1500)
@given(
    st.binary(max_size=120)
    | st.tuples(
        st.sampled_from([ICMP, TCP, UDP, DCCP, UDPLITE]),
        st.sampled_from(
            [b"\x13\xc4\x13\xc4", b"\x07\x6c\x07\x6c", b"\x14\xe9\x14\xe9", b"\0\x35\0\x35", b"\3\3\0\0"]
        ),
        st.binary(max_size=90),
        st.integers(0, 0xFFFF),
    ).map(lambda t: bytes(ipv4(THEY, ME_THERE, t[0], t[1] + t[2], fragment=t[3])))
)
def test_nothing_breaks_it(packet: bytes) -> None:
    for how in ({}, {"partial": True}):
        got = translator().translate(bytearray(packet), **how)
        if got is not None and got[0] >> 4 == 4:
            read = Read(got)
            assert read.source == PEER
            assert read.destination in (OWN, "172.31.255.255") or int(read.destination.split(".")[0]) in range(
                224, 256
            )


def test_many_pairs_of_addresses_are_as_good_as_one() -> None:
    made = translator()
    for number in range(3 * MAX_KNOWN):
        got = made.translate(udp(str(IPv4Address(number)), ME_THERE, (1, 2), b""))
        assert got is not None
        assert Read(got).transport_good
