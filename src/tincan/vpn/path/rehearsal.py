"""A packet that goes nowhere, so that the next real one is quick.

The packets of a conversation (keys typed, a game, a voice, a ping) come some milliseconds apart. In that time
the processor's caches lose our code to whatever else runs on the machine, and a packet that finds them empty takes
three times as long. So, while packets come now and then, a pump takes one of its own through both cores every two
milliseconds in between: with keys and addresses of its own, from no tap and to no socket. The real ones are asked,
too, and have nothing.

It costs a twentieth of one processor for as long as there are such packets, and nothing when there are none or
many: `Pace` says when.
"""

from __future__ import annotations

import os

from tincan.vpn.path.headers import Buffer, checksum, with_ip_checksum
from tincan.vpn.path.incoming import Incoming
from tincan.vpn.path.outgoing import Outgoing
from tincan.vpn.path.plane import SECRET_LENGTH, SWITCH_MTU, Cipher
from tincan.vpn.path.vnet import NOTHING
from tincan.vpn.path.words import Heard

EVERY = 0.002
"""Seconds between two."""
LIVELY = 0.25
"""Seconds after a packet in which another one is expected."""

_LINK = 0
_OURS, _PEERS = bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])  # documentation's own addresses (RFC 5737)
_MACS = bytes([2, 0, 0, 0, 0, 2]), bytes([2, 0, 0, 0, 0, 1])  # to, from; locally administered


class Pace:
    """When to rehearse."""

    def __init__(self) -> None:
        self._until = 0.0

    def wait(self, now: float, wait: float) -> float:
        """Shorten a wait (seconds; negative: for ever) while packets are expected."""
        return wait if now >= self._until or 0 <= wait < EVERY else EVERY

    def due(self, now: float, came: bool) -> bool:
        """Say whether it is time; ``came``: the wait ended because there was something to do."""
        if came:
            self._until = now + LIVELY
        return not came and now < self._until


class Rehearsal:
    """Both cores of a virtual network of its own."""

    def __init__(self, switched: bool, cipher: Cipher, now: float) -> None:
        self.cipher = cipher
        secret = os.urandom(SECRET_LENGTH)
        self._out, self._in = Outgoing(switched, SWITCH_MTU), Incoming(switched)
        self._out.configure(SWITCH_MTU, [(_OURS, 24)], False, False, now)
        self._in.configure([(_PEERS, 24)], False, False)
        self._out.add_link(_LINK, secret, cipher, now)
        self._in.add_link(_LINK, secret, cipher)
        self._out.set_peer(_LINK, [(_PEERS, 32)], now)
        self._in.set_peer(_LINK, [(_OURS, 32)])
        self._packet = memoryview(NOTHING + (b"".join(_MACS) + b"\x08\0" if switched else b"") + _echo())

    def run(self, now: float) -> list[Buffer]:
        """Take the packet through; gives what would be written to the tap."""
        self._out.take(self._packet, now)
        for send in self._out.sends():
            for datagram in send.datagrams:
                self._in.take(_LINK, memoryview(datagram), len(datagram), now)
        for word in self._in.words:
            if isinstance(word, Heard):  # keys are renewed here, too
                self._out.heard(_LINK, word.epoch, now)
        self._out.events.clear()
        self._in.words.clear()
        return [b"".join(write) for write in self._in.writes()]


def _echo() -> bytes:
    """An ICMP echo request (RFC 792) of ping's usual size."""
    message = b"\x08\0\0\0" + bytes(60)
    message = message[:2] + checksum(message).to_bytes(2, "big") + message[4:]
    header = bytes([0x45, 0, 0, 20 + len(message), 0, 0, 0, 0, 64, 1, 0, 0]) + _OURS + _PEERS
    return with_ip_checksum(header) + message
