"""The out pump: from the tap to the sockets. ``python -m tincan.vpn.path.outpump CONTROL PARTNER TAP MODE RUNS``."""

from __future__ import annotations

import errno
import os
import socket
import sys
import time
from dataclasses import dataclass

from tincan.vpn.path.outgoing import Outgoing, Send
from tincan.vpn.path.plane import Cipher, Mode
from tincan.vpn.path.pump import LARGEST, SIZE, SOON, UDP_SEGMENT, Pump, begin, may_fragment, opened
from tincan.vpn.path.vnet import NOTHING
from tincan.vpn.path.words import (
    AddLink,
    Answered,
    Configure,
    Exhausted,
    Found,
    Heard,
    Inject,
    Learned,
    Local,
    MoveLink,
    Order,
    Probed,
    Relay,
    RemoveLink,
    Report,
    SetPeer,
    ToIn,
    ToOut,
)

TURN = 64
"""Packets read from the tap before anything else is looked at."""


@dataclass
class Way:
    """Where a link's datagrams go: a socket and an address, or the driver."""

    socket: socket.socket | None
    remote: tuple[str, int]
    ipv6: bool


class OutPump(Pump):
    """The loop around `Outgoing`."""

    def __init__(self, control: int, partner: int, tap: int, mode: Mode) -> None:
        super().__init__(control, partner, tap, ToOut)  # type: ignore[arg-type]
        self.core = Outgoing(mode is Mode.SWITCH, 1500)
        self._ways: dict[int, Way] = {}
        self._buffer = bytearray(LARGEST)
        self._view = memoryview(self._buffer)
        self._buffers = [self._buffer]
        self._read_at = 0.0
        self._deadline = 0.0
        """When the core wants to be called; 0 after anything that may have changed that."""
        self.watch(tap, self._readable)

    def _readable(self) -> None:
        """Read what the tap has, and send each full run at once.

        Mostly there is one packet, and a second call would be for nothing; where packets follow
        each other, all are read.
        """
        core, tap, view, buffers = self.core, self.tap, self._view, self._buffers
        now = time.monotonic()
        many = now - self._read_at < SOON
        for count in range(TURN if many else 1):
            try:
                size = os.readv(tap, buffers)
            except BlockingIOError:
                many = count > 1
                break
            except OSError as exc:
                if exc.errno != errno.EBADFD:  # the interface is down
                    raise
                break
            core.take(view[:size], now)
            if core.full:
                self._send(now)
        self._read_at = now if many or count == 0 else 0.0

    def turn(self, now: float) -> float:
        """Send what is there."""
        core = self.core
        if now >= self._deadline:
            core.tick(now)
            self._deadline = core.deadline()
        self._send(now, last=True)
        for write in core.writes:
            self.write(write)
        core.writes.clear()
        for event in core.events:
            if isinstance(event, Local):
                self.tell_partner(event)
                continue
            self.tell_driver(event)
            if isinstance(event, Found):
                self.tell_partner(event)
        core.events.clear()
        return self._deadline

    def _send(self, now: float, last: bool = False) -> None:
        for send in self.core.sends(last):
            way = self._ways.get(send.link)
            if way is None:
                continue
            if way.socket is None:
                self.tell_driver(Relay(send.link, send.datagrams))
                continue
            try:
                self._transmit(way.socket, way, send)
            except OSError as exc:
                self._deadline = 0.0
                if exc.errno == errno.EMSGSIZE:
                    self.core.refused(send, now)
                elif send.link in self.core.links:
                    self.core.links[send.link].unsent += len(send.datagrams)

    def _transmit(self, link: socket.socket, way: Way, send: Send) -> None:
        if len(send.datagrams) > 1:
            ancillary = [(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE.pack(send.size))]
            link.sendmsg(send.datagrams, ancillary, 0, way.remote)
        elif not send.fragment:
            link.sendto(send.datagrams[0], way.remote)
        else:
            may_fragment(link, way.ipv6, True)
            try:
                link.sendto(send.datagrams[0], way.remote)
            finally:
                may_fragment(link, way.ipv6, False)

    # -- orders

    def obey(self, order: Order, sockets: list[int]) -> dict[int, dict[str, int | float | None]]:
        """Carry out an order."""
        core, now = self.core, time.monotonic()
        self._deadline = 0.0
        match order:
            case AddLink():
                self._way(order.link, order.remote, sockets)
                core.add_link(order.link, order.secret, Cipher(order.cipher), now)
            case MoveLink():
                self._way(order.link, order.remote, sockets)
                core.moved(order.link, now)
            case RemoveLink():
                core.remove_link(order.link)
                way = self._ways.pop(order.link, None)
                if way is not None and way.socket is not None:
                    way.socket.close()
            case SetPeer():
                core.set_peer(order.link, order.prefixes, now)
            case Configure():
                core.configure(order.largest, order.own, order.allow_dhcp, order.allow_ra, now)
            case Inject():
                self.write((NOTHING, order.packet))
            case Report():
                return {
                    link.number: {
                        "packets_out": link.packets,
                        "bytes_out": link.octets,
                        "too_big": link.too_big,
                        "unsent": link.unsent,
                        "mtu": link.path.limit,
                        "epoch": link.sealer.epoch,
                    }
                    for link in core.links.values()
                }
        return {}

    def _way(self, number: int, remote: tuple[str, int] | None, sockets: list[int]) -> None:
        former = self._ways.get(number)
        if former is not None and former.socket is not None:
            former.socket.close()
        if remote is None:
            self._ways[number] = Way(None, ("", 0), False)
            return
        ipv6 = ":" in remote[0]
        self._ways[number] = Way(opened(sockets[0], ipv6), remote, ipv6)

    def told(self, word: ToIn | ToOut) -> None:
        """Take a word of the in pump."""
        core, now = self.core, time.monotonic()
        self._deadline = 0.0
        match word:
            case Heard():
                core.heard(word.link, word.epoch, now)
            case Probed():
                core.probed(word.link, word.size, now)
            case Answered():
                core.answered(word.link, word.size, now)
            case Learned():
                core.learned(word.link, word.mac, now)
            case Exhausted():
                core.exhausted(word.link)


def main() -> None:
    """Run until the driver goes away."""
    control, partner, tap, mode, _ = begin(sys.argv[1:])
    OutPump(control, partner, tap, mode).run()


if __name__ == "__main__":
    main()
