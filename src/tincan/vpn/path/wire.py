"""The datagram on the wire: one packet, sealed. Keys, counters, the replay window, the key update.

A datagram is a header, which is authenticated, and the sealed packet::

    0        1        2                                   10
    +--------+--------+-----------------------------------+----------------+-----------+
    | kind   | epoch  | counter, 64 bits, network order   | sealed packet  | tag, 16   |
    +--------+--------+-----------------------------------+----------------+-----------+

The construction is that of QUIC (RFC 9001): key and iv by HKDF-Expand-Label
from a secret a direction (section 5.1), the nonce is the iv XOR the counter
(section 5.3), the header is the associated data, and keys are updated in band
(section 6). Where QUIC has one bit of key phase there is a byte here. The
counter goes on over key updates, as QUIC's packet numbers do. The replay
window is that of RFC 6479.

A key seals at most `LIMIT` datagrams (RFC 9001, section 6.6, for AES-GCM;
RFC 9147 has the same) and is replaced after half of them, or an hour. A sender
does not go on to the next epoch before the peer has been heard in the present one
(section 6.1); who sees the peer in the next epoch follows (section 6.2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tincan.vpn.path.plane import SECRET_LENGTH, Cipher

Buffer = bytes | bytearray | memoryview

HEADER = struct.Struct(">BBQ")
HEADER_LENGTH = HEADER.size
TAG_LENGTH = 16
SHORTEST = HEADER_LENGTH + TAG_LENGTH

WHOLE = 0xC0
"""The kind of a datagram whose packet is complete."""
PARTIAL = 0xC1
"""Its TCP or UDP checksum covers the pseudo-header only, as between a kernel and its network card: the seal has
already shown that nothing was changed, so the receiving kernel need not count again."""
CONTROL = 0xC2
"""No packet, but a word between the two data planes (`tincan.vpn.path.control`)."""

LIMIT = 1 << 23
UPDATE_AFTER = LIMIT // 2
UPDATE_SECONDS = 3600.0
FORGET_SECONDS = 3.0
"""How long datagrams of the former epoch, late on the way, are still opened (RFC 9001, section 6.5)."""
LAST_COUNTER = (1 << 62) - 1
"""As QUIC's (RFC 9000, section 12.3): no counter comes near it in this world."""

FORGERIES = {Cipher.AES_128_GCM: 1 << 52, Cipher.CHACHA20_POLY1305: 1 << 36}
"""How many failed openings a link survives (RFC 9001, section 6.6)."""


class Aead(Protocol):
    """What `cryptography` has of each cipher."""

    def encrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        """Seal."""

    def decrypt(self, nonce: bytes, data: Buffer, associated_data: Buffer | None, /) -> bytes:
        """Open."""


AEADS: dict[Cipher, tuple[Callable[[bytes], Aead], int]] = {
    Cipher.AES_128_GCM: (AESGCM, 16),
    Cipher.CHACHA20_POLY1305: (ChaCha20Poly1305, 32),
}


class KeysSpent(Exception):
    """The key has sealed as much as it may and the peer has not followed to the next one."""


def expand_label(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 8446, section 7.1)."""
    name = b"tls13 " + label.encode()
    info = struct.pack(">HB", length, len(name)) + name + b"\0"
    return HKDFExpand(SHA256(), length, info).derive(secret)


def next_secret(secret: bytes, label: str = "tin-can ku") -> bytes:
    """Derive the next epoch's secret (RFC 9001, section 6.1)."""
    return expand_label(secret, label, SECRET_LENGTH)


class Key:
    """One direction's key of one epoch."""

    __slots__ = ("aead", "iv", "secret")

    def __init__(self, secret: bytes, cipher: Cipher) -> None:
        kind, length = AEADS[cipher]
        self.secret = secret
        self.aead: Aead = kind(expand_label(secret, "tin-can key", length))
        self.iv = int.from_bytes(expand_label(secret, "tin-can iv", 12), "big")

    def next(self, cipher: Cipher) -> Key:
        """Give the key of the next epoch."""
        return Key(next_secret(self.secret), cipher)


class Sealer:
    """The sending half of a link's keys."""

    def __init__(self, secret: bytes, cipher: Cipher, now: float) -> None:
        self.epoch = 0
        self._cipher = cipher
        self._key = Key(secret, cipher)
        self._counter = 0
        self._first = 0
        self._since = now

    def prepare(self, count: int, now: float, heard: int | None) -> None:
        """Make ready for `count` datagrams: update the key when it is time.

        ``heard`` is the latest epoch the peer has been heard in. Raises `KeysSpent`.
        """
        if heard is not None and heard > self.epoch:
            self._update(now)
        sealed = self._counter - self._first + count
        if (sealed > UPDATE_AFTER or now - self._since > UPDATE_SECONDS) and heard == self.epoch:
            self._update(now)
        elif sealed > LIMIT or self._counter + count > LAST_COUNTER:
            raise KeysSpent

    def _update(self, now: float) -> None:
        self._key = self._key.next(self._cipher)
        self.epoch += 1
        self._first = self._counter
        self._since = now

    def seal_one(self, kind: int, packet: Buffer) -> bytes:
        """Seal a packet; `prepare` was called for it."""
        counter, key = self._counter, self._key
        self._counter = counter + 1
        header = HEADER.pack(kind, self.epoch & 0xFF, counter)
        return header + key.aead.encrypt((key.iv ^ counter).to_bytes(12, "big"), packet, header)

    def seal(self, kind: int, packets: Iterable[Buffer]) -> list[bytes]:
        """Seal packets, each into a datagram of its own. `prepare` was called for them."""
        first, epoch = self._counter, self.epoch & 0xFF
        iv, encrypt, pack = self._key.iv, self._key.aead.encrypt, HEADER.pack
        sealed = [
            (header := pack(kind, epoch, counter)) + encrypt((iv ^ counter).to_bytes(12, "big"), packet, header)
            for counter, packet in enumerate(packets, first)
        ]
        self._counter = first + len(sealed)
        return sealed


class Window:
    """Which counters came already: the sliding window of RFC 6479, a ring of 64-bit words."""

    WORDS = 128
    SIZE = (WORDS - 1) * 64
    """How far behind the newest a counter may be."""

    __slots__ = ("_ring", "_top")

    def __init__(self) -> None:
        self._ring = [0] * self.WORDS
        self._top = -1

    def accept(self, counter: int) -> bool:
        """Take note of a counter; False if it came before or is too old. Only for what is authentic."""
        top = self._top
        block = counter >> 6
        if counter > top:
            for passed in range((top >> 6) + 1, min(block, (top >> 6) + self.WORDS) + 1):
                self._ring[passed % self.WORDS] = 0
            self._top = counter
        elif counter <= top - self.SIZE:
            return False
        at = block % self.WORDS
        word = self._ring[at]
        bit = 1 << (counter & 63)
        self._ring[at] = word | bit
        return not word & bit

    def follows(self, counter: int) -> bool:
        """Say whether a counter is higher than all before."""
        return counter > self._top

    def accept_run(self, first: int, count: int) -> None:
        """Take note of consecutive counters, the first of which follows all before."""
        self.accept(first)
        last = first + count - 1
        for block in range(first >> 6, (last >> 6) + 1):
            low, high = max(first, block << 6) & 63, min(last, block << 6 | 63) & 63
            mask = (1 << high + 1) - (1 << low)
            self._ring[block % self.WORDS] = mask | (self._ring[block % self.WORDS] if block == first >> 6 else 0)
        self._top = last


class Opener:
    """The receiving half of a link's keys."""

    def __init__(self, secret: bytes, cipher: Cipher) -> None:
        self.epoch = 0
        """The newest that the peer was heard in."""
        self.heard = False
        """Whether anything was opened yet."""
        self.invalid = 0
        self.replayed = 0
        self._cipher = cipher
        self._forgeries = FORGERIES[cipher]
        self._window = Window()
        self._former: Key | None = None
        self._forget_at = 0.0
        self._key = Key(secret, cipher)
        self._next = self._key.next(cipher)  # made before it is needed, so that time tells nothing (section 6.3)
        self._first = 0
        """The lowest counter seen in the present epoch."""

    @property
    def spent(self) -> bool:
        """Whether so much was forged that the keys must not be used any longer."""
        return self.invalid >= self._forgeries

    def open_all(self, data: Buffer, size: int, now: float) -> list[tuple[int, bytes]]:
        """Give kinds and packets of what came at once: datagrams of `size` bytes, the last may be shorter.

        Does what `open` does, but for all that are of the present epoch and in order at once.
        """
        opened: list[tuple[int, bytes]] = []
        present, key, end = self.epoch & 0xFF, self._key, len(data)
        iv, decrypt, unpack = key.iv, key.aead.decrypt, HEADER.unpack
        run = count = 0
        following = -1
        for at in range(0, end, size):
            header = data[at : at + HEADER_LENGTH]
            if end - at < SHORTEST:
                self.invalid += 1
                break
            kind, epoch, counter = unpack(header)
            if counter != following or epoch != present:
                if count:
                    self._window.accept_run(run, count)
                    count = 0
                if epoch != present or not self._window.follows(counter):
                    packet = self.open(data[at : at + size], now)
                    following = -1
                    if packet is not None:
                        opened.append((kind, packet))
                    if self._key is not key:
                        key, present = self._key, self.epoch & 0xFF
                        iv, decrypt = key.iv, key.aead.decrypt
                    continue
                run = counter
            try:
                packet = decrypt((iv ^ counter).to_bytes(12, "big"), data[at + HEADER_LENGTH : at + size], header)
            except InvalidTag:
                self.invalid += 1
                if count:
                    self._window.accept_run(run, count)
                    count = 0
                following = -1
                continue
            count += 1
            following = counter + 1
            opened.append((kind, packet))
        if count:
            self._window.accept_run(run, count)
        if opened:
            self.heard = True
        return opened

    def open(self, datagram: Buffer, now: float) -> bytes | None:
        """Give the packet of a datagram, or None when it is not authentic or came before."""
        if len(datagram) < SHORTEST:
            self.invalid += 1
            return None
        _, epoch, counter = HEADER.unpack_from(datagram)
        step = (epoch - self.epoch) & 0xFF
        if step == 0:
            key = self._key
        elif step == 1:
            key = self._next
        elif step == 0xFF and self._former is not None and now < self._forget_at and counter < self._first:
            key = self._former
        else:
            self.invalid += 1
            return None
        try:
            packet = key.aead.decrypt(
                (key.iv ^ counter).to_bytes(12, "big"), datagram[HEADER_LENGTH:], datagram[:HEADER_LENGTH]
            )
        except InvalidTag:
            self.invalid += 1
            return None
        if not self._window.accept(counter):
            self.replayed += 1
            return None
        if step == 1:
            self._follow(counter, now)
        elif step == 0 and counter < self._first:
            self._first = counter
        self.heard = True
        return packet

    def _follow(self, counter: int, now: float) -> None:
        """Go on to the next epoch with the peer."""
        self._former, self._key = self._key, self._next
        self._next = self._key.next(self._cipher)
        self._forget_at = now + FORGET_SECONDS
        self._first = counter
        self.epoch += 1
