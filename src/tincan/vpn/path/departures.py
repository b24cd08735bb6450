"""Datagrams on their way out: sealed, and gathered into runs of one size, each for one call of the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tincan.vpn.path import wire
from tincan.vpn.path.headers import Buffer
from tincan.vpn.path.mtu import PathMtu
from tincan.vpn.path.switch import Bucket
from tincan.vpn.path.wire import KeysSpent, Sealer

MOST_SEGMENTS = 64
"""In one sendmsg: UDP_MAX_SEGMENTS of kernels before 6.9."""
MOST_BYTES = 65507
"""In one sendmsg, over IPv4."""
ANSWER_RATE, ANSWER_BURST = 50.0, 50.0
"""Probes answered, per second and at once."""


class Send(NamedTuple):
    """Datagrams for one call: all of `size` bytes, the last one may be shorter."""

    link: int
    datagrams: list[bytes]
    size: int
    fragment: bool = False
    """IP may cut it on the way."""
    probe: int = 0
    """The size that is tried by it, if it is a probe."""


@dataclass
class OutLink:
    """What the out pump knows of a link."""

    number: int
    sealer: Sealer
    path: PathMtu
    heard: int | None = None
    """The newest epoch the peer was heard in."""
    spent: bool = False
    packets: int = 0
    octets: int = 0
    too_big: int = 0
    unsent: int = 0
    waiting: list[bytes] = field(default_factory=list)
    """Datagrams for the next `Send`."""
    size: int = 0
    total: int = 0
    answers: Bucket = field(default_factory=lambda: Bucket(ANSWER_RATE, ANSWER_BURST))


class Departures:
    """Packets in, `Send`s out. Which link, and whether the size is right, was decided before."""

    def __init__(self) -> None:
        self.spent: list[int] = []
        """Links whose keys are used up, for somebody to tell."""
        self._sends: list[Send] = []
        self._growing: list[OutLink] = []
        """Links with datagrams for the next `Send`; a link may be in it more than once."""

    def some(self, link: OutLink, kind: int, packets: Sequence[Buffer], now: float, fragment: bool = False) -> None:
        """Seal packets of any sizes; ``fragment``: one that IP may cut on the way."""
        if not self._ready(link, len(packets), now):
            return
        link.packets += len(packets)
        link.octets += sum(map(len, packets))
        link.path.active = True
        sealed = link.sealer.seal(kind, packets)
        if fragment:
            self._sends.append(Send(link.number, sealed, len(sealed[0]), True))
            return
        for datagram in sealed:
            self._queue(link, datagram)

    def one(self, link: OutLink, kind: int, packet: Buffer, now: float) -> None:
        """Seal a packet that nothing else is to be done to."""
        if self._ready(link, 1, now):
            link.packets += 1
            link.octets += len(packet)
            link.path.active = True
            self._queue(link, link.sealer.seal_one(kind, packet))

    def _queue(self, link: OutLink, datagram: bytes) -> None:
        """Put a datagram to those for the next `Send`."""
        size, waiting = len(datagram), link.waiting
        if waiting and (size > link.size or len(waiting) >= MOST_SEGMENTS or link.total + size > MOST_BYTES):
            self._close(link)
            waiting = link.waiting
        if not waiting:
            link.size, link.total = size, 0
            self._growing.append(link)
        waiting.append(datagram)
        link.total += size
        if size < link.size:
            self._close(link)

    def run(self, link: OutLink, segments: list[bytes], now: float) -> None:
        """Seal what `split` gave: many of one size."""
        if not self._ready(link, len(segments), now):
            return
        link.packets += len(segments)
        size = len(segments[0])
        link.octets += size * (len(segments) - 1) + len(segments[-1])
        link.path.active = True
        if link.waiting:
            self._close(link)
        sealed = link.sealer.seal(wire.PARTIAL, segments)
        most = min(MOST_SEGMENTS, MOST_BYTES // len(sealed[0]))
        for at in range(0, len(sealed), most):
            self._sends.append(Send(link.number, sealed[at : at + most], len(sealed[0])))

    def _ready(self, link: OutLink, count: int, now: float) -> bool:
        try:
            link.sealer.prepare(count, now, link.heard)
        except KeysSpent:
            self.exhaust(link)
        return not link.spent

    def _close(self, link: OutLink) -> None:
        self._sends.append(Send(link.number, link.waiting, link.size))
        link.waiting = []

    @property
    def full(self) -> bool:
        """Whether there is a `Send` that will not grow."""
        return bool(self._sends)

    def sends(self, last: bool = True) -> list[Send]:
        """Give what there is to send: all of it, or (not `last`) only what will not grow."""
        if last and self._growing:
            for link in self._growing:
                if link.waiting:
                    self._close(link)
            self._growing = []
        sends, self._sends = self._sends, []
        return sends

    def word(self, link: OutLink, body: bytes, now: float, probe: int = 0) -> None:
        """Seal a word for the other plane."""
        if self._ready(link, 1, now):
            datagram = link.sealer.seal_one(wire.CONTROL, body)
            self._sends.append(Send(link.number, [datagram], len(datagram), probe=probe))

    def exhaust(self, link: OutLink) -> None:
        """Send nothing any more on a link."""
        if not link.spent:
            link.spent = True
            self.spent.append(link.number)
