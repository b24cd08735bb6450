"""What the modules at the two ends of a link tell each other on its control channel. Pure.

The first message is a hello: what this end carries, and the ciphers it likes,
the dearest first. After it come messages of the controllers. Each begins with
a byte that says what it is; what is not known is passed over.
"""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from tincan.errors import ProtocolError
from tincan.vpn.module.methods import Mode

VERSION: Final = 1
HELLO: Final = b"\x01"
MESSAGE: Final = b"\x02"

AES: Final = "aes-128-gcm"
CHACHA: Final = "chacha20-poly1305"


class Hello(msgspec.Struct, frozen=True):
    """The first message."""

    version: int
    mode: Mode
    ciphers: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=32)], ...], msgspec.Meta(max_length=16)]


_hellos = msgspec.json.Decoder(Hello)


def our_hello(mode: Mode, *, fast_aes: bool) -> Hello:
    """Return this end's hello."""
    return Hello(VERSION, mode, (AES, CHACHA) if fast_aes else (CHACHA, AES))


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


def agree(ours: Hello, theirs: Hello) -> str:
    """Return the cipher that two hellos come to, the same at both ends; `ProtocolError` where there is none."""
    if theirs.mode != ours.mode:
        words = {"ip": "IP packets", "switch": "Ethernet frames"}
        raise ProtocolError(
            f"The other end carries {words[theirs.mode]} and this one {words[ours.mode]}; both must be in one mode."
        )
    cipher = AES if ours.ciphers[:1] == theirs.ciphers[:1] == (AES,) else CHACHA
    if cipher not in theirs.ciphers:
        raise ProtocolError("The other end of the link has no cipher that this one has; update the older one.")
    return cipher


MESSAGES_A_SECOND: Final = 100
BURST: Final = 200


class Allowance:
    """How many messages a peer may send: `BURST` at once, `MESSAGES_A_SECOND` in the long run."""

    def __init__(self, now: float) -> None:
        self._empty_at = now
        """When all that was taken has been made up for."""

    def take(self, now: float) -> float:
        """Take one message; return how many seconds it has to wait."""
        self._empty_at = max(self._empty_at, now) + 1 / MESSAGES_A_SECOND
        return max(0.0, self._empty_at - now - BURST / MESSAGES_A_SECOND)
