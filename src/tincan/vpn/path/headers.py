"""IP, TCP, UDP and Ethernet headers: where things are, and checksums.

Nothing here trusts a length field: who parses gets None for what does not add up.
"""

from __future__ import annotations

from typing import NamedTuple

Buffer = bytes | bytearray | memoryview

TCP, UDP, ICMP, ICMP6 = 6, 17, 1, 58
HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60
NO_NEXT = 59
EXTENSIONS = 8
"""Extension headers followed at most; RFC 8504, section 5.3, allows such a limit."""

FIN, SYN, RST, PSH, ACK, URG, ECE, CWR = (1 << bit for bit in range(8))

IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD
VLAN, QINQ = 0x8100, 0x88A8
MAC_HEADER = 14

ECHO_4 = (0, 8)
ECHO_6 = (128, 129)
"""Echo request and reply (RFC 4443, section 4)."""

CHECKSUM_AT = {TCP: 16, UDP: 6}
SHORTEST = {TCP: 20, UDP: 8}


class Layout(NamedTuple):
    """Where things are in an IP packet. Offsets count from the start of the buffer that was looked at."""

    version: int
    start: int
    """Of the IP header."""
    protocol: int
    """Of the upper layer; a fragment that is not the first has no upper-layer header."""
    transport: int
    """Where the upper layer begins."""
    end: int
    """Where the packet ends; behind it there may be an Ethernet frame's padding."""
    fragment: int
    """Its offset in the whole packet, in bytes; 0 in a first fragment and in what is none."""
    more: bool
    """Whether more fragments follow."""

    @property
    def plain(self) -> bool:
        """Neither options, extension headers nor fragments: the form that everything large has."""
        size = 20 if self.version == 4 else 40
        return self.transport - self.start == size and not self.fragment and not self.more


def parse(data: Buffer, start: int = 0) -> Layout | None:
    """Find one's way in an IP packet; None if it is malformed."""
    available = len(data) - start
    if available < 20:
        return None
    version = data[start] >> 4
    if version == 4:
        size = (data[start] & 15) * 4
        total = int.from_bytes(data[start + 2 : start + 4], "big")
        if not 20 <= size <= total <= available:
            return None
        flags = int.from_bytes(data[start + 6 : start + 8], "big")
        return Layout(
            4, start, data[start + 9], start + size, start + total, (flags & 0x1FFF) * 8, bool(flags & 0x2000)
        )
    if version == 6 and available >= 40:
        end = start + 40 + int.from_bytes(data[start + 4 : start + 6], "big")
        return _parse_6(data, start, end) if end - start <= available else None
    return None


def _parse_6(data: Buffer, start: int, end: int) -> Layout | None:
    """Follow the extension headers (RFC 8200, section 4)."""
    following, at = data[start + 6], start + 40
    fragment, more = 0, False
    for _ in range(EXTENSIONS + 1):
        if following not in {HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION} or fragment:
            return Layout(6, start, following, at, end, fragment, more)
        if at + 8 > end:
            return None
        if following == FRAGMENT:
            field = int.from_bytes(data[at + 2 : at + 4], "big")
            fragment, more, size = field & 0xFFF8, bool(field & 1), 8
        elif following == AUTHENTICATION:
            size = (data[at + 1] + 2) * 4
        else:
            size = (data[at + 1] + 1) * 8
        following, at = data[at], at + size
        if at > end:
            return None
    return None


def simple(data: Buffer, start: int) -> int:
    """Say where TCP or UDP begins in a packet without options, extension headers or fragments; 0 for any other.

    A quick look at what nearly all packets are: lengths are not checked. At least 20 bytes must be there.
    """
    first = data[start]
    if first == 0x45:
        plain = data[start + 9] in CHECKSUM_AT and not data[start + 6] & 0x3F and not data[start + 7]
        return start + 20 if plain else 0
    return start + 40 if first >> 4 == 6 and data[start + 6] in CHECKSUM_AT else 0


def flow(packet: bytes, start: int) -> bytes:
    """Give protocol, addresses and ports of a `simple` packet in one piece, of ICMP its type and code; else nothing.

    Packets of one flow are judged alike. So there is none for neighbour discovery and errors of ICMP: what matters
    there is inside.
    """
    if len(packet) < start + 28:
        return b""
    if packet[start] == 0x45:
        protocol = packet[start + 9 : start + 10]
        if packet[start + 6] & 0x3F or packet[start + 7] or protocol not in _FLOWS:
            return b""
        if protocol[0] == ICMP and packet[start + 20] not in ECHO_4:
            return b""
        return protocol + packet[start + 12 : start + _FLOWS[protocol]]
    protocol = packet[start + 6 : start + 7]
    if packet[start] >> 4 != 6 or protocol not in _FLOWS_6 or len(packet) < start + 48:
        return b""
    if protocol[0] == ICMP6 and packet[start + 40] not in ECHO_6:
        return b""
    return protocol + packet[start + 8 : start + _FLOWS_6[protocol]]


_FLOWS = {bytes((TCP,)): 24, bytes((UDP,)): 24, bytes((ICMP,)): 22}
_FLOWS_6 = {bytes((TCP,)): 44, bytes((UDP,)): 44, bytes((ICMP6,)): 42}
"""Where the part of the headers ends that tells a flow from others."""


def addresses(data: Buffer, layout: Layout) -> tuple[bytes, bytes]:
    """Give the source and the destination."""
    at, size = (layout.start + 12, 4) if layout.version == 4 else (layout.start + 8, 16)
    return bytes(data[at : at + size]), bytes(data[at + size : at + 2 * size])


def network_header(frame: Buffer) -> tuple[int, int] | None:
    """Give the type of what a frame carries and where it begins, behind up to two VLAN tags; None if too short."""
    at = 12
    for _ in range(3):
        if len(frame) < at + 2:
            return None
        kind = int.from_bytes(frame[at : at + 2], "big")
        if kind not in (VLAN, QINQ):
            return kind, at + 2
        at += 4
    return None


# -- checksums (RFC 1071) ------------------------------------------------------------


def total(data: Buffer) -> int:
    """Add up 16-bit words with end-around carry.

    65,536 is 1 modulo 65,535, so the sum of the digits is the remainder of the whole
    number: one division in C instead of a loop. Zero comes only of zeros.
    """
    number = int.from_bytes(data, "big")
    if len(data) & 1:
        number <<= 8
    return number % 65535 or (65535 if number else 0)


def fold(number: int) -> int:
    """Add the carries of a sum of words."""
    return number % 65535 or (65535 if number else 0)


def checksum(data: Buffer, initial: int = 0) -> int:
    """Give the Internet checksum."""
    return 0xFFFF ^ fold(total(data) + initial)


def pseudo(data: Buffer, layout: Layout, length: int) -> int:
    """Add up the pseudo-header of TCP or UDP (RFC 9293, section 3.1; RFC 8200, section 8.1)."""
    at, size = (layout.start + 12, 8) if layout.version == 4 else (layout.start + 8, 32)
    return fold(total(data[at : at + size]) + layout.protocol + length)


def replaced(checksum: int, old: int, new: int) -> int:
    """Give the checksum after a 16-bit word was changed (RFC 1624, equation 3)."""
    return 0xFFFF ^ fold((0xFFFF ^ checksum) + (0xFFFF ^ old) + new)


def correct(data: Buffer, layout: Layout) -> bool:
    """Say whether the TCP or UDP checksum of a packet that is not in fragments is right; none (UDP) is not."""
    at = layout.transport + CHECKSUM_AT[layout.protocol]
    if layout.protocol == UDP and data[at : at + 2] == b"\0\0":
        return False
    length = layout.end - layout.transport
    return fold(total(data[layout.transport : layout.end]) + pseudo(data, layout, length)) == 0xFFFF


def completed(packet: bytes, start: int, at: int) -> bytes:
    """Write the checksum over everything from `start` into the field at `at`, which holds the pseudo-header's sum."""
    if at + 2 > len(packet) or start > at:
        return packet
    value = checksum(packet[start:]) or 0xFFFF  # zero would mean "none" to UDP, and both are the same sum
    return packet[:at] + value.to_bytes(2, "big") + packet[at + 2 :]


def with_ip_checksum(header: bytes) -> bytes:
    """Give an IPv4 header with its checksum."""
    value = checksum(header[:10] + header[12:])
    return header[:10] + value.to_bytes(2, "big") + header[12:]
