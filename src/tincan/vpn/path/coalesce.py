"""Put runs of consecutive segments back together, so that the kernel gets 64 KB in one write.

What a network card with GRO does, by the rules of Linux: same addresses, ports, and everything else in
the headers, sequence numbers without a gap, all segments of one size but the last;
a segment with PSH or FIN ends its run, and one with SYN, RST, URG or CWR stays
alone. UDP datagrams likewise, of one size and between the same two ports (USO).

Only segments whose checksum is known to be good, or to be completed by the
kernel, are put together: the run gets a checksum of its own, which must not
bless what was broken before.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from tincan.vpn.path.headers import (
    ACK,
    CHECKSUM_AT,
    FIN,
    PSH,
    SYN,
    TCP,
    UDP,
    Buffer,
    Layout,
    correct,
    pseudo,
    total,
    with_ip_checksum,
)
from tincan.vpn.path.vnet import GSO_TCP4, GSO_TCP6, GSO_UDP, NEEDS_CHECKSUM, NOTHING, Vnet
from tincan.vpn.path.wire import PARTIAL

LARGEST = 65535
"""What IPv4 can say of a packet's length; of IPv6 we ask no more."""

MOST_DATAGRAMS = 64
"""In a UDP run: UDP_MAX_SEGMENTS of kernels before 6.9."""

Write = Sequence[Buffer]
"""One write to the tap: the vnet header, the packet in pieces."""


class Run:
    """Segments collected so far; the first one's header stands for all."""

    __slots__ = (
        "_before",
        "_behind",
        "_expected",
        "_first",
        "_head",
        "_layout",
        "_length",
        "_partial",
        "_payloads",
        "_pushed",
        "_size",
        "_total",
        "open",
    )

    def __init__(self, packet: bytes, layout: Layout, head: int, partial: bool, like: bytes | None = None) -> None:
        """``like``: what the next segments look like before they are changed in the same way as the first one was."""
        self._first = packet
        self._layout = layout
        self._head = head
        self._partial = partial
        self._payloads: list[Buffer] = []
        self._total = layout.end
        self._size = layout.end - head
        self._length = len(packet)
        self._pushed = 0
        at = layout.transport
        if layout.protocol == TCP:
            sequence = int.from_bytes(packet[at + 4 : at + 8], "big")
            self._expected = (sequence + self._size) & 0xFFFFFFFF
            like = like or packet
            self._before, self._behind = like[: at + 4], like[at + 8 : head]
            self.open = self._size > 0 and packet[at + 13] & ~PSH == ACK
            if packet[at + 13] & PSH:
                self.open = False
        else:
            self._expected = 0
            self._before, self._behind = packet[:at], packet[at : at + 6]
            self.open = self._size > 0
        self.open = self.open and layout.end == len(packet)

    def same(self, packets: list[tuple[int, bytes]], at: int) -> int:
        """Take TCP segments that differ from the first one in sequence number and payload only. The quick way.

        ``packets`` with their datagrams' kinds, from `at` on; gives how many were taken.
        """
        if not self._partial or self._layout.protocol != TCP:
            return 0
        length, head, size = self._length, self._head, self._size
        before, behind, expected = self._before, self._behind, self._expected
        payloads = self._payloads
        taken = 0
        room = (LARGEST - self._total) // size
        for kind, packet in packets[at : at + room] if at else packets[:room]:
            if (
                kind != PARTIAL
                or len(packet) != length
                or not packet.startswith(before + expected.to_bytes(4, "big") + behind)
            ):
                break
            expected = expected + size & 0xFFFFFFFF
            payloads.append(packet[head:])
            taken += 1
        self._expected = expected
        self._total += taken * size
        return taken

    def extend(self, packet: bytes, layout: Layout, head: int) -> bool:
        """Take a segment if it goes on where the run ends; its checksum is known to be good."""
        first, own = self._first, self._layout
        size = layout.end - head
        if (
            layout[:4] != own[:4]
            or head != self._head
            or not 0 < size <= self._size
            or layout.end != len(packet)
            or self._total + size > LARGEST
            or not _same_network(first, packet, own, len(self._payloads) + 1)
        ):
            return False
        at = own.transport
        if own.protocol == TCP:
            flags = packet[at + 13]
            if (
                packet[at : at + 4] != first[at : at + 4]
                or int.from_bytes(packet[at + 4 : at + 8], "big") != self._expected
                or packet[at + 8 : at + 13] != first[at + 8 : at + 13]
                or flags & ~(PSH | FIN) != ACK
                or packet[at + 14 : at + 16] != first[at + 14 : at + 16]
                or packet[at + 18 : head] != first[at + 18 : head]
            ):
                return False
            self._pushed |= flags & (PSH | FIN)
        elif packet[at : at + 4] != first[at : at + 4] or len(self._payloads) + 2 > MOST_DATAGRAMS:
            return False
        self._expected = (self._expected + size) & 0xFFFFFFFF
        self._total += size
        self._payloads.append(packet[head:])
        self.open = size == self._size and not self._pushed
        return True

    def write(self) -> Write:
        """Give the run as one write."""
        layout, packet, at = self._layout, self._first, self._layout.transport
        offset = CHECKSUM_AT[layout.protocol]
        if not self._payloads:
            if not self._partial:
                return NOTHING, packet
            return Vnet(NEEDS_CHECKSUM, 0, self._head, 0, at, offset).pack(), packet
        length = self._total - at
        network = packet[layout.start : at]
        if layout.version == 4:
            network = with_ip_checksum(network[:2] + (length + at - layout.start).to_bytes(2, "big") + network[4:])
        else:
            network = network[:4] + length.to_bytes(2, "big") + network[6:]
        transport = bytearray(packet[at : self._head])
        transport[offset : offset + 2] = pseudo(packet, layout, length).to_bytes(2, "big")
        if layout.protocol == TCP:
            transport[13] |= self._pushed
            gso = GSO_TCP4 if layout.version == 4 else GSO_TCP6
        else:
            transport[4:6] = length.to_bytes(2, "big")
            gso = GSO_UDP
        vnet = Vnet(NEEDS_CHECKSUM, gso, self._head, self._size, at, offset).pack()
        return vnet, packet[: layout.start], network, transport, packet[self._head :], *self._payloads


def _same_network(first: bytes, packet: bytes, layout: Layout, count: int) -> bool:
    """Say whether a packet's link and IP header are those of the run's number `count`, but for its length."""
    at = layout.start
    if packet[:at] != first[:at]:
        return False
    if layout.version == 6:
        return packet[at : at + 4] == first[at : at + 4] and packet[at + 6 : at + 40] == first[at + 6 : at + 40]
    if packet[at : at + 2] != first[at : at + 2] or packet[at + 6 : at + 10] != first[at + 6 : at + 10]:
        return False
    if packet[at + 12 : at + 20] != first[at + 12 : at + 20]:
        return False
    numbers = [int.from_bytes(p[at + 4 : at + 6], "big") for p in (first, packet)]
    return bool(packet[at + 6] & 0x40) or (numbers[1] - numbers[0]) & 0xFFFF == count


@functools.cache
def _header(transport: int) -> bytes:
    """Give the vnet header of a TCP segment by itself, whose checksum the kernel completes."""
    return Vnet(NEEDS_CHECKSUM, 0, transport + 20, 0, transport, CHECKSUM_AT[TCP]).pack()


class Coalescer:
    """Packets in, writes out, in order."""

    def __init__(self, datagrams: bool = True) -> None:
        self._datagrams = datagrams
        self._run: Run | None = None
        self._writes: list[Write] = []

    def same(self, packets: list[tuple[int, bytes]], at: int) -> int:
        """Take packets that are like the one before them in all but sequence number and payload; see `Run.same`."""
        run = self._run
        return run.same(packets, at) if run is not None and run.open else 0

    def add(self, packet: bytes, layout: Layout | None, partial: bool, like: bytes | None = None) -> None:
        """Take any packet; ``layout`` is None for what is no IP packet, ``like`` what was translated into it."""
        if layout is None or layout.protocol not in CHECKSUM_AT:
            self._end()
            self._writes.append((NOTHING, packet))
            return
        head = self._head(packet, layout)
        if not head:
            self._end()
            vnet = NOTHING
            offset = CHECKSUM_AT[layout.protocol]
            if partial and not layout.fragment and layout.transport + offset + 2 <= layout.end:
                vnet = Vnet(NEEDS_CHECKSUM, 0, layout.transport, 0, layout.transport, offset).pack()
            self._writes.append((vnet, packet))
            return
        good = partial or correct(packet, layout)
        if self._run is not None and self._run.open and good and self._run.extend(packet, layout, head):
            return
        self._end()
        self._run = Run(packet, layout, head, partial, like)
        if not good:
            self._run.open = False

    def _head(self, packet: bytes, layout: Layout) -> int:
        """Say where the payload begins of a packet that might be put together with others, else 0."""
        if not layout.plain:
            return 0
        if layout.version == 4 and total(packet[layout.start : layout.transport]) != 0xFFFF:
            return 0
        room = layout.end - layout.transport
        if layout.protocol == TCP:
            size = (packet[layout.transport + 12] >> 4) * 4 if room >= 20 else 0
            return layout.transport + size if 20 <= size <= room else 0
        if not self._datagrams or room < 8:
            return 0
        said = int.from_bytes(packet[layout.transport + 4 : layout.transport + 6], "big")
        return layout.transport + 8 if said == room else 0

    def alone(self, packet: bytes, start: int, partial: bool) -> bool:
        """Take a packet that is nothing to be put together, as answers are; False if it is none of those.

        A TCP segment without payload whose checksum is partial, or ICMP. ``packet`` has a name as a flow
        (`tincan.vpn.path.headers.flow`); its IP header is at `start`.
        """
        four = packet[start] == 0x45
        at = start + (2 if four else 4)
        if packet[at : at + 2] != (len(packet) - start - (0 if four else 40)).to_bytes(2, "big"):
            return False
        protocol = packet[start + (9 if four else 6)]
        header = NOTHING
        if protocol == TCP:
            transport = start + (20 if four else 40)
            if (
                not partial
                or len(packet) < transport + 20
                or transport + (packet[transport + 12] >> 4) * 4 != len(packet)
                or packet[transport + 13] & SYN
            ):
                return False
            header = _header(transport)
        elif protocol == UDP or partial:
            return False
        self._end()
        self._writes.append((header, packet))
        return True

    def cut(self) -> None:
        """End the run: what comes next has nothing to do with it."""
        self._end()

    def flush(self) -> list[Write]:
        """Give what there is to write."""
        self._end()
        writes, self._writes = self._writes, []
        return writes

    def _end(self) -> None:
        if self._run is not None:
            self._writes.append(self._run.write())
            self._run = None
