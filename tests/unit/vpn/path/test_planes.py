"""Data planes back to back: IP mode, switch mode, sizes, keys, and what is dropped."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.vpn.path import wire
from tincan.vpn.path.outgoing import CARRIED_BURST
from tincan.vpn.path.plane import Cipher
from tincan.vpn.path.switch import FLOOD_BURST
from tincan.vpn.path.vnet import NEEDS_CHECKSUM, Vnet, unpack
from tincan.vpn.path.wire import Sealer
from tincan.vpn.path.words import Found, Spent, Wanted
from unit.vpn.path import packets as p
from unit.vpn.path.packets import fuzz
from unit.vpn.path.planes import Net, Plane, secret

ADDRESSES = {"a": (p.A4, p.A6), "b": (p.B4, p.B6), "c": (p.C4, p.C6)}


def net(names: str = "ab", switched: bool = False, **settings: bool) -> Net:
    made = Net(*(Plane(name, switched, 1418 if switched else 1420) for name in names))
    for name, plane in made.planes.items():
        plane.configure(f"{ADDRESSES[name][0]}/24", f"{ADDRESSES[name][1]}/64", **settings)
        for other in plane.numbers:
            plane.peer(other, *ADDRESSES[other])
    made.settle()
    return made


# -- IP mode


@pytest.mark.parametrize(
    "packet", [p.tcp(), p.udp(payload=b"hello"), p.tcp(p.A6, p.B6), p.ip(p.A4, p.B4, 1, b"\x08\0ab")]
)
def test_packets_arrive(packet: bytes) -> None:
    two = net()
    two.send("a", p.plain(packet))
    assert two.arrived("b") == [packet]
    assert two.arrived("a") == []


@pytest.mark.parametrize("ends", [(p.A4, p.B4), (p.A6, p.B6)])
def test_64_kb_arrive_as_they_were(ends: tuple[str, str]) -> None:
    two = net()
    packet = p.tcp(*ends, random.Random(1).randbytes(60_000), partial=True)
    two.sent.clear()
    two.send("a", p.gso(packet, 1360))
    assert two.arrived("b") == [packet]
    assert [len(send.datagrams) for send in two.sent] == [45]  # one call


def test_one_lost_datagram_costs_one_segment() -> None:
    two, count = net(), iter(range(100))
    two.lossy = lambda datagram: next(count) != 7
    two.send("a", p.gso(p.tcp(payload=bytes(13_000), partial=True, sequence=0), 1000))
    arrived = two.arrived("b")
    assert sum(len(packet) - 40 for packet in arrived) == 12_000
    assert {int.from_bytes(packet[24:28], "big") for packet in arrived} >= {0, 8000}


def test_checksums_that_no_kernel_would_complete_are_completed() -> None:
    """SCTP or a tunnel: where the receiver would not look for it."""
    two = net()
    body = bytes(12) + b"inner" + bytes(20)
    packet = p.ip(p.A4, p.B4, 47, body)
    two.send("a", Vnet(NEEDS_CHECKSUM, 0, 0, 0, 32, 6).pack() + packet)
    [arrived] = two.arrived("b")
    assert p.word_sum(arrived[32:]) == 0xFFFF
    assert arrived != packet


def test_multicast_and_broadcast_go_to_all() -> None:
    three = net("abc")
    packets = [p.udp(p.A4, "10.7.0.255"), p.udp(p.A4, "239.1.1.1"), p.udp(p.A6, "ff02::fb")]
    three.send("a", *map(p.plain, packets))
    assert three.arrived("b") == three.arrived("c") == packets
    three.send("a", p.plain(p.udp()))
    assert (len(three.arrived("b")), three.arrived("c")) == (1, [])


def test_nobody_sends_as_somebody_else() -> None:
    three = net("abc")
    three.planes["b"].outgoing.take(p.plain(p.tcp(p.C4, p.A4)), 0.0)
    three.planes["b"].outgoing.take(p.plain(p.tcp(p.C6, p.A6)), 0.0)
    three.settle()
    assert three.arrived("a") == []
    a = three.planes["a"]
    assert a.incoming.links[a.numbers["b"]].spoofed == 2


def test_a_run_is_not_gone_on_with_by_another_link() -> None:
    """Nobody slips a segment into somebody else's stream, with the right addresses and sequence number."""
    three = net("abc")
    a = three.planes["a"]
    first = [p.tcp(p.B4, p.A4, bytes(100), sequence=n, partial=True) for n in (0, 100)]
    for number, packet in ((a.numbers["b"], first[0]), (a.numbers["c"], first[1])):
        peer = "b" if number == a.numbers["b"] else "c"
        sealer = three.planes[peer].outgoing.links[three.planes[peer].numbers["a"]].sealer
        [datagram] = sealer.seal(wire.PARTIAL, [packet])
        a.incoming.take(number, datagram, len(datagram), 0.0)
    assert [b"".join(write)[10:] for write in a.incoming.writes()] == [first[0]]


def test_packets_wait_for_a_link() -> None:
    one, other = Plane("a"), Plane("b")
    one.configure(f"{p.A4}/24")
    first, second = p.tcp(flags=2), p.tcp(flags=2, sequence=5)
    for packet in (first, second):
        one.outgoing.take(p.plain(packet), 0.0)
    one.exchange_words()
    assert one.told == [Wanted(first, ip_address(p.B4).packed)]
    two = Net(one, other)
    other.configure(f"{p.B4}/24")
    other.peer("a", p.A4)
    one.peer("b", p.B4)
    two.settle()
    assert two.arrived("b") == [first, second]


def test_a_packet_that_waits_is_told_complete() -> None:
    """Whoever hears of it has no vnet header that says what is still to be done to it."""
    for packet in (p.tcp(payload=b"odd", partial=True), p.udp(p.A6, p.B6, b"x", partial=True)):
        one = Plane("a")
        one.configure(f"{p.A4}/24", f"{p.A6}/64")
        one.outgoing.take(p.gso(packet, 0)[:1] + bytes(1) + p.gso(packet, 0)[2:], 0.0)
        one.exchange_words()
        [told] = one.told
        assert isinstance(told, Wanted)
        assert p.checksum_right(told.packet)
        assert not p.checksum_right(packet)
        assert len(told.packet) == len(packet)


@pytest.mark.parametrize("framed", [False, True])
def test_packets_that_others_carry_are_all_told_and_none_is_kept(framed: bool) -> None:
    one, other = Plane("a", framed), Plane("b", framed)
    one.configure(f"{p.A4}/24", carried=True)
    start = 14 if framed else 0
    payload = bytes(range(256)) * 20
    large = p.tcp(payload=payload, partial=True)
    small = [p.tcp(sequence=n, payload=bytes(n)) for n in range(100)]
    for packet in small:
        one.outgoing.take(p.plain(p.frame(packet) if framed else packet), 0.0)
    one.outgoing.take(p.gso(p.frame(large) if framed else large, 1000, start), 0.0)
    one.exchange_words()
    told = [word.packet for word in one.told if isinstance(word, Wanted)]
    assert [packet[start:] for packet in told[:100]] == small
    segments = told[100:]
    assert len(segments) == 6
    assert all(p.checksum_right(packet, start) and len(packet) <= 1040 + start for packet in segments)
    assert b"".join(p.read(packet, start)[4][20:] for packet in segments) == payload
    two = Net(one, other)
    other.configure(f"{p.B4}/24")
    other.peer("a", p.A4)
    one.peer("b", p.B4)
    two.settle()
    assert two.arrived("b") == []  # it is on its way already


def test_more_than_anybody_carries_is_not_told() -> None:
    one = Plane("a")
    one.configure(f"{p.A4}/24", carried=True)
    for n in range(3 * int(CARRIED_BURST)):
        one.outgoing.take(p.plain(p.tcp(sequence=n)), 0.0)
    one.exchange_words()
    assert len(one.told) == CARRIED_BURST
    one.outgoing.take(p.plain(p.tcp()), 1.0)
    one.exchange_words()
    assert len(one.told) == CARRIED_BURST + 1


def test_a_removed_link_is_gone() -> None:
    two = net()
    for plane in two.planes.values():
        plane.incoming.remove_link(1)
        plane.outgoing.remove_link(1)
    two.planes["a"].told.clear()
    two.send("a", p.plain(p.tcp()))
    two.planes["a"].exchange_words()
    assert isinstance(two.planes["a"].told[0], Wanted)
    two.planes["b"].incoming.take(1, bytes(100), 100, 0.0)


def test_mss_is_clamped_on_both_sides() -> None:
    two = net()
    two.planes["a"].outgoing.links[1].path.limit = 1300
    two.send("a", p.plain(p.tcp(flags=2, options=b"\x02\x04\x05\xb4")))
    [arrived] = two.arrived("b")
    assert arrived[42:44] == (1260).to_bytes(2, "big")
    two.planes["a"].incoming.links[1].limit = 1280
    two.send("b", p.plain(p.tcp(p.B4, p.A4, flags=0x12, options=b"\x02\x04\x05\xb4")))
    [arrived] = two.arrived("a")
    assert arrived[42:44] == (1240).to_bytes(2, "big")
    assert p.checksum_right(arrived)


# -- sizes


def narrow(takes: int) -> Net:
    """Make two planes with a path between them that takes packets of so many bytes."""
    made = Net(Plane("a"), Plane("b"))
    made.lossy = lambda datagram: len(datagram) <= takes + wire.SHORTEST
    for name, plane in made.planes.items():
        plane.configure(f"{ADDRESSES[name][0]}/24", f"{ADDRESSES[name][1]}/64")
        for other in plane.numbers:
            plane.peer(other, *ADDRESSES[other])
    for step in range(20):
        made.settle(0.1 * step)
    return made


def test_the_path_mtu_is_found_and_told() -> None:
    two = narrow(1350)
    for plane in two.planes.values():
        assert plane.outgoing.links[1].path.limit == 1344
        assert plane.told[-1] == Found(1, 1344)
        assert plane.incoming.links[1].limit == 1344
    assert net().planes["a"].outgoing.links[1].path.limit == 1420


def test_large_tcp_is_made_to_fit() -> None:
    two = narrow(1350)
    packet = p.tcp(payload=bytes(20_000), partial=True)
    two.send("a", p.gso(packet, 1380))
    assert two.arrived("b") == [packet]


@pytest.mark.parametrize("ends", [(p.A4, p.B4), (p.A6, p.B6)])
def test_the_sender_of_what_does_not_fit_is_told(ends: tuple[str, str]) -> None:
    two = narrow(1350)
    two.send("a", p.plain(p.udp(*ends, bytes(1360))))
    assert two.arrived("b") == []
    [message] = two.arrived("a")
    assert message[(20 if "." in ends[0] else 40) :][:2] in (b"\x03\x04", b"\x02\0")
    assert (1344).to_bytes(2, "big") in message[20:48]


def test_what_may_be_cut_is_cut() -> None:
    two = narrow(1350)
    whole = p.udp(payload=bytes(1360), field=0)
    two.send("a", p.plain(whole))
    fragments = two.arrived("b")
    assert b"".join(p.read(fragment)[4] for fragment in fragments) == p.read(whole)[4]
    partial = p.udp(payload=bytes(1361), field=0, partial=True)
    two.send("a", Vnet(NEEDS_CHECKSUM, 0, 0, 0, 20, 6).pack() + partial)
    joined = b"".join(p.read(fragment)[4] for fragment in two.arrived("b"))
    assert p.checksum_right(p.ip(p.A4, p.B4, 17, joined))


@pytest.mark.parametrize("ends", [(p.A4, p.B4), (p.A6, p.B6)])
def test_each_datagram_of_a_run_that_does_not_fit_is_dealt_with_as_if_it_came_alone(ends: tuple[str, str]) -> None:
    two = narrow(1350)
    body = bytes(n % 251 for n in range(3 * 1360))
    two.send("a", p.gso(p.udp(*ends, body, partial=True), 1360))
    assert two.arrived("b") == []
    assert len(two.arrived("a")) == 3
    assert two.planes["a"].outgoing.links[1].too_big == 3
    if "." in ends[0]:  # and where it may be cut, it is, and no two datagrams become one
        two.send("a", p.gso(p.udp(*ends, body, partial=True, field=0), 1360))
        fragments = [p.read(fragment)[4] for fragment in two.arrived("b")]
        assert len(fragments) == 6
        for at, (first, second) in enumerate(zip(fragments[::2], fragments[1::2], strict=True)):
            assert first[8:] + second == body[1360 * at : 1360 * (at + 1)]
            assert p.checksum_right(p.ip(*ends, 17, first + second))
    # While the path is looked for, IP outside may cut them.
    two.lossy = lambda datagram: True
    two.planes["a"].outgoing.moved(1, two.planes["a"].now)
    two.sent.clear()
    two.send("a", p.gso(p.udp(*ends, body, partial=True), 1360))
    assert b"".join(p.read(packet)[4][8:] for packet in two.arrived("b")) == body
    assert sum(len(send.datagrams) for send in two.sent if send.fragment) == 3


def test_a_peer_that_comes_late_is_no_narrow_path() -> None:
    """One end is ready long before the other: its probes were for nobody."""
    two = net()
    one, other = two.planes["a"], two.planes["b"]
    two.lossy = lambda datagram: False
    one.outgoing.moved(1, 10.0)
    one.outgoing.links[1].heard = None
    for step in range(200):
        two.settle(10.0 + 0.1 * step)
    assert one.outgoing.links[1].path.limit < 1300
    two.lossy = lambda datagram: True
    other.incoming.links[1].epoch = one.incoming.links[1].epoch = -1
    other.outgoing.moved(1, 30.0)
    for step in range(10):
        two.settle(30.0 + 0.1 * step)
    assert one.outgoing.links[1].path.limit == 1420


def test_what_ipv6_must_carry_is_carried() -> None:
    two = narrow(1210)
    two.lossy = lambda datagram: True
    two.sent.clear()
    packet = p.udp(p.A6, p.B6, bytes(1280 - 48))
    two.send("a", p.plain(packet))
    assert two.arrived("b") == [packet]
    assert [send.fragment for send in two.sent if send.size > 1280] == [True]


# -- keys


@pytest.mark.parametrize("cipher", Cipher)
def test_both_ciphers(cipher: Cipher) -> None:
    one, other = Plane("a"), Plane("b")
    two = Net(one, other)
    for plane, peer, own in ((one, "b", p.A4), (other, "a", p.B4)):
        plane.configure(f"{own}/24")
        plane.incoming.add_link(1, secret(peer, plane.name), cipher)
        plane.outgoing.add_link(1, secret(plane.name, peer), cipher, 0.0)
        plane.peer(peer, p.B4 if plane is one else p.A4)
    two.settle()
    two.send("a", p.plain(p.tcp()))
    assert two.arrived("b") == [p.tcp()]


def test_keys_are_changed_while_packets_flow() -> None:
    two = net()
    for hour in range(1, 6):
        two.settle(3700.0 * hour)
        two.send("a", p.plain(p.tcp()))
        assert two.arrived("b") == [p.tcp()]
    epochs = {plane.outgoing.links[1].sealer.epoch for plane in two.planes.values()}
    assert epochs == {5}  # b has nothing to send, but follows


def test_spent_keys_are_reported_once() -> None:
    two = net()
    one = two.planes["a"]
    one.outgoing.links[1].heard = None
    one.outgoing.links[1].sealer.seal(wire.WHOLE, [b""])
    one.outgoing.links[1].sealer._counter = wire.LIMIT
    one.told.clear()
    two.send("a", p.plain(p.tcp()), p.plain(p.tcp()))
    assert two.arrived("b") == []
    assert one.told == [Spent(1)]


def test_a_link_under_attack_ends() -> None:
    two = net()
    one = two.planes["a"]
    one.incoming.links[1].opener.invalid = wire.FORGERIES[Cipher.AES_128_GCM]
    one.incoming.words.append(Spent(1))
    one.exchange_words()
    two.send("b", p.plain(p.tcp(p.B4, p.A4)))
    two.send("a", p.plain(p.tcp()))
    assert two.arrived("a") == two.arrived("b") == []
    assert Spent(1) in one.told


# -- switch mode


def test_frames_find_their_way() -> None:
    three = net("abc", switched=True)
    request = p.arp(p.MAC_A, p.A4, p.B4)
    three.send("a", p.plain(request))
    assert three.arrived("b") == three.arrived("c") == [request]
    answer = p.frame(p.udp(p.B4, p.A4), p.MAC_B, p.MAC_A)
    three.send("b", p.plain(answer))
    assert three.arrived("a") == [answer]
    assert three.arrived("c") == []
    there = p.frame(p.tcp())
    three.send("a", p.plain(there))
    assert three.arrived("b") == [there]
    assert three.arrived("c") == []
    unknown = p.frame(p.tcp(), destination=p.MAC_C)
    three.send("a", p.plain(unknown))
    assert three.arrived("b") == three.arrived("c") == [unknown]


def test_large_frames_arrive() -> None:
    two = net(switched=True)
    frame = p.frame(p.tcp(payload=bytes(30_000), partial=True))
    two.send("a", p.gso(frame, 1300, 14))
    assert two.arrived("b") == [frame]


def test_ipv6_multicast_passes() -> None:
    two = net(switched=True)
    solicitation = p.icmp6(p.A6, "ff02::1:ff00:2", 135, bytes(4) + ip_address(p.B6).packed)
    frame = p.frame(solicitation, destination=bytes.fromhex("3333ff000002"))
    two.send("a", p.plain(frame))
    assert two.arrived("b") == [frame]


def test_macs_of_others_are_not_taken() -> None:
    three = net("abc", switched=True)
    three.send("a", p.plain(p.arp(p.MAC_A, p.A4, p.B4)))
    three.send("b", p.plain(p.arp(p.MAC_B, p.B4, p.A4)))
    three.arrived("a")
    three.send("c", p.plain(p.frame(p.udp(p.C4, p.A4), p.MAC_B, p.MAC_A)))
    three.send("c", p.plain(p.frame(p.udp(p.C4, p.B4), p.MAC_A, p.ALL)))
    assert three.arrived("a") == []
    three.send("a", p.plain(p.frame(p.tcp())))
    assert p.frame(p.tcp()) in three.arrived("b")


@pytest.mark.parametrize("allow", [False, True])
def test_dhcp_stays_at_home_unless_allowed(allow: bool) -> None:
    two = net(switched=True, allow_dhcp=allow)
    discover = p.frame(p.udp("0.0.0.0", "255.255.255.255", ports=(68, 67)), destination=p.ALL)
    two.send("a", p.plain(discover))
    assert two.arrived("b") == ([discover] if allow else [])


def test_a_storm_is_limited_where_it_comes_from_and_where_it_goes() -> None:
    two = net(switched=True)
    storm = [p.plain(p.arp(p.MAC_A, p.A4, p.B4))] * int(FLOOD_BURST + 100)
    two.send("a", *storm)
    assert len(two.arrived("b")) == FLOOD_BURST
    sealer = two.planes["a"].outgoing.links[1].sealer
    for datagram in sealer.seal(wire.WHOLE, [storm[0][10:]] * 200):
        two.planes["b"].receive("a", [datagram], len(datagram))
    assert two.arrived("b") == []
    assert two.planes["b"].incoming.links[1].storm == 200


def test_a_frame_without_links_is_told_of() -> None:
    one = Plane("a", True)
    one.outgoing.take(p.plain(p.frame(p.tcp())), 0.0)
    one.exchange_words()
    assert one.told == [Wanted(p.frame(p.tcp()), p.MAC_B)]


def test_a_good_flow_is_no_cover() -> None:
    """What is judged by more than addresses and ports is judged each time."""
    three = net("abc", switched=True)
    for target, count in ((p.B6, 1), (p.C6, 0), (p.B6, 1)):
        body = bytes(4) + ip_address(target).packed
        three.send("b", p.plain(p.frame(p.icmp6(p.B6, p.A6, 136, body), p.MAC_B, p.MAC_A)))
        assert len(three.arrived("a")) == count
    assert three.planes["a"].incoming.links[three.planes["a"].numbers["b"]].spoofed == 1


@pytest.mark.parametrize("switched", [False, True])
def test_flows_are_judged_anew_when_addresses_move(switched: bool) -> None:
    three = net("abc", switched)
    packets = [p.udp(p.B4, p.A4), p.tcp(p.B6, p.A6, partial=True), p.ip(p.B4, p.A4, 1, b"\x08\0abcdef")]
    if switched:
        packets = [p.frame(packet, p.MAC_B, p.MAC_A) for packet in packets]
    for _ in range(2):
        three.send("b", *map(p.plain, packets))
        assert len(three.arrived("a")) == 3
    three.planes["a"].peer("c", p.B4, p.B6)
    three.send("b", *map(p.plain, packets))
    assert three.arrived("a") == []


def test_pings_and_answers_go_the_short_way() -> None:
    two = net()
    for ends, protocol, body in (((p.A4, p.B4), 1, b"\x08\0abcdef"), ((p.A6, p.B6), 58, b"\x80\0abcdef")):
        ping = p.ip(*ends, protocol, body)
        acknowledgement = p.tcp(*ends, options=bytes.fromhex("0101080a") + b"timetime", partial=True)
        at = 20 if protocol == 1 else 40
        for _ in range(3):
            two.send("a", p.plain(ping), Vnet(NEEDS_CHECKSUM, 0, 0, 0, at, 16).pack() + acknowledgement)
            got, two.planes["b"].got = two.planes["b"].got, []
            assert [written[10:] for written in got] == [ping, acknowledgement]
            assert unpack(got[0]) == Vnet()
            assert unpack(got[1])[:2] == (NEEDS_CHECKSUM, 0)
            assert unpack(got[1])[4:] == (at, 16)


# -- anything


@fuzz
@given(
    st.lists(st.tuples(st.sampled_from([0xC0, 0xC1, 0xC2, 0xC3, 0xFF]), st.binary(max_size=90)), max_size=5),
    st.booleans(),
)
def test_no_body_breaks_the_other_side(bodies: list[tuple[int, bytes]], switched: bool) -> None:
    """From a peer that has the keys."""
    two = net(switched=switched)
    for kind, body in bodies:
        [datagram] = two.planes["a"].outgoing.links[1].sealer.seal(kind, [body])
        two.planes["b"].receive("a", [datagram], len(datagram))
    two.settle(10.0)
    if not switched:
        assert all(ip_address(p.A4).packed in got or ip_address(p.A6).packed in got for got in two.arrived("b"))


@fuzz
@given(st.data(), st.booleans())
def test_no_mutation_breaks_the_other_side(data: st.DataObject, switched: bool) -> None:
    two = net(switched=switched)
    packet = bytearray(
        data.draw(
            st.sampled_from(
                [
                    p.tcp(p.A4, p.B4, bytes(30), flags=2, options=b"\x02\x04\x05\xb4"),
                    p.udp(p.A6, p.B6, bytes(30)),
                    p.ip(p.A6, p.B6, 0, bytes([58, 0]) + bytes(30)),
                    p.ip(p.A4, p.B4, 6, bytes(30), field=0x2000, options=bytes(8)),
                ]
            )
        )
    )
    if switched:
        packet = bytearray(p.frame(bytes(packet)))
    for _ in range(data.draw(st.integers(1, 5))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    kind = data.draw(st.sampled_from([wire.WHOLE, wire.PARTIAL]))
    for body in (bytes(packet), bytes(packet), bytes(packet[: data.draw(st.integers(0, len(packet)))])):
        [datagram] = two.planes["a"].outgoing.links[1].sealer.seal(kind, [body])
        two.planes["b"].receive("a", [datagram], len(datagram))


@fuzz
@given(st.binary(max_size=400), st.integers(0, 100))
def test_no_noise_breaks_anything(noise: bytes, size: int) -> None:
    """From somebody without keys."""
    two = net()
    two.planes["b"].incoming.take(1, noise, size, 0.0)
    assert two.planes["b"].incoming.writes() == []


@fuzz
@given(st.binary(max_size=120), st.booleans(), st.booleans())
def test_no_packet_of_our_own_breaks_anything(buffer: bytes, switched: bool, headed: bool) -> None:
    two = net(switched=switched)
    packet = p.tcp(payload=bytes(50), partial=True)
    two.send(
        "a", buffer, buffer[:10].ljust(10, b"\0") + (p.frame(packet) if switched else packet) if headed else buffer
    )


def test_a_sealer_of_another_link_is_a_stranger() -> None:
    two = net()
    [datagram] = Sealer(secret("a", "c"), Cipher.AES_128_GCM, 0.0).seal(wire.WHOLE, [p.tcp()])
    two.planes["b"].receive("a", [datagram], len(datagram))
    assert two.arrived("b") == []
    assert two.planes["b"].incoming.links[1].opener.invalid == 1
