"""The core of the out pump: packets from the tap in, sealed datagrams out.

    outgoing.take(buffer, now)        a packet with its vnet header
    outgoing.sends()                  what to send: runs of datagrams for one call each
    outgoing.writes, outgoing.events  what to write back to the tap (ICMP), what to tell
    outgoing.tick(now)                when `deadline()` has come

A `Send` holds datagrams of one size, the last one may be shorter: what one
sendmsg with UDP_SEGMENT can take.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from tincan.vpn.path import control, wire
from tincan.vpn.path.coalesce import LARGEST, Write
from tincan.vpn.path.departures import Departures, OutLink, Send
from tincan.vpn.path.filters import Filter
from tincan.vpn.path.headers import (
    CHECKSUM_AT,
    IPV4,
    IPV6,
    MAC_HEADER,
    SHORTEST,
    SYN,
    TCP,
    Buffer,
    Layout,
    completed,
    network_header,
    parse,
    simple,
)
from tincan.vpn.path.mtu import PathMtu
from tincan.vpn.path.plane import Cipher
from tincan.vpn.path.routes import OWN, Everybody, Prefix, Routes
from tincan.vpn.path.split import split, whole
from tincan.vpn.path.switch import FLOOD_BURST, FLOOD_RATE, Bucket, Lesson, MacTable, group
from tincan.vpn.path.toobig import clamp_mss, fragmented, icmp_too_big
from tincan.vpn.path.vnet import GSO_NONE, GSO_UDP, LENGTH, NEEDS_CHECKSUM, NOTHING, Vnet, unpack
from tincan.vpn.path.waiting import Waiting
from tincan.vpn.path.wire import Sealer
from tincan.vpn.path.words import Found, Local, Spent, Wanted

_CHECKSUM_FIELD = struct.Struct("=HH")
"""In the vnet header: where the checksum starts, and where it goes."""

CARRIED_RATE, CARRIED_BURST = 4000.0, 500.0
"""Packets without a link that are given to somebody else to carry, per second and at once."""

ALWAYS = 1280
"""IPv6 packets of this size pass everywhere (RFC 8200, section 5), on a path that takes less in fragments."""
OutEvent = Wanted | Found | Spent | Local


class Outgoing:
    """From the tap to the links."""

    def __init__(self, switched: bool, largest: int) -> None:
        self.links: dict[int, OutLink] = {}
        self.routes = Routes()
        self.macs = MacTable()
        self.writes: list[Write] = []
        self.events: list[OutEvent] = []
        self._switched = switched
        self._largest = largest
        self._everybody = Everybody()
        self._filter = Filter(self.routes)
        self._waiting = Waiting()
        self._carried = False
        self._carriage = Bucket(CARRIED_RATE, CARRIED_BURST)
        self._early: dict[int, int] = {}
        """The epoch of links that the in pump knows already, and has heard on."""
        self._floods = Bucket(FLOOD_RATE, FLOOD_BURST)
        self._departures = Departures()

    # -- orders

    def configure(
        self,
        largest: int,
        own: Iterable[Prefix],
        allow_dhcp: bool,
        allow_ra: bool,
        now: float,
        carried: bool = False,
    ) -> None:
        """Take new settings; ``largest`` is what the tap gives at most, ``carried``: see `PlaneSettings`."""
        self._carried = carried
        self._everybody = Everybody(own)
        self._filter = Filter(self.routes, allow_dhcp, allow_ra)
        if largest != self._largest:
            self._largest = largest
            for link in self.links.values():
                link.path.restart(now, largest)

    def add_link(self, number: int, secret: bytes, cipher: Cipher, now: float) -> None:
        """Begin to send on a link."""
        link = OutLink(number, Sealer(secret, cipher, now), PathMtu(self._largest, now))
        self.links[number] = link
        link.heard = self._early.pop(number, None)
        if self._switched:
            self._release(now)

    def moved(self, number: int, now: float) -> None:
        """Take note that a link's path is another one."""
        if number in self.links:
            self.links[number].path.restart(now)

    def remove_link(self, number: int) -> None:
        """Forget a link."""
        self.links.pop(number, None)
        self._early.pop(number, None)
        self.routes.assign(number, ())
        self.macs.forget(number)

    def set_peer(self, number: int, prefixes: Iterable[Prefix], now: float) -> None:
        """Take a peer's addresses, if its link is there; what waited for them goes out."""
        if number in self.links:
            self.routes.assign(number, prefixes)
            if not self._switched:
                self._release(now)

    def _release(self, now: float) -> None:
        """Send what waited, by links whose other end is there: one that has no keys yet would lose it."""
        there = {number for number, link in self.links.items() if link.heard is not None}
        for destination in self._waiting.destinations():
            if self.routes.owner(destination) in there or (self._switched and there):
                for packet in self._waiting.take(destination, now):
                    self.take(packet, now)

    # -- from the tap

    def take(self, buffer: Buffer, now: float) -> None:
        """Take a packet from the tap, its vnet header before it."""
        if len(buffer) < LENGTH + MAC_HEADER:
            return
        if self._switched:
            self._frame(buffer, now)
        else:
            self._packet(buffer, now)

    def _packet(self, buffer: Buffer, now: float) -> None:
        at = LENGTH + 16 if buffer[LENGTH] >> 4 == 4 else LENGTH + 24
        destination = bytes(buffer[at : at + (4 if at == LENGTH + 16 else 16)])
        link = self.links.get(self.routes.owner(destination))  # type: ignore[arg-type]
        if link is not None:
            self._send(link, buffer, 0, now)
        elif len(destination) not in (4, 16):
            return
        elif destination in self._everybody:
            if self._floods.take(now):
                for number in self.routes.owners():
                    if number in self.links:
                        self._send(self.links[number], buffer, 0, now)
        elif self.routes.owner(destination) != OWN:
            self._linkless(destination, buffer, 0, now)

    def _frame(self, buffer: Buffer, now: float) -> None:
        destination, source = bytes(buffer[LENGTH : LENGTH + 6]), bytes(buffer[LENGTH + 6 : LENGTH + 12])
        found = network_header(buffer[LENGTH : LENGTH + 24])
        if found is None:
            return
        if self.macs.learn(source, OWN, now) is Lesson.NEWS:
            self.events.append(Local(source))
        start = found[1] if found[0] in (IPV4, IPV6) else -1
        if buffer[1] == 0 and start >= 0 and not self._filter.outgoing(buffer[LENGTH:]):
            return
        number = None if group(destination) else self.macs.find(destination, now)
        link = self.links.get(number) if number is not None else None
        if link is not None:
            self._send(link, buffer, start, now)
        elif not self.links:
            self._linkless(destination, buffer, start, now)
        elif number != OWN and self._floods.take(now):
            for one in list(self.links.values()):
                self._send(one, buffer, start, now)

    def _linkless(self, destination: bytes, buffer: Buffer, start: int, now: float) -> None:
        """Keep a packet until a link has its destination, and tell of it; or give all to who carries them himself."""
        if not self._carried and not self._waiting.add(destination, bytes(buffer), now):
            return
        packets = whole(bytes(buffer[LENGTH:]), start, unpack(buffer), self._largest)
        told = [packet for packet in packets if self._carriage.take(now)] if self._carried else packets[:1]
        self.events += [Wanted(packet, destination) for packet in told]

    def _send(self, link: OutLink, buffer: Buffer, start: int, now: float) -> None:
        """Send a packet by a link; ``start`` is where its IP header begins, negative if it has none."""
        limit = link.path.limit
        if start >= 0 and len(buffer) <= limit + LENGTH and (kind := _goes_as_it_is(buffer, start + LENGTH)):
            self._departures.one(link, kind, buffer[LENGTH:], now)
            return
        vnet = unpack(buffer)
        kind = wire.WHOLE
        if vnet.gso:
            segments = split(buffer[LENGTH:], start, vnet, limit) if start >= 0 else None
            if segments:
                self._departures.run(link, segments, now)
            elif start >= 0:
                self._one_by_one(link, buffer, start, vnet, now)
            return
        packet = bytes(buffer[LENGTH:])
        layout = parse(packet, start) if start >= 0 else None
        if vnet.flags & NEEDS_CHECKSUM:
            if layout is not None and _as_parsed(vnet, layout):
                kind = wire.PARTIAL
            else:
                packet = completed(packet, vnet.checksum_start, vnet.checksum_start + vnet.checksum_offset)
        if layout is not None and layout.protocol == TCP:
            packet = clamp_mss(packet, layout, limit, kind == wire.PARTIAL)
        if len(packet) <= limit:
            self._departures.some(link, kind, (packet,), now)
        elif link.path.searching or len(packet) - max(start, 0) <= ALWAYS:
            self._departures.some(link, kind, (packet,), now, fragment=True)
        else:
            self._refuse(link, packet, start, vnet.pack() if kind == wire.PARTIAL else NOTHING, now)

    def _one_by_one(self, link: OutLink, buffer: Buffer, start: int, vnet: Vnet, now: float) -> None:
        """Send the datagrams of a run each as a packet of its own: they are larger than the path takes."""
        header = vnet._replace(flags=NEEDS_CHECKSUM, gso=GSO_NONE, size=0).pack()
        packets = split(buffer[LENGTH:], start, vnet, LARGEST) if vnet.gso == GSO_UDP else None
        for packet in packets or ():
            self._send(link, header + packet, start, now)
        if not packets:
            link.too_big += 1

    def _refuse(self, link: OutLink, packet: bytes, start: int, header: bytes, now: float) -> None:
        """Deal with a packet that is larger than the path takes."""
        link.too_big += 1
        layout = parse(packet, start) if start >= 0 else None
        if layout is None:
            return
        vnet = unpack(header)
        if vnet.flags & NEEDS_CHECKSUM:
            packet = completed(packet, vnet.checksum_start, vnet.checksum_start + vnet.checksum_offset)
        limit = link.path.limit
        if (fragments := fragmented(packet, layout, limit)) is not None:
            self._departures.some(link, wire.WHOLE, fragments, now)
        elif (
            message := icmp_too_big(packet, layout, max(limit - start, 576 if layout.version == 4 else ALWAYS))
        ) is not None:
            self.writes.append((NOTHING, message))

    @property
    def full(self) -> bool:
        """Whether there is a `Send` that will not grow."""
        return self._departures.full

    def sends(self, last: bool = True) -> list[Send]:
        """Give what there is to send: all of it, or (not `last`) only what will not grow."""
        sends = self._departures.sends(last)
        if self._departures.spent:
            self.events += [Spent(number) for number in self._departures.spent]
            self._departures.spent.clear()
        return sends

    # -- between the two planes

    def heard(self, number: int, epoch: int, now: float) -> None:
        """Take note of the epoch the peer was heard in; if it is news, it hears from us in the same."""
        link = self.links.get(number)
        if link is None:
            self._early[number] = epoch
        else:
            first, link.heard = link.heard is None, epoch
            if first:
                self._release(now)
                if link.path.searching:  # our probes may have come before the peer had keys for them
                    link.path.restart(now)
            if epoch > link.sealer.epoch:
                self._departures.word(link, control.nothing(), now)

    def probed(self, number: int, size: int, now: float) -> None:
        """Answer the peer's probe."""
        link = self.links.get(number)
        if link is not None and link.answers.take(now):
            self._departures.word(link, control.answer(size), now)

    def answered(self, number: int, size: int, now: float) -> None:
        """Take the peer's answer to a probe of ours."""
        link = self.links.get(number)
        if link is not None and link.path.answered(size, now):
            self._found(link)

    def learned(self, number: int, mac: bytes, now: float) -> None:
        """Take note of who is behind a link."""
        if number in self.links:
            self.macs.learn(mac, number, now)

    def exhausted(self, number: int) -> None:
        """Send no more on a link whose keys were attacked too often."""
        if number in self.links:
            self._departures.exhaust(self.links[number])

    def refused(self, send: Send, now: float) -> None:
        """Take note that our own system finds a `Send` too large for its interface."""
        link = self.links.get(send.link)
        if link is not None and not send.probe:
            link.unsent += len(send.datagrams)
            if link.path.refused(send.size - wire.SHORTEST, now):
                self._found(link)

    def _found(self, link: OutLink) -> None:
        self.events.append(Found(link.number, link.path.limit))

    def deadline(self) -> float:
        """Say when `tick` has something to do."""
        return min((link.path.deadline for link in self.links.values()), default=float("inf"))

    def tick(self, now: float) -> None:
        """Send the probes that are due."""
        for link in self.links.values():
            if now >= link.path.deadline:
                before = link.path.limit
                for size in link.path.probes(now):
                    self._departures.word(link, control.probe(size), now, size)
                if link.path.limit != before:
                    self._found(link)


def _goes_as_it_is(buffer: Buffer, start: int) -> int:
    """Give the kind of datagram for a packet that nothing is to be done to, as with nearly all small ones; else 0.

    A quick look: TCP without SYN, or UDP, alone, its checksum partial and where the receiver will look
    for it; or anything but TCP that is complete.
    """
    if buffer[1] or len(buffer) < start + 28:
        return 0
    if not buffer[0]:
        return wire.WHOLE if buffer[start + (9 if buffer[start] >> 4 == 4 else 6)] != TCP else 0
    if buffer[0] != NEEDS_CHECKSUM or not (at := simple(buffer, start)):
        return 0
    checksum_start, offset = _CHECKSUM_FIELD.unpack_from(buffer, 6)
    protocol = buffer[start + (9 if at == start + 20 else 6)]
    if checksum_start != at - LENGTH or offset != CHECKSUM_AT[protocol] or len(buffer) < at + SHORTEST[protocol]:
        return 0
    return 0 if protocol == TCP and buffer[at + 13] & SYN else wire.PARTIAL


def _as_parsed(vnet: Vnet, layout: Layout) -> bool:
    """Say whether the checksum to complete is where the receiver will look for it."""
    return (
        not layout.fragment
        and not layout.more
        and vnet.checksum_start == layout.transport
        and CHECKSUM_AT.get(layout.protocol) == vnet.checksum_offset
        and layout.transport + vnet.checksum_offset + 2 <= layout.end
    )
