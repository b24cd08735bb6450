"""Packets that do not fit a path: MSS clamped, IPv4 fragmented where it may be, else its sender told (ICMP)."""

from __future__ import annotations

from tincan.vpn.path.headers import (
    ICMP,
    ICMP6,
    SYN,
    TCP,
    Buffer,
    Layout,
    addresses,
    checksum,
    replaced,
    total,
    with_ip_checksum,
)
from tincan.vpn.path.routes import Everybody

QUOTED = {4: 548, 6: 1232}
"""How much of the packet goes into the error with it: RFC 1812, section 4.3.2.3; RFC 4443, section 2.4(c)."""

ERRORS = {4: (3, 4, 5, 11, 12), 6: range(128)}
"""ICMP messages that are errors themselves: no error is sent about them."""


def icmp_too_big(packet: Buffer, layout: Layout, mtu: int) -> bytes | None:
    """Give the message that tells a packet's sender what the path takes, to be written to the tap.

    RFC 1191 and RFC 8201. With the frame's header turned round if there is one.
    None about what no error is sent about: fragments, errors, multicast.
    """
    source, destination = addresses(packet, layout)
    if layout.fragment or destination in Everybody() or source in Everybody() or not any(source):
        return None
    if layout.protocol == (ICMP if layout.version == 4 else ICMP6) and (
        layout.transport >= layout.end or packet[layout.transport] in ERRORS[layout.version]
    ):
        return None
    quoted = bytes(packet[layout.start : min(layout.end, layout.start + QUOTED[layout.version])])
    link = bytes(packet[: layout.start])
    if link:
        link = link[6:12] + link[:6] + link[12:]
    # In the name of the destination: there is no router here that had an address.
    if layout.version == 4:
        body = b"\x03\x04\0\0\0\0" + mtu.to_bytes(2, "big") + quoted
        body = body[:2] + checksum(body).to_bytes(2, "big") + body[4:]
        head = b"\x45\xc0" + (20 + len(body)).to_bytes(2, "big") + bytes(4) + b"\x40\x01\0\0" + destination + source
        return link + with_ip_checksum(head) + body
    body = b"\x02\0\0\0" + mtu.to_bytes(4, "big") + quoted
    addressed = total(destination + source) + ICMP6 + len(body)
    body = body[:2] + checksum(body, addressed).to_bytes(2, "big") + body[4:]
    return link + b"\x60\0\0\0" + len(body).to_bytes(2, "big") + b"\x3a\x40" + destination + source + body


def clamp_mss(packet: bytes, layout: Layout, limit: int, partial: bool) -> bytes:
    """Lower the MSS in a SYN to what fits into `limit` bytes (with a frame's header); RFC 4459, section 3.2.

    A packet that is no SYN, or asks for less, stays as it is.
    """
    at = layout.transport
    if layout.protocol != TCP or layout.fragment or layout.end < at + 20 or not packet[at + 13] & SYN:
        return packet
    most = max(536, limit - layout.start - (40 if layout.version == 4 else 60))
    option, end = at + 20, min(layout.end, at + (packet[at + 12] >> 4) * 4)
    while option + 1 < end and packet[option]:
        if packet[option] == 1:
            option += 1
            continue
        size = packet[option + 1]
        if size < 2 or option + size > end:
            break
        if packet[option] == 2 and size == 4:
            return _with_mss(packet, at, option + 2, most, partial)
        option += size
    return packet


def _with_mss(packet: bytes, transport: int, at: int, most: int, partial: bool) -> bytes:
    asked = int.from_bytes(packet[at : at + 2], "big")
    if asked <= most:
        return packet
    changed = bytearray(packet)
    changed[at : at + 2] = most.to_bytes(2, "big")
    if not partial:
        field = slice(transport + 16, transport + 18)
        old, new = asked, most
        if (at - transport) & 1:  # a word across two of the checksum's: both bytes change places
            old, new = (asked & 255) << 8 | asked >> 8, (most & 255) << 8 | most >> 8
        changed[field] = replaced(int.from_bytes(packet[field], "big"), old, new).to_bytes(2, "big")
    return bytes(changed)


def fragmented(packet: bytes, layout: Layout, limit: int) -> list[bytes] | None:
    """Cut an IPv4 packet into fragments of `limit` bytes (with a frame's header); None where that is not allowed.

    RFC 791, section 3.2. Options are copied into all, which is allowed to be more than needed.
    """
    if layout.version == 6 or packet[layout.start + 6] & 0x40:
        return None
    link, header = packet[: layout.start], packet[layout.start : layout.transport]
    size = (limit - layout.transport) & ~7
    if size < 8:
        return None
    fragments = []
    for position in range(layout.transport, layout.end, size):
        payload = packet[position : min(position + size, layout.end)]
        more = layout.more or position + size < layout.end
        field = (layout.fragment + position - layout.transport) >> 3 | (0x2000 if more else 0)
        length = (len(header) + len(payload)).to_bytes(2, "big")
        fresh = header[:2] + length + header[4:6] + field.to_bytes(2, "big") + header[8:]
        fragments.append(link + with_ip_checksum(fresh) + payload)
    return fragments
