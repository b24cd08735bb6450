"""The translator where it works: in the core of the in pump, between the seal and the tap."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address

from tincan.vpn.path import wire
from tincan.vpn.path.incoming import Incoming
from tincan.vpn.path.inpump import translator
from tincan.vpn.path.plane import Cipher
from tincan.vpn.path.vnet import GSO_TCP4, LENGTH, unpack
from tincan.vpn.path.wire import Sealer
from unit.vpn.social.packets import Read, icmp, internet_sum, pseudo, tcp, udp

THEY, ME_THERE = "172.31.0.100", "172.31.0.107"
OWN, PEER = "172.31.0.100", "172.31.0.101"
SECRET = bytes(32)


def packed(text: str) -> bytes:
    return IPv4Address(text).packed


class Way:
    """A friend's packets on their way to our tap."""

    def __init__(self) -> None:
        self.core = Incoming(switched=False)
        maps = {1: {"own": OWN, "peer": PEER, "network": "172.31.0.0/16"}}
        self.core.configure([(packed(OWN), 16)], False, False, translator(maps))
        for link in (1, 2):
            self.core.add_link(link, SECRET, Cipher.AES_128_GCM)
        self.core.set_peer(1, [(packed(PEER), 32)])
        self.core.set_peer(2, [(packed("172.31.0.102"), 32)])
        self.sealers = {link: Sealer(SECRET, Cipher.AES_128_GCM, 0.0) for link in (1, 2)}

    def carry(self, packets: Iterable[bytes | bytearray], *, partial: bool = False, link: int = 1) -> list[bytes]:
        sealed = self.sealers[link].seal(wire.PARTIAL if partial else wire.WHOLE, packets)
        for datagram in sealed:
            self.core.take(link, datagram, len(datagram), 1.0)
        return [b"".join(bytes(part) for part in write) for write in self.core.writes()]


def segments(count: int, *, partial: bool, port: int = 80) -> list[bytearray]:
    made = []
    for number in range(count):
        packet = tcp(THEY, ME_THERE, (port, 4000), bytes([number]) * 1000)
        packet[24:28] = (5000 + 1000 * number).to_bytes(4, "big")
        packet[33] = 0x10
        packet[36:38] = bytes(2)
        head = pseudo(packed(THEY), packed(ME_THERE), 6, len(packet) - 20)
        value = internet_sum(head) if partial else internet_sum(head + packet[20:]) ^ 0xFFFF
        packet[36:38] = value.to_bytes(2, "big")
        packet[6:8] = b"\x40\0"
        packet[10:12] = bytes(2)
        packet[10:12] = (internet_sum(bytes(packet[:20])) ^ 0xFFFF).to_bytes(2, "big")
        made.append(packet)
    return made


def finished(write: bytes) -> Read:
    """Do what the kernel does with a packet whose checksum it is to finish."""
    vnet, packet = unpack(write), bytearray(write[LENGTH:])
    place = vnet.checksum_start + vnet.checksum_offset
    packet[place : place + 2] = (internet_sum(bytes(packet[vnet.checksum_start :])) ^ 0xFFFF).to_bytes(2, "big")
    return Read(packet)


def test_a_run_of_segments_is_translated_and_put_together() -> None:
    for partial in (True, False):
        [write] = Way().carry(segments(20, partial=partial), partial=partial)
        vnet = unpack(write)
        assert (vnet.gso, vnet.size) == (GSO_TCP4, 1000)
        read = finished(write)
        assert (read.source, read.destination) == (PEER, OWN)
        assert read.header_good
        assert read.transport_good
        assert read.data == b"".join(bytes([number]) * 1000 for number in range(20))


def test_runs_whose_text_is_looked_at_are_put_together_as_well() -> None:
    [write] = Way().carry(segments(5, partial=True, port=5060), partial=True)
    read = finished(write)
    assert (read.source, read.destination, len(read.data)) == (PEER, OWN, 5000)
    assert read.transport_good


def test_two_connections_are_kept_apart() -> None:
    mixed = [
        packet
        for pair in zip(segments(3, partial=True), segments(3, partial=True, port=81), strict=True)
        for packet in pair
    ]
    writes = Way().carry(mixed, partial=True)
    assert [finished(write).ports[0] for write in writes] == [80, 81] * 3
    assert all(finished(write).transport_good for write in writes)


def test_another_destination_ends_a_run() -> None:
    """Of a run only the first segment is judged: the next one must be like it in every address."""
    way, run = Way(), segments(3, partial=True)
    run[1][16:20] = packed("8.8.8.8")
    reads = [finished(write) for write in way.carry(run, partial=True)]
    assert {read.destination for read in reads} == {OWN}
    assert {read.source for read in reads} == {PEER}


def test_datagrams_and_pings() -> None:
    way = Way()
    packets = [udp(THEY, ME_THERE, (9, 9), b"hello"), icmp(THEY, ME_THERE, 8, 0, bytes(4), b"ping")]
    for write in way.carry(packets):
        read = Read(write[LENGTH:])
        assert (read.source, read.destination) == (PEER, OWN)
        assert read.transport_good


def test_a_link_without_a_place_says_nothing() -> None:
    way = Way()
    assert way.carry([udp("172.31.0.102", OWN, (9, 9), b"hello")], link=2) == []
    assert way.core.links[2].filtered + way.core.links[2].spoofed == 1


def test_no_source_and_no_destination_gets_through_as_it_is() -> None:
    way = Way()
    for source, destination in [("8.8.8.8", "8.8.4.4"), (OWN, "127.0.0.1"), ("127.0.0.1", "192.168.1.1")]:
        [write] = way.carry([udp(source, destination, (9, 9), b"hello")])
        assert (Read(write[LENGTH:]).source, Read(write[LENGTH:]).destination) == (PEER, OWN)


def test_errors_about_other_connections_are_filtered() -> None:
    way = Way()
    about = udp("192.168.1.5", "8.8.8.8", (4000, 443), b"x")
    assert way.carry([icmp(THEY, ME_THERE, 3, 4, b"\0\0\2\0", bytes(about))]) == []
    assert way.core.links[1].filtered == 1
