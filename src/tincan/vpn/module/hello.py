"""What the modules at the two ends of a link tell each other on its control channel. Pure.

The first message is a hello: what this end carries, and the ciphers it likes,
the dearest first. After it come messages of the controllers. Each begins with
a byte that says what it is; what is not known is passed over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from tincan.errors import ProtocolError
from tincan.vpn.module.methods import Mode
from tincan.vpn.path.plane import SECRET_LENGTH, Cipher, LinkKeys

VERSION: Final = 1
HELLO: Final = b"\x01"
MESSAGE: Final = b"\x02"


class Hello(msgspec.Struct, frozen=True):
    """The first message."""

    version: int
    mode: Mode
    ciphers: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=32)], ...], msgspec.Meta(max_length=16)]


_hellos = msgspec.json.Decoder(Hello)


def our_hello(mode: Mode, *, fast_aes: bool) -> Hello:
    """Return this end's hello."""
    ciphers = [Cipher.AES_128_GCM, Cipher.CHACHA20_POLY1305]
    return Hello(VERSION, mode, tuple(c.value for c in (ciphers if fast_aes else reversed(ciphers))))


def write_hello(hello: Hello) -> bytes:
    """Return the message to send."""
    return HELLO + msgspec.json.encode(hello)


def read_hello(message: bytes) -> Hello:
    """Read the peer's first message; `ProtocolError` where it is no hello."""
    try:
        if message[:1] != HELLO:
            raise ValueError("it begins otherwise")
        return _hellos.decode(message[1:])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise ProtocolError("The other end of the link does not speak as a TinCan module does.") from None


@dataclass(frozen=True)
class Agreed:
    """What two hellos come to."""

    cipher: Cipher


def agree(ours: Hello, theirs: Hello) -> Agreed:
    """Compare two hellos; both ends come to the same. `ProtocolError` where they do not go together."""
    if theirs.mode != ours.mode:
        words = {"ip": "IP packets", "switch": "Ethernet frames"}
        raise ProtocolError(
            f"The other end carries {words[theirs.mode]} and this one {words[ours.mode]}; both must be in one mode."
        )
    aes = Cipher.AES_128_GCM.value
    liked = [h.ciphers[:1] == (aes,) for h in (ours, theirs)]
    cipher = Cipher.AES_128_GCM if all(liked) else Cipher.CHACHA20_POLY1305
    if cipher.value not in theirs.ciphers:
        raise ProtocolError("The other end of the link has no cipher that this one has; update the older one.")
    return Agreed(cipher)


EXPORTED: Final = 2 * SECRET_LENGTH
"""Bytes of keying material: the secret of DTLS's client, then its server's."""


def keys_of(exported: bytes, *, client: bool, cipher: Cipher) -> LinkKeys:
    """Split the keying material of a link into the secrets of the two directions."""
    first, second = exported[:SECRET_LENGTH], exported[SECRET_LENGTH:]
    return LinkKeys(first, second, cipher) if client else LinkKeys(second, first, cipher)
