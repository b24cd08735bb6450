"""Split a large packet of the kernel's (GSO) into segments that stand alone.

What a network card with TSO or USO does: every segment gets the headers, with
its own length, sequence number and flags. Only the TCP or UDP checksum stays that of the
pseudo-header (`wire.PARTIAL`). A segment may be made smaller than the kernel
asked, where the path takes less.

The identification of IPv4 stays the same where "don't fragment" is set, for it
means nothing then (RFC 6864, section 4.1), and counts up where it is not.
"""

from __future__ import annotations

from tincan.vpn.path.headers import (
    CHECKSUM_AT,
    CWR,
    FIN,
    PSH,
    SHORTEST,
    TCP,
    UDP,
    Buffer,
    Layout,
    completed,
    parse,
    pseudo,
    with_ip_checksum,
)
from tincan.vpn.path.vnet import GSO_ECN, GSO_TCP4, GSO_TCP6, GSO_UDP, NEEDS_CHECKSUM, Vnet

TRANSPORT = {GSO_TCP4: TCP, GSO_TCP6: TCP, GSO_UDP: UDP}


def split(packet: Buffer, start: int, vnet: Vnet, limit: int) -> list[bytes] | None:
    """Give the segments of a packet, each of `limit` bytes at most with all its headers.

    ``start`` is where the IP header begins. None if it cannot be split: no TCP or
    UDP, malformed, or not even its headers fit.
    """
    layout = parse(packet, start)
    if layout is None or not layout.plain or TRANSPORT.get(vnet.gso & ~GSO_ECN) != layout.protocol:
        return None
    if layout.end < layout.transport + SHORTEST[layout.protocol]:
        return None
    tcp = layout.protocol == TCP
    head = layout.transport + ((packet[layout.transport + 12] >> 4) * 4 if tcp else 8)
    if head - layout.transport < (20 if tcp else 8) or head > layout.end:
        return None
    size = min(vnet.size, limit - head) if tcp else vnet.size
    if size <= 0 or head + size > limit:
        return None
    return (_split_tcp if tcp else _split_udp)(packet, layout, head, size)


def whole(packet: bytes, start: int, vnet: Vnet, limit: int) -> list[bytes]:
    """Give what the wire would have seen in place of one packet of the tap: of its size, and with its checksums.

    For somebody who carries it where there is no vnet header. What cannot be split stays as it is.
    """
    if not vnet.gso:
        at = vnet.checksum_start
        return [completed(packet, at, at + vnet.checksum_offset) if vnet.flags & NEEDS_CHECKSUM else packet]
    segments = split(packet, start, vnet, limit) if start >= 0 else None
    return [_finished(segment, start) for segment in segments or ()] or [packet]


def _finished(segment: bytes, start: int) -> bytes:
    layout = parse(segment, start)
    if layout is None:
        return segment
    return completed(segment, layout.transport, layout.transport + CHECKSUM_AT[layout.protocol])


def _network(packet: Buffer, layout: Layout, length: int, count: int) -> bytes:
    """Give all that comes before the transport header of segment number `count`, with `length` bytes behind it."""
    link, header = bytes(packet[: layout.start]), bytes(packet[layout.start : layout.transport])
    if layout.version == 6:
        return link + header[:4] + length.to_bytes(2, "big") + header[6:]
    identification = header[4:6]
    if not header[6] & 0x40:
        identification = ((int.from_bytes(identification, "big") + count) & 0xFFFF).to_bytes(2, "big")
    size = (length + len(header)).to_bytes(2, "big")
    return link + with_ip_checksum(header[:2] + size + identification + header[6:])


def _split_tcp(packet: Buffer, layout: Layout, head: int, size: int) -> list[bytes]:
    at, end = layout.transport, layout.end
    ports, sequence = bytes(packet[at : at + 4]), int.from_bytes(packet[at + 4 : at + 8], "big")
    acknowledged, flags = bytes(packet[at + 8 : at + 13]), packet[at + 13]
    window, rest = bytes(packet[at + 14 : at + 16]), bytes(packet[at + 18 : head])
    counts = layout.version == 4 and not packet[layout.start + 6] & 0x40
    last = max(head, end - 1 - (end - head - 1) % size) if end > head else head

    def around(count: int, length: int, present: int) -> tuple[bytes, bytes]:
        """Give what comes before and behind the sequence number."""
        before = _network(packet, layout, length + head - at, count) + ports
        partial = pseudo(packet, layout, length + head - at).to_bytes(2, "big")
        return before, b"".join((acknowledged, bytes((present,)), window, partial, rest))

    def segment(count: int, position: int, until: int, present: int) -> bytes:
        before, behind = around(count, until - position, present)
        sent = (sequence + position - head & 0xFFFFFFFF).to_bytes(4, "big")
        return b"".join((before, sent, behind, packet[position:until]))

    if last == head:
        return [segment(0, head, end, flags)]
    segments = [segment(0, head, head + size, flags & ~(FIN | PSH))]
    middle = flags & ~(FIN | PSH | CWR)
    if counts:
        for count, position in enumerate(range(head + size, last, size), 1):
            segments.append(segment(count, position, position + size, middle))
    elif last > head + size:
        before, behind = around(1, size, middle)
        offset = sequence - head
        segments += [
            b"".join((before, (offset + p & 0xFFFFFFFF).to_bytes(4, "big"), behind, packet[p : p + size]))
            for p in range(head + size, last, size)
        ]
    segments.append(segment(len(segments), last, end, flags & ~CWR))
    return segments


def _split_udp(packet: Buffer, layout: Layout, head: int, size: int) -> list[bytes]:
    at, end = layout.transport, layout.end
    ports = bytes(packet[at : at + 4])
    segments = []
    for count, position in enumerate(range(head, end, size)):
        payload = packet[position : min(position + size, end)]
        length = len(payload) + 8
        partial = pseudo(packet, layout, length).to_bytes(2, "big")
        network = _network(packet, layout, length, count)
        segments.append(b"".join((network, ports, length.to_bytes(2, "big"), partial, payload)))
    return segments
