"""The in half of a pump: from the sockets to the tap."""

from __future__ import annotations

import functools
import os
import socket
import time
from collections.abc import Callable

from tincan.vpn.path.hub import CONTROL_SIZE, LARGEST, SOON, UDP_GRO, Figures, Hub, opened
from tincan.vpn.path.incoming import Incoming, Translate
from tincan.vpn.path.plane import Cipher, Mode
from tincan.vpn.path.rehearsal import Rehearsal
from tincan.vpn.path.vnet import NOTHING
from tincan.vpn.path.words import (
    AddLink,
    Configure,
    Found,
    Heard,
    Inject,
    Local,
    MoveLink,
    Order,
    Received,
    RemoveLink,
    Report,
    SetPeer,
    ToIn,
    ToOut,
)

TURN = 64
"""Receive calls before anything else is looked at."""
SPACE = socket.CMSG_SPACE(CONTROL_SIZE.size)
LISTENED = 2
"""Sockets of a link that are listened to: the present one and the former."""


class InPump:
    """The loop around `Incoming`."""

    def __init__(self, hub: Hub, mode: Mode, datagram_runs: bool, after: Callable[[], None] | None = None) -> None:
        """``after``: called when something was written to the tap."""
        self._hub = hub
        self._switched = mode is Mode.SWITCH
        self._after = after
        self.core = Incoming(self._switched, datagram_runs)
        self._sockets: dict[int, list[socket.socket]] = {}
        self._buffer = bytearray(LARGEST)
        self._view = memoryview(self._buffer)
        self._buffers = [self._buffer]
        self._read_at = 0.0
        self._heard: set[int] = set()
        self._relayed = False
        hub.add(self)

    def _readable(self, number: int, link: socket.socket) -> None:
        """Receive what a socket has; large runs are written at once."""
        core, view, buffers = self.core, self._view, self._buffers
        now = time.monotonic()
        many = now - self._read_at < SOON
        pending = 0
        for count in range(TURN if many else 1):
            try:
                size, ancillary, _, _ = link.recvmsg_into(buffers, SPACE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                many = count > 1
                break
            except OSError:  # what ICMP said of an earlier datagram
                continue
            each = size
            for level, kind, data in ancillary:
                if level == socket.IPPROTO_UDP and kind == UDP_GRO:
                    (each,) = CONTROL_SIZE.unpack(data)
            core.take(number, view[:size], each, now)
            pending += size
            if pending >= LARGEST // 2:
                self._write()
                pending = 0
        self._read_at = now if many or count == 0 else 0.0
        self._write()

    def _write(self) -> None:
        writes = self.core.writes()
        for write in writes:
            self._hub.write(write)
        if writes and self._after is not None:
            self._after()

    def turn(self, now: float) -> float:
        """Write what came by relays, and tell what is to be told."""
        if self._relayed:
            self._relayed = False
            self._write()
        words = self.core.words
        if words:
            for word in words:
                self._hub.tell_other(self, word)
                if isinstance(word, Heard) and word.link not in self._heard:
                    self._heard.add(word.link)
                    self._hub.tell_driver(word)
            words.clear()
        return float("inf")

    def received(self, message: Received) -> None:
        """Take a datagram of a relayed link; `turn` writes what came together."""
        self.core.take(message.link, message.datagram, len(message.datagram), time.monotonic())
        self._relayed = True

    # -- orders

    def obey(self, order: Order, sockets: list[int]) -> Figures:
        """Carry out an order."""
        core = self.core
        match order:
            case AddLink():
                cipher = Cipher(order.cipher)
                core.add_link(order.link, order.receive, cipher)
                if self._hub.rehearsal is None or self._hub.rehearsal.cipher is not cipher:
                    self._hub.rehearsal = Rehearsal(self._switched, cipher, time.monotonic())
                if order.prefixes:
                    core.set_peer(order.link, order.prefixes)
                self._listen(order.link, order.remote, sockets)
            case MoveLink() if order.link in core.links:
                self._listen(order.link, order.remote, sockets)
            case RemoveLink():
                core.remove_link(order.link)
                self._heard.discard(order.link)
                for one in self._sockets.pop(order.link, []):
                    self._leave(one)
            case SetPeer():
                core.set_peer(order.link, order.prefixes)
            case Configure():
                translate = None if order.translation is None else translator(order.translation)
                core.configure(order.own, order.allow_dhcp, order.allow_ra, translate)
            case Inject():
                os.writev(self._hub.tap, (NOTHING, order.packet))
            case Report():
                found = (core.links[number] for number in order.links if number in core.links)
                return {
                    link.number: {
                        "packets_in": link.packets,
                        "bytes_in": link.octets,
                        "invalid": link.opener.invalid,
                        "replayed": link.opener.replayed,
                        "spoofed": link.spoofed,
                        "filtered": link.filtered,
                        "storm": link.storm,
                        "heard": link.heard,
                    }
                    for link in found
                }
        return {}

    def _listen(self, number: int, remote: tuple[str, int] | None, sockets: list[int]) -> None:
        if remote is None:
            return
        link = opened(sockets, ":" in remote[0])
        listened = self._sockets.setdefault(number, [])
        listened.append(link)
        self._hub.watch(link.fileno(), functools.partial(self._readable, number, link))
        while len(listened) > LISTENED:
            self._leave(listened.pop(0))

    def _leave(self, link: socket.socket) -> None:
        self._hub.unwatch(link.fileno())
        link.close()

    def told(self, word: ToIn | ToOut) -> None:
        """Take a word of the out pump."""
        if isinstance(word, Local):
            self.core.local(word.mac, time.monotonic())
        elif isinstance(word, Found) and word.link in self.core.links:
            self.core.links[word.link].limit = word.mtu


def translator(maps: dict[int, dict[str, str]]) -> Translate:
    """Load the translator, which only a social network needs. A link without a map is let say nothing in IPv4."""
    from tincan.vpn.social.translate import Translator

    translators = {number: Translator.of(addresses) for number, addresses in maps.items()}

    def translate(number: int, packet: bytes, partial: bool) -> tuple[bytes, bool] | None:
        found = translators.get(number)
        changed = None if found is None else found.translate(bytearray(packet), partial=partial)
        return None if found is None or changed is None else (bytes(changed), found.repeats(changed))

    return translate
