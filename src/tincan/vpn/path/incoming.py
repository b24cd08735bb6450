"""The core of the in pump: datagrams in, checked packets out, in large writes.

    incoming.take(link, data, size, now)   what one receive call gave: datagrams of `size` bytes
    incoming.writes()                      what to write to the tap
    incoming.words                         what the out pump must know of

Nothing that a datagram says is believed before it was opened with its link's
key, and came for the first time; and of the packet in it only what its link's
peer may say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tincan.vpn.path import control, wire
from tincan.vpn.path.coalesce import Coalescer, Write
from tincan.vpn.path.filters import Filter, Verdict
from tincan.vpn.path.headers import (
    IPV4,
    IPV6,
    MAC_HEADER,
    TCP,
    Layout,
    flow,
    network_header,
    parse,
)
from tincan.vpn.path.plane import Cipher
from tincan.vpn.path.routes import OWN, Everybody, Prefix, Routes
from tincan.vpn.path.switch import FLOOD_BURST, FLOOD_RATE, Bucket, Lesson, MacTable, group
from tincan.vpn.path.toobig import clamp_mss
from tincan.vpn.path.wire import Opener
from tincan.vpn.path.words import Answered, Heard, Learned, Probed, Spent, ToOut

Translate = Callable[[int, bytes, bool], tuple[bytes, bool] | None]
"""Gives a link's IPv4 packet as it is to be written, None to drop it, and whether the next segment of a run of TCP
will be changed in the same way. The bool in says that its checksum is still partial."""


FLOWS = 1024
"""Remembered for a link."""


@dataclass
class InLink:
    """What the in pump knows of a link."""

    number: int
    opener: Opener
    packets: int = 0
    octets: int = 0
    spoofed: int = 0
    filtered: int = 0
    storm: int = 0
    heard: float | None = None
    limit: int = 0xFFFF
    """The largest packet of ours its path takes."""
    known: set[bytes] = field(default_factory=set)
    """Flows that were let in, so that each is judged once."""
    epoch: int = -1
    """The last one that was told to the out pump."""
    floods: Bucket = field(default_factory=lambda: Bucket(FLOOD_RATE, FLOOD_BURST))


def remember(known: set[bytes], name: bytes) -> None:
    """Take note of a flow; a peer that has more than we keep is judged more often."""
    if len(known) >= FLOWS:
        known.clear()
    known.add(name)


class Incoming:
    """From the links to the tap."""

    def __init__(self, switched: bool, datagram_runs: bool = True) -> None:
        self.links: dict[int, InLink] = {}
        self.routes = Routes()
        self.macs = MacTable()
        self.words: list[ToOut] = []
        self._switched = switched
        self._filter = Filter(self.routes)
        self._translate: Translate | None = None
        self._coalescer = Coalescer(datagram_runs)
        self._last = -1
        """Whose packet came last: only the same link's may go on with its run."""

    # -- orders

    def configure(
        self, own: Iterable[Prefix], allow_dhcp: bool, allow_ra: bool, translate: Translate | None = None
    ) -> None:
        """Take new settings; ``own`` are our addresses with their networks' lengths."""
        own = tuple(own)
        self._filter = Filter(self.routes, allow_dhcp, allow_ra)
        self._filter.everybody = Everybody(own)
        self.routes.assign(OWN, [(address, len(address) * 8) for address, _ in own])
        self._translate = translate
        self._forget_flows()

    def add_link(self, number: int, secret: bytes, cipher: Cipher) -> None:
        """Begin to receive on a link."""
        self.links[number] = InLink(number, Opener(secret, cipher))
        self._last = -1

    def remove_link(self, number: int) -> None:
        """Forget a link."""
        self.links.pop(number, None)
        self.routes.assign(number, ())
        self.macs.forget(number)
        self._forget_flows()

    def set_peer(self, number: int, prefixes: Iterable[Prefix]) -> None:
        """Take a peer's addresses, if its link is there."""
        if number in self.links:
            self.routes.assign(number, prefixes)
            self._forget_flows()

    def local(self, mac: bytes, now: float) -> None:
        """Take note of a MAC address on our side."""
        self.macs.learn(mac, OWN, now)

    # -- from the links

    def take(self, number: int, data: bytes | memoryview, size: int, now: float) -> None:
        """Take what a link received at once: datagrams of `size` bytes, the last one may be shorter."""
        link = self.links.get(number)
        if link is None or size <= 0:
            return
        if link.opener.spent:
            return
        if number != self._last:
            self._coalescer.cut()
            self._last = number
        opened, same = link.opener.open_all(data, size, now), self._coalescer.same
        count, at = len(opened), 0
        while at < count:
            at += same(opened, at)
            if at < count:
                kind, packet = opened[at]
                at += 1
                if kind in (wire.WHOLE, wire.PARTIAL):
                    self._packet(link, packet, kind == wire.PARTIAL, now)
                elif kind == wire.CONTROL:
                    self._control(number, packet)
                    link.packets -= 1
                    link.octets -= len(packet)
        if count:
            link.packets += count
            link.octets += sum([len(packet) for _, packet in opened])
            self._heard(link, now)
        elif link.opener.spent:
            self.words.append(Spent(number))

    def writes(self) -> list[Write]:
        """Give what there is to write to the tap."""
        return self._coalescer.flush()

    def _heard(self, link: InLink, now: float) -> None:
        link.heard = now
        if link.opener.epoch != link.epoch:
            link.epoch = link.opener.epoch
            self.words.append(Heard(link.number, link.epoch))

    def _control(self, number: int, body: bytes) -> None:
        said = control.read(body)
        if said is not None:
            self.words.append((Probed if said[0] == control.PROBE else Answered)(number, said[1]))

    def _packet(self, link: InLink, packet: bytes, partial: bool, now: float) -> None:
        """Judge a packet and pass it on."""
        like: bytes | None = None
        known = False
        if self._switched:
            verdict, layout = self._judge_frame(link, packet, now)
            if verdict is None:
                return
        elif self._translate is None:
            name = flow(packet, 0)
            known = name in link.known
            if known and self._coalescer.alone(packet, 0, partial):
                return
            layout = parse(packet)
            verdict = Verdict.PASSED if known and layout else self._filter.packet(link.number, packet, layout)
            if name and not known and verdict is Verdict.PASSED:
                remember(link.known, name)
        else:
            layout = parse(packet)
            if self._translate is not None and layout is not None and layout.version == 4:
                came = packet
                packet, repeats = self._translate(link.number, came, partial) or (b"", False)
                layout, like = parse(packet), came if repeats else None
            verdict = self._filter.packet(link.number, packet, layout)
        if verdict is Verdict.SPOOFED:
            link.spoofed += 1
        elif verdict is Verdict.FILTERED:
            link.filtered += 1
        else:
            if layout is not None and layout.protocol == TCP:
                if like is None and layout.plain and self._coalescer.alone(packet, layout.start, partial):
                    return
                packet = clamp_mss(packet, layout, link.limit, partial)
            self._coalescer.add(packet, layout, partial, like)

    def _forget_flows(self) -> None:
        """Judge everything anew: who may send what has changed."""
        self._last = -1
        for link in self.links.values():
            link.known.clear()

    def _judge_frame(self, link: InLink, frame: bytes, now: float) -> tuple[Verdict | None, Layout | None]:
        """Judge a frame; None as a verdict: one too many for everybody."""
        found = network_header(frame) if len(frame) >= MAC_HEADER else None
        if found is None or group(frame[6:12]):
            return Verdict.FILTERED, None
        kind, start = found
        layout = parse(frame, start) if kind in (IPV4, IPV6) else None
        name = frame[12:start] + flow(frame, start) if layout is not None else b""
        if not name or name not in link.known:
            verdict = self._filter.frame(link.number, frame, kind, layout)
            if verdict is not Verdict.PASSED:
                return verdict, None
            if len(name) > start - 12:
                remember(link.known, name)
        lesson = self.macs.learn(frame[6:12], link.number, now)
        if lesson is Lesson.FAKE:
            return Verdict.SPOOFED, None
        if lesson is Lesson.NEWS:
            self.words.append(Learned(link.number, frame[6:12]))
        if (group(frame[:6]) or self.macs.find(frame[:6], now) is None) and not link.floods.take(now):
            link.storm += 1
            return None, None
        return Verdict.PASSED, layout
