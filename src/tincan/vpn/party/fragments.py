"""Messages of a party line in datagrams of a LAN: cut and put together again. Pure.

A datagram: ``tcp1`` (4 bytes), topic (16), number of the message (8, random),
index and count (a byte each), and up to `CHUNK` bytes. What is put together is
bounded, in all and for each sender, and forgotten after `PATIENCE`.
"""

from __future__ import annotations

import collections
import hashlib
from dataclasses import dataclass, field
from typing import Final

from tincan.vpn.party.line import MAX_MESSAGE

MAGIC: Final = b"tcp1"
HEADER: Final = len(MAGIC) + 16 + 8 + 2
CHUNK: Final = 1200
"""Bytes in one datagram: with all headers below the 1,280 that every IPv6 network carries (RFC 8200 section 5)."""

MAX_FRAGMENTS: Final = -(-MAX_MESSAGE // CHUNK)
PATIENCE: Final = 3.0
MAX_PARTIAL: Final = 128
MAX_PARTIAL_PER_SENDER: Final = 16
REMEMBERED: Final = 2048


def cut(topic: str, number: bytes, message: bytes) -> list[bytes]:
    """Return the datagrams of a message; ``number`` is 8 random bytes."""
    chunks = [message[at : at + CHUNK] for at in range(0, len(message), CHUNK)] or [b""]
    head = MAGIC + bytes.fromhex(topic) + number
    return [head + bytes((index, len(chunks))) + chunk for index, chunk in enumerate(chunks)]


def topic_of(datagram: bytes) -> str:
    """Return the topic that a datagram is for, or what stands in its place."""
    return datagram[4:20].hex()


@dataclass
class _Partial:
    sender: str
    until: float
    count: int
    chunks: dict[int, bytes] = field(default_factory=dict)


class _Lately:
    """What there was lately, a bounded number of them."""

    def __init__(self) -> None:
        self._known: collections.OrderedDict[bytes, None] = collections.OrderedDict()

    def __contains__(self, item: bytes) -> bool:
        return item in self._known

    def add(self, item: bytes) -> bool:
        """Take note; return whether it is new."""
        if item in self._known:
            return False
        self._known[item] = None
        if len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return True


class Assembly:
    """Puts messages together. Every message is given out once, though it came over several interfaces."""

    def __init__(self) -> None:
        self._partial: dict[tuple[str, bytes], _Partial] = {}
        self._ours = _Lately()
        self._ended = _Lately()
        self._done = _Lately()

    def ours(self, number: bytes) -> None:
        """Pass over a message that we send ourselves and will hear."""
        self._ours.add(number)

    def add(self, sender: str, datagram: bytes, now: float) -> tuple[str, bytes] | None:
        """Take a datagram; return topic and message when it was the last one of it."""
        if len(datagram) < HEADER or len(datagram) > HEADER + CHUNK or not datagram.startswith(MAGIC):
            return None
        topic, number = datagram[4:20].hex(), datagram[20:28]
        index, count, chunk = datagram[28], datagram[29], datagram[30:]
        if not index < count <= MAX_FRAGMENTS or number in self._ours:
            return None
        ended = sender.encode() + number
        if ended in self._ended:
            return None
        if index < count - 1 and len(chunk) != CHUNK:
            return None
        key = (sender, number)
        partial = self._partial.get(key)
        if partial is None:
            if count > 1 and not self._room(sender, now):
                return None
            partial = self._partial[key] = _Partial(sender, now + PATIENCE, count)
        if partial.count != count:
            return None
        partial.chunks[index] = chunk
        if len(partial.chunks) < count:
            return None
        del self._partial[key]
        self._ended.add(ended)
        message = b"".join(partial.chunks[n] for n in range(count))
        if len(message) > MAX_MESSAGE:
            return None
        # Told by its content: whoever hears a number on the LAN can send something else under it.
        known = hashlib.blake2b(datagram[4:28] + message, digest_size=16).digest()
        return (topic, message) if self._done.add(known) else None

    def _room(self, sender: str, now: float) -> bool:
        for key in [key for key, partial in self._partial.items() if partial.until <= now]:
            del self._partial[key]
        same = sum(partial.sender == sender for partial in self._partial.values())
        return len(self._partial) < MAX_PARTIAL and same < MAX_PARTIAL_PER_SENDER
