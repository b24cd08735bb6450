"""Packets for the tests, built plainly and checked by a checksum of its own kind."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from hypothesis import settings

from tincan.vpn.path.vnet import GSO_TCP4, GSO_TCP6, GSO_UDP, NEEDS_CHECKSUM, Vnet

fuzz = settings(deadline=None)
"""A busy machine is no failure."""

A4, B4, C4 = "10.7.0.1", "10.7.0.2", "10.7.0.3"
A6, B6, C6 = "fd00::1", "fd00::2", "fd00::3"
MAC_A, MAC_B, MAC_C = (bytes([2, 0, 0, 0, 0, n]) for n in (1, 2, 3))
ALL = b"\xff" * 6


def word_sum(data: bytes) -> int:
    """Add up words one by one, as RFC 1071 says it."""
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def pseudo_header(source: str, destination: str, protocol: int, length: int) -> bytes:
    a, b = ip_address(source).packed, ip_address(destination).packed
    return (
        a + b + (struct.pack(">BBH", 0, protocol, length) if len(a) == 4 else struct.pack(">IxxxB", length, protocol))
    )


def ip(
    source: str,
    destination: str,
    protocol: int,
    body: bytes,
    *,
    identification: int = 7,
    field: int = 0x4000,
    options: bytes = b"",
    tos: int = 0,
) -> bytes:
    a, b = ip_address(source).packed, ip_address(destination).packed
    if len(a) == 16:
        return struct.pack(">IHBB", 6 << 28 | tos << 20, len(body), protocol, 64) + a + b + body
    size = 20 + len(options)
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, tos, size + len(body), identification, field, 64, protocol, 0)
    head += a + b + options
    return head[:10] + struct.pack(">H", 0xFFFF ^ word_sum(head)) + head[12:] + body


def with_checksum(source: str, destination: str, protocol: int, body: bytes, at: int, partial: bool) -> bytes:
    pseudo = pseudo_header(source, destination, protocol, len(body))
    value = word_sum(pseudo) if partial else 0xFFFF ^ word_sum(pseudo + body)
    if protocol == 17 and not value:
        value = 0xFFFF
    return body[:at] + struct.pack(">H", value) + body[at + 2 :]


def tcp(
    source: str = A4,
    destination: str = B4,
    payload: bytes = b"",
    *,
    sequence: int = 1000,
    flags: int = 0x10,
    options: bytes = b"",
    window: int = 500,
    partial: bool = False,
    ports: tuple[int, int] = (1, 2),
    **network: int,
) -> bytes:
    head = struct.pack(">HHIIBBHHH", *ports, sequence, 77, (20 + len(options)) // 4 << 4, flags, window, 0, 0)
    body = with_checksum(source, destination, 6, head + options + payload, 16, partial)
    return ip(source, destination, 6, body, **network)  # type: ignore[arg-type]


def udp(
    source: str = A4,
    destination: str = B4,
    payload: bytes = b"",
    *,
    ports: tuple[int, int] = (1, 2),
    partial: bool = False,
    **network: int,
) -> bytes:
    body = struct.pack(">HHHH", *ports, 8 + len(payload), 0) + payload
    return ip(source, destination, 17, with_checksum(source, destination, 17, body, 6, partial), **network)  # type: ignore[arg-type]


def icmp6(source: str, destination: str, kind: int, rest: bytes) -> bytes:
    body = bytes([kind, 0, 0, 0]) + rest
    return ip(source, destination, 58, with_checksum(source, destination, 58, body, 2, False))


def arp(mac: bytes, sender: str, target: str, claimed: bytes | None = None) -> bytes:
    body = b"\0\x01\x08\0\x06\x04\0\x01" + (claimed or mac) + ip_address(sender).packed
    return ALL + mac + b"\x08\x06" + body + bytes(6) + ip_address(target).packed


def frame(packet: bytes, source: bytes = MAC_A, destination: bytes = MAC_B, tags: bytes = b"") -> bytes:
    return destination + source + tags + (b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet


def read(packet: bytes, start: int = 0) -> tuple[bytes, bytes, int, int, bytes]:
    """Take a packet apart: both addresses, the protocol, where the upper layer begins, and that layer."""
    if packet[start] >> 4 == 4:
        at = start + (packet[start] & 15) * 4
        assert word_sum(packet[start:at]) == 0xFFFF, "the IPv4 checksum is wrong"
        end = start + int.from_bytes(packet[start + 2 : start + 4], "big")
        return packet[start + 12 : start + 16], packet[start + 16 : start + 20], packet[start + 9], at, packet[at:end]
    end = start + 40 + int.from_bytes(packet[start + 4 : start + 6], "big")
    at = start + 40
    return packet[start + 8 : start + 24], packet[start + 24 : at], packet[start + 6], at, packet[at:end]


def checksum_right(packet: bytes, start: int = 0, partial: bool = False) -> bool:
    """Say whether the upper layer's checksum is right, or (partial) that of the pseudo-header alone."""
    source, destination, protocol, _, body = read(packet, start)
    pseudo = pseudo_header(str(ip_address(source)), str(ip_address(destination)), protocol, len(body))
    if partial:
        at = {6: 16, 17: 6}[protocol]
        return int.from_bytes(body[at : at + 2], "big") % 0xFFFF == word_sum(pseudo) % 0xFFFF
    return word_sum(pseudo + body) == 0xFFFF


def gso(packet: bytes, size: int, start: int = 0, ecn: bool = False) -> bytes:
    """Put the vnet header before a large packet, as the kernel does."""
    _, _, protocol, at, body = read(packet, start)
    kind = GSO_UDP if protocol == 17 else GSO_TCP4 if packet[start] >> 4 == 4 else GSO_TCP6
    head = at + (8 if protocol == 17 else (body[12] >> 4) * 4)
    offset = 6 if protocol == 17 else 16
    return Vnet(NEEDS_CHECKSUM, kind | (0x80 if ecn else 0), head, size, at, offset).pack() + packet


def plain(packet: bytes) -> bytes:
    """Put the vnet header before a packet that is complete."""
    return bytes(10) + packet
