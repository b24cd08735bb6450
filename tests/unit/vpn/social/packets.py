"""IPv4 packets written out in full, and checksums computed from nothing but RFC 1071."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address

ICMP, TCP, UDP, DCCP, UDPLITE = 1, 6, 17, 33, 136
PLACES = {TCP: 16, UDP: 6, DCCP: 6, UDPLITE: 6}
MORE = 0x2000


def internet_sum(data: bytes) -> int:
    """The sum of RFC 1071, section 4.1, without the complement."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for place in range(0, len(data), 2):
        total += data[place] * 256 + data[place + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    return source + destination + struct.pack("!BBH", 0, protocol, length)


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes,
    *,
    options: bytes = b"",
    fragment: int = 0,
    ttl: int = 64,
    ident: int = 4711,
) -> bytearray:
    """``fragment``: flags and offset as they stand in the header."""
    head = 20 + len(options)
    fields = (0x40 | head // 4, 0, head + len(payload), ident, fragment, ttl, protocol, 0)
    made = bytearray(struct.pack("!BBHHHBBH", *fields) + IPv4Address(source).packed + IPv4Address(destination).packed)
    made += options
    made[10:12] = (internet_sum(made) ^ 0xFFFF).to_bytes(2, "big")
    return made + payload


def with_checksum(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """Fill in the checksum of a transport whose field is zero so far."""
    place = PLACES[protocol]
    ends = IPv4Address(source).packed, IPv4Address(destination).packed
    total = internet_sum(pseudo(*ends, protocol, len(payload)) + payload) ^ 0xFFFF
    if protocol == UDP and total == 0:
        total = 0xFFFF
    return payload[:place] + total.to_bytes(2, "big") + payload[place + 2 :]


def udp(source: str, destination: str, ports: tuple[int, int], data: bytes, **more: object) -> bytearray:
    raw = struct.pack("!HHHH", *ports, 8 + len(data), 0) + data
    return ipv4(source, destination, UDP, with_checksum(source, destination, UDP, raw), **more)  # type: ignore[arg-type]


def tcp(
    source: str, destination: str, ports: tuple[int, int], data: bytes, *, tcp_options: bytes = b"", **more: object
) -> bytearray:
    offset = (20 + len(tcp_options)) // 4 << 4
    raw = struct.pack("!HHIIBBHHH", *ports, 1000, 2000, offset, 0x18, 64000, 0, 0) + tcp_options + data
    return ipv4(source, destination, TCP, with_checksum(source, destination, TCP, raw), **more)  # type: ignore[arg-type]


def icmp(source: str, destination: str, kind: int, code: int, rest: bytes, data: bytes, **more: object) -> bytearray:
    """``rest``: the second four bytes of the header."""
    raw = bytes([kind, code, 0, 0]) + rest + data
    raw = raw[:2] + (internet_sum(raw) ^ 0xFFFF).to_bytes(2, "big") + raw[4:]
    return ipv4(source, destination, ICMP, raw, **more)  # type: ignore[arg-type]


class Read:
    """A packet taken apart."""

    def __init__(self, packet: bytes | bytearray) -> None:
        self.whole = bytes(packet)
        self.head = (packet[0] & 15) * 4
        self.length, self.ident, self.fragment = struct.unpack_from("!HHH", packet, 2)
        self.protocol = packet[9]
        self.source = str(IPv4Address(bytes(packet[12:16])))
        self.destination = str(IPv4Address(bytes(packet[16:20])))
        self.options = bytes(packet[20 : self.head])
        self.payload = bytes(packet[self.head : self.length])

    @property
    def header_good(self) -> bool:
        return internet_sum(self.whole[: self.head]) == 0xFFFF

    @property
    def transport_good(self) -> bool:
        """As a receiver judges it; UDP's zero is good."""
        if self.protocol == ICMP:
            return internet_sum(self.payload) == 0xFFFF
        if self.protocol == UDP and self.payload[6:8] == b"\0\0":
            return True
        ends = IPv4Address(self.source).packed, IPv4Address(self.destination).packed
        return internet_sum(pseudo(*ends, self.protocol, len(self.payload)) + self.payload) == 0xFFFF

    @property
    def ports(self) -> tuple[int, int]:
        return struct.unpack_from("!HH", self.payload)

    @property
    def data(self) -> bytes:
        """What UDP or TCP carries."""
        return self.payload[8 if self.protocol == UDP else (self.payload[12] >> 4) * 4 :]
