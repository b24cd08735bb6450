"""The out half of a pump: from the tap to the sockets."""

from __future__ import annotations

import errno
import os
import socket
import time
from dataclasses import dataclass

from tincan.vpn.path.departures import Send
from tincan.vpn.path.hub import LARGEST, SIZE, SOON, UDP_SEGMENT, Figures, Hub, may_fragment, opened
from tincan.vpn.path.outgoing import Outgoing
from tincan.vpn.path.plane import Cipher, Mode
from tincan.vpn.path.words import (
    TAP_GONE,
    AddLink,
    Answered,
    Configure,
    Found,
    Heard,
    Learned,
    Local,
    MoveLink,
    Order,
    Probed,
    Received,
    Relay,
    RemoveLink,
    Report,
    SetPeer,
    Spent,
    ToIn,
    ToOut,
)

NO_RUNS = {errno.EIO, errno.EINVAL}
"""What udp(7) says to UDP_SEGMENT where the interface has no checksum offload, and where the size is wrong for it."""

TURN = 64
"""Packets read from the tap before anything else is looked at."""


@dataclass
class Way:
    """Where a link's datagrams go: a socket and an address, or the driver."""

    socket: socket.socket | None
    remote: tuple[str, int]
    ipv6: bool
    runs: bool = True
    """Whether the kernel takes many datagrams in one call; it says when it does not."""

    def transmit(self, send: Send) -> None:
        """Send by the socket, which must be there; raises `OSError`."""
        link, datagrams = self.socket, send.datagrams
        if link is None:
            return
        if len(datagrams) > 1 and self.runs:
            try:
                link.sendmsg(datagrams, [(socket.IPPROTO_UDP, UDP_SEGMENT, SIZE.pack(send.size))], 0, self.remote)
                return
            except OSError as exc:
                if exc.errno not in NO_RUNS:
                    raise
                self.runs = exc.errno != errno.EIO
        if send.fragment:
            may_fragment(link, self.ipv6, True)
        try:
            for datagram in datagrams:
                link.sendto(datagram, self.remote)
        finally:
            if send.fragment:
                may_fragment(link, self.ipv6, False)


class OutPump:
    """The loop around `Outgoing`."""

    def __init__(self, hub: Hub, mode: Mode) -> None:
        self._hub = hub
        self.core = Outgoing(mode is Mode.SWITCH, 1500)
        self._ways: dict[int, Way] = {}
        self._buffer = bytearray(LARGEST)
        self._view = memoryview(self._buffer)
        self._buffers = [self._buffer]
        self._read_at = 0.0
        self._deadline = 0.0
        """When the core wants to be called; 0 after anything that may have changed that."""
        hub.watch(hub.tap, self._readable)
        hub.add(self)

    def _readable(self) -> None:
        """Read what the tap has, and send each full run at once.

        Mostly there is one packet, and a second call would be for nothing; where packets follow
        each other, all are read.
        """
        core, tap, view, buffers = self.core, self._hub.tap, self._view, self._buffers
        now = time.monotonic()
        many = now - self._read_at < SOON
        for count in range(TURN if many else 1):
            try:
                size = os.readv(tap, buffers)
            except BlockingIOError:
                many = count > 1
                break
            except OSError as exc:
                if exc.errno == errno.EBADFD:
                    self._hub.end(TAP_GONE)
                break  # the interface is down, which may change
            core.take(view[:size], now)
            if core.full:
                self._send(now)
        self._read_at = now if many or count == 0 else 0.0

    def received(self, message: Received) -> None:
        """That is for the other half."""

    def answer(self) -> None:
        """Look whether the kernel has answered to what was just written to the tap: often it has at once."""
        self._readable()
        self._send(time.monotonic(), last=True)

    def turn(self, now: float) -> float:
        """Send what is there."""
        core = self.core
        if now >= self._deadline:
            core.tick(now)
            self._deadline = core.deadline()
        self._send(now, last=True)
        for write in core.writes:
            self._hub.write(write)
        core.writes.clear()
        for event in core.events:
            if isinstance(event, Local):
                self._hub.tell_other(self, event)
                continue
            self._hub.tell_driver(event)
            if isinstance(event, Found):
                self._hub.tell_other(self, event)
        core.events.clear()
        return self._deadline

    def _send(self, now: float, last: bool = False) -> None:
        for send in self.core.sends(last):
            way = self._ways.get(send.link)
            if way is None:
                continue
            if way.socket is None:
                self._hub.tell_driver(Relay(send.link, send.datagrams))
                continue
            try:
                way.transmit(send)
            except OSError as exc:
                self._deadline = 0.0
                if exc.errno == errno.EMSGSIZE:
                    self.core.refused(send, now)
                elif send.link in self.core.links:
                    self.core.links[send.link].unsent += len(send.datagrams)

    # -- orders

    def obey(self, order: Order, sockets: list[int]) -> Figures:
        """Carry out an order."""
        core, now = self.core, time.monotonic()
        self._deadline = 0.0
        match order:
            case AddLink():
                self._way(order.link, order.remote, sockets)
                core.add_link(order.link, order.send, Cipher(order.cipher), now)
                if order.prefixes:
                    core.set_peer(order.link, order.prefixes, now)
            case MoveLink() if order.link in core.links:
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
                core.configure(order.largest, order.own, order.allow_dhcp, order.allow_ra, now, order.carried)
            case Report():
                found = (core.links[number] for number in order.links if number in core.links)
                return {
                    link.number: {
                        "packets_out": link.packets,
                        "bytes_out": link.octets,
                        "too_big": link.too_big,
                        "unsent": link.unsent,
                        "mtu": link.path.limit,
                        "epoch": link.sealer.epoch,
                    }
                    for link in found
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
        self._ways[number] = Way(opened(sockets, ipv6), remote, ipv6)

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
            case Spent():
                core.exhausted(word.link)
