"""Packets of a friend, rewritten on arrival to the addresses that are used here.

Every friend has a private view of addresses: an own one, and one for each
friend. A packet leaves in its sender's view, and the receiver rewrites it::

    source        the friend's own address      ->  what I call the friend
    destination   what the friend calls me      ->  my own address
                  multicast, 255.255.255.255    ->  the same
                  the friend's broadcast        ->  my broadcast

So whatever a friend sends comes from that friend and goes to me; nothing it
writes can show another sender or reach another destination.

All checksums are updated, not computed anew (RFC 1624, equation 3), so what
was damaged stays damaged. Where the kernel is still to finish a checksum
(``partial``, VIRTIO_NET_HDR_F_NEEDS_CSUM), the field holds the sum of the
pseudo header, and gets the same change without the complement.

An error of ICMP (RFC 792) carries the head of the packet it is about, in the
friend's view. It is rewritten the other way round. An error that is about
anything else than a packet from me to this friend is dropped: the kernel
would believe it, whatever link it came by.

Text and DNS within UDP: `tincan.vpn.social.texts`. Text within TCP is
rewritten only where its length stays, since anything else needs the sequence
numbers of the whole connection rewritten ever after. IPv6 is left alone.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from tincan.vpn.social.texts import Swap, location_port, rewrite, speaks

MAX_KNOWN: Final = 64
"""Pairs of addresses that are remembered for a link; an honest friend uses four or five."""

MAX_PORTS: Final = 100
"""TCP ports of a friend's that its UPnP answers have named."""

_ICMP: Final = 1
_TCP: Final = 6
_UDP: Final = 17
_UDP_LITE: Final = 136
_NEVER_ZERO: Final = frozenset({_UDP, _UDP_LITE})
"""Protocols that write all ones where the sum comes to zero (RFC 768; RFC 3828, section 3.1)."""

_CHECKSUM: Final = {_TCP: 16, _UDP: 6, 33: 6, _UDP_LITE: 6}
"""Where a protocol has a checksum that covers the addresses: TCP, UDP, DCCP (RFC 4340), UDP-Lite (RFC 3828)."""

_ABOUT_A_PACKET: Final = {3, 4, 11, 12}
"""Destination unreachable, source quench, time exceeded, parameter problem."""

_REDIRECT: Final = 5
_SIP: Final = 5060

_header = struct.Struct("!BxH2xHxBH8s")
"""Version and length of the header, length, fragment, protocol, checksum, and both addresses."""
_end_of_header = struct.Struct("!H8s")
_field = struct.Struct("!H")
_ports = struct.Struct("!HH")
_four = struct.Struct("!4H")


def change(old: bytes, new: bytes) -> int:
    """Return what the one's complement sum grows by when eight bytes become others (RFC 1624: ~m + m')."""
    return folded(sum(_four.unpack(new)) + sum(word ^ 0xFFFF for word in _four.unpack(old)))


def folded(total: int) -> int:
    """Return a one's complement sum in 16 bits."""
    while total > 0xFFFF:
        total = (total >> 16) + (total & 0xFFFF)
    return total


class _Pair:
    """A source and a destination in the friend's view, and what they become."""

    __slots__ = ("before", "change", "inner", "inner_change", "mine", "new", "swap")

    def __init__(self, before: bytes, own: bytes, peer: bytes, broadcast: bytes) -> None:
        there = before[4:]
        unicast = there[0] & 0xF0 != 0xE0 and there[3] != 255
        here = own if unicast else there if there[0] & 0xF0 == 0xE0 or there == b"\xff\xff\xff\xff" else broadcast
        self.before = before
        self.new = peer + here
        self.change = change(before, self.new)
        self.mine = unicast
        # The head of my own packet, as the friend got it, and as I sent it.
        self.inner = there + before[:4]
        self.inner_change = change(self.inner, own + peer)
        self.swap = Swap({before[:4]: peer, there: own} if unicast else {before[:4]: peer})


class Translator:
    """The translation of one link. One packet after the other; not shared between threads.

    ``own`` is my address, ``peer`` what I call the friend, ``network`` the
    range that both are of here (for broadcasts).
    """

    def __init__(self, own: IPv4Address, peer: IPv4Address, network: IPv4Network | None = None) -> None:
        self._own = own.packed
        self._peer = peer.packed
        self._broadcast = network.broadcast_address.packed if network is not None else b"\xff\xff\xff\xff"
        self._known: dict[bytes, _Pair] = {}
        self._ports: dict[int, None] = {}

    @classmethod
    def of(cls, addresses: Mapping[str, str]) -> Translator:
        """Return the translator of ``{"own": A, "peer": B}``, and ``"network": N`` if that is known."""
        network = IPv4Network(addresses["network"]) if "network" in addresses else None
        return cls(IPv4Address(addresses["own"]), IPv4Address(addresses["peer"]), network)

    def translate(self, packet: bytearray, *, partial: bool = False) -> bytearray | None:
        """Rewrite a packet in place and return it; another one where its length changes, None to drop it.

        ``partial``: the kernel is still to finish the transport checksum. Datagrams come one by one, not merged.
        """
        size = len(packet)
        if size < 20:
            return None
        first, length, fragment, protocol, total, before = _header.unpack_from(packet)
        head = (first & 0x0F) << 2
        if first >> 4 != 4:
            return packet if first >> 4 == 6 else None
        if head < 20 or not head <= length <= size:
            return None
        pair = self._known.get(before) or self._meet(before)
        grown = pair.change
        total = (total ^ 0xFFFF) + grown
        _end_of_header.pack_into(packet, 10, ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF, pair.new)
        if fragment & 0x1FFF:
            # RFC 1858, section 4: a second fragment with TCP's flags and checksum in it is an attack.
            return None if fragment & 0x1FFF == 1 and protocol == _TCP else packet
        if protocol == _ICMP:
            return packet if self._icmp(packet, head, pair) else None
        where = _CHECKSUM.get(protocol)
        if where is None:
            return packet
        where += head
        if where + 2 > size:
            return None
        [total] = _field.unpack_from(packet, where)
        if partial:
            total += grown
            _field.pack_into(packet, where, (total & 0xFFFF) + (total >> 16))
        elif total or protocol != _UDP:  # zero in UDP: there is none
            total = (total ^ 0xFFFF) + grown
            total = ((total & 0xFFFF) + (total >> 16)) ^ 0xFFFF
            _field.pack_into(packet, where, total or 0xFFFF if protocol in _NEVER_ZERO else total)
        if protocol == _UDP:
            return self._udp(packet, head, pair, partial)
        if protocol == _TCP:
            source, destination = _ports.unpack_from(packet, head)
            if _SIP in (source, destination) or source in self._ports:
                self._tcp(packet, head, pair, partial)
        return packet

    def repeats(self, packet: bytearray) -> bool:
        """Whether more segments like this one are changed in the same way: TCP without text to be looked at.

        So a run of segments, already compared with each other, need be translated only once.
        """
        if packet[0] != 0x45 or packet[9] != _TCP:
            return False
        source, destination = _ports.unpack_from(packet, 20)
        return _SIP not in (source, destination) and source not in self._ports

    def _meet(self, before: bytes) -> _Pair:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        pair = self._known[before] = _Pair(before, self._own, self._peer, self._broadcast)
        return pair

    # -- errors of ICMP -----------------------------------------------------------------

    def _icmp(self, packet: bytearray, head: int, pair: _Pair) -> bool:
        """Rewrite the packet within an error. Whether the message may pass."""
        if len(packet) < head + 8:
            return False
        kind = packet[head]
        if kind not in _ABOUT_A_PACKET:
            return kind != _REDIRECT  # a friend is no router of mine
        inner = head + 8
        if len(packet) < inner + 20 or packet[inner] >> 4 != 4:
            return False
        transport = inner + ((packet[inner] & 0x0F) << 2)
        if transport < inner + 20 or transport > len(packet):
            return False
        if not pair.mine or packet[inner + 12 : inner + 20] != pair.inner:
            return False
        packet[inner + 12 : inner + 20] = self._own + self._peer
        total = pair.inner_change + _update(packet, inner + 10, pair.inner_change)
        protocol = packet[inner + 9]
        where = _CHECKSUM.get(protocol)
        first = not (packet[inner + 6] & 0x1F or packet[inner + 7])
        # There are at least 8 bytes of what the error is about, often too few for TCP's checksum.
        if where is not None and first and transport + where + 2 <= len(packet):
            total += _update(packet, transport + where, pair.inner_change, zero_is_none=protocol == _UDP)
        _update(packet, head + 2, folded(total))
        return True

    # -- what is in it ------------------------------------------------------------------

    def _udp(self, packet: bytearray, head: int, pair: _Pair, partial: bool) -> bytearray | None:
        source, destination = _ports.unpack_from(packet, head)
        data = head + 8
        if len(packet) < data:
            return None
        if packet[6] & 0x20 or not speaks(source, destination, packet, data):
            return packet  # a fragment cannot be made longer
        end = head + _read(packet, head + 4)
        if end < data or end > _read(packet, 2):
            return packet
        payload = bytes(packet[data:end])
        changed = rewrite(payload, source, destination, pair.swap)
        if (port := location_port(payload)) is not None and len(self._ports) < MAX_PORTS:
            self._ports[port] = None
        if changed == payload or head + 8 + len(changed) > 0xFFFF:
            return packet
        return _refilled(packet, head, payload, changed, partial)

    def _tcp(self, packet: bytearray, head: int, pair: _Pair, partial: bool) -> None:
        data = head + ((packet[head + 12] >> 4) << 2)
        if data < head + 20:
            return
        grown = 0
        for start, new in pair.swap.same_length(packet, data):
            first, last = start & ~1, (start + len(new) + 1) & ~1  # whole words, as the header's length is even
            old = bytes(packet[first:last])
            packet[start : start + len(new)] = new
            grown += words(packet[first:last]) + 0xFFFF * (len(old) + 1 >> 1) - words(old)
        if grown and not partial:
            _update(packet, head + 16, folded(grown))


def _read(packet: bytearray, where: int) -> int:
    return packet[where] << 8 | packet[where + 1]


def words(data: bytes | bytearray) -> int:
    """Return the plain sum of the 16-bit words of some bytes, the last one filled up with zero."""
    even = len(data) & ~1
    total: int = sum(struct.unpack(f"!{even >> 1}H", data[:even]))
    return total + (data[-1] << 8 if len(data) & 1 else 0)


def _update(packet: bytearray, where: int, grown: int, *, zero_is_none: bool = False) -> int:
    """Change a checksum by what its data has grown by; return what the sum over both has grown by now."""
    old = _read(packet, where)
    if zero_is_none and not old:
        return 0
    new = folded((old ^ 0xFFFF) + grown) ^ 0xFFFF
    if zero_is_none and not new:
        new = 0xFFFF
    _field.pack_into(packet, where, new)
    return new + (old ^ 0xFFFF)


def _refilled(packet: bytearray, head: int, old: bytes, new: bytes, partial: bool) -> bytearray:
    """Return the packet with another payload of UDP."""
    made = packet[: head + 8] + new
    longer = len(new) - len(old)
    before = _read(packet, 2)
    _field.pack_into(made, 2, len(made))
    _update(made, 10, len(made) + (before ^ 0xFFFF))
    length = _read(packet, head + 4)
    _field.pack_into(made, head + 4, length + longer)
    # UDP's length counts twice: in its header, and in the pseudo header.
    pseudo = length + longer + (length ^ 0xFFFF)
    if partial:
        _field.pack_into(made, head + 6, folded(_read(packet, head + 6) + pseudo))
        return made
    grown = 2 * pseudo + words(new) + 0xFFFF * (len(old) + 1 >> 1) - words(old)
    _update(made, head + 6, folded(grown), zero_is_none=True)
    return made
