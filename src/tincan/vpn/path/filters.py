"""What is not let in: addresses that are not the sender's, foreign DHCP, foreign router advertisements.

IP mode: a link's packets come from its peer's addresses and go to ours, or to
everybody; nothing else. Switch mode: there may be a whole LAN behind a link,
so there it is the other way round: nobody sends as an address that belongs to
another link's peer, or to us, be it as the source of a packet or in ARP and neighbour
discovery, where others would learn it.

DHCP is kept out by its ports, both servers and clients of others. Router
advertisements and redirects as RFC 6105 has it; packets that hide them behind
so much or in fragments that one cannot see them do not pass either (RFC 7113).
"""

from __future__ import annotations

import enum

from tincan.vpn.path.headers import (
    ARP,
    ICMP,
    ICMP6,
    IPV4,
    IPV6,
    NO_NEXT,
    SHORTEST,
    UDP,
    Buffer,
    Layout,
    addresses,
    network_header,
    parse,
)
from tincan.vpn.path.routes import OWN, Everybody, Routes

DHCP_PORTS = {67, 68, 546, 547}
ROUTER_ADVERTISEMENT, NEIGHBOUR_SOLICITATION, NEIGHBOUR_ADVERTISEMENT, REDIRECT = 134, 135, 136, 137

NO_ERRORS: frozenset[int] = frozenset()
ERRORS = {(4, ICMP): (frozenset({3, 4, 11, 12}), 20), (6, ICMP6): (frozenset(range(128)), 40)}
"""Types of ICMP's messages that have a packet in them, and how long the header of that is (RFC 792, RFC 4443)."""

REDIRECT_4 = 5
"""ICMP's own redirect (RFC 792): who sends it is no router of ours."""

SPECIAL = {b"\0\0\0\0", bytes(16)}
"""The unspecified address: whoever has none yet sends as that one, in switch mode."""


class Verdict(enum.Enum):
    """What becomes of a packet."""

    PASSED = "passed"
    SPOOFED = "spoofed"
    """The source is somebody else's."""
    FILTERED = "filtered"
    """Of a kind, or to an address, that is not let in."""


class Filter:
    """The rules of one data plane."""

    def __init__(self, routes: Routes, allow_dhcp: bool = False, allow_ra: bool = False) -> None:
        self._routes = routes
        self._allow_dhcp = allow_dhcp
        self._allow_ra = allow_ra
        self.everybody = Everybody()

    def packet(self, link: int, packet: Buffer, layout: Layout | None) -> Verdict:
        """Judge a packet that came in by a link, in IP mode."""
        if layout is None:
            return Verdict.FILTERED
        source, destination = addresses(packet, layout)
        if self._routes.owner(source) != link:
            return Verdict.SPOOFED
        if destination not in self.everybody and self._routes.owner(destination) != OWN:
            return Verdict.FILTERED
        if not self._about_us(link, packet, layout):
            return Verdict.FILTERED
        return Verdict.PASSED if self._kind_passes(packet, layout) else Verdict.FILTERED

    def frame(self, link: int, frame: Buffer, kind: int, layout: Layout | None) -> Verdict:
        """Judge a frame that came in by a link; ``kind`` is what it carries, ``layout`` None if not IP."""
        if kind == ARP:
            return self._arp(link, frame)
        if kind not in (IPV4, IPV6):
            return Verdict.PASSED
        if layout is None or layout.version != (4 if kind == IPV4 else 6):
            return Verdict.FILTERED
        source, _ = addresses(frame, layout)
        if not self._may_be(link, source):
            return Verdict.SPOOFED
        if layout.protocol == ICMP6 and layout.version == 6 and not self._neighbour(link, frame, layout):
            return Verdict.SPOOFED
        return Verdict.PASSED if self._kind_passes(frame, layout) else Verdict.FILTERED

    def outgoing(self, frame: Buffer) -> bool:
        """Say whether a frame of ours may go out: our DHCP and router advertisements are foreign to others."""
        found = network_header(frame)
        if found is None:
            return False
        layout = parse(frame, found[1]) if found[0] in (IPV4, IPV6) else None
        return layout is None or self._kind_passes(frame, layout)

    def _may_be(self, link: int, source: bytes) -> bool:
        """Say whether nobody else has an address."""
        return source in SPECIAL or self._routes.owner(source) in (link, None)

    def _about_us(self, link: int, packet: Buffer, layout: Layout) -> bool:
        """Say whether an error of ICMP is about a packet from us to this peer, if it is one.

        A kernel looks at the packet within, whatever way the error came: one about another connection could end that,
        or make it believe in a tiny path MTU (RFC 5927).
        """
        errors, size = ERRORS.get((layout.version, layout.protocol), (NO_ERRORS, 0))
        at = layout.transport
        if layout.fragment or at >= layout.end or packet[at] not in errors:
            return True
        inner = at + 8
        if layout.end < inner + size or packet[inner] >> 4 != layout.version:
            return False
        about = addresses(packet, layout._replace(start=inner))
        return self._routes.owner(about[0]) == OWN and self._routes.owner(about[1]) == link

    def _arp(self, link: int, frame: Buffer) -> Verdict:
        """Judge ARP by its sender's address; the hardware address in it must be the frame's."""
        found = network_header(frame)
        body = frame[found[1] :] if found else b""
        if len(body) < 28 or body[:6] != b"\0\x01\x08\0\x06\x04":
            return Verdict.FILTERED
        if body[8:14] != frame[6:12] or not self._may_be(link, bytes(body[14:18])):
            return Verdict.SPOOFED
        return Verdict.PASSED

    def _neighbour(self, link: int, frame: Buffer, layout: Layout) -> bool:
        """Say whether a neighbour advertisement speaks of an address that may be the sender's."""
        at = layout.transport
        if layout.fragment or layout.end < at + 24 or frame[at] != NEIGHBOUR_ADVERTISEMENT:
            return True
        return self._may_be(link, bytes(frame[at + 8 : at + 24]))

    def _kind_passes(self, packet: Buffer, layout: Layout) -> bool:
        """Keep out DHCP and router advertisements, and what may hide them."""
        if layout.fragment:
            return True  # without its first fragment it is nothing
        at, room = layout.transport, layout.end - layout.transport
        if layout.version == 4 and layout.protocol == ICMP:
            return self._allow_ra or (room >= 4 and packet[at] != REDIRECT_4)
        if layout.version == 6 and layout.protocol == ICMP6:
            if self._allow_ra:
                return True
            # RFC 6980: neighbour discovery is never in fragments.
            return room >= 4 and packet[at] not in (ROUTER_ADVERTISEMENT, REDIRECT)
        if layout.protocol == UDP:
            if room < SHORTEST[UDP]:
                return False
            ports = {int.from_bytes(packet[at + n : at + n + 2], "big") for n in (0, 2)}
            return self._allow_dhcp or len(ports & DHCP_PORTS) < 2
        return not (layout.more and (room < 8 or layout.protocol == NO_NEXT))
