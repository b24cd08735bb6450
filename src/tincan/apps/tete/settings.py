"""What ``tin-can tete`` is asked to do: tete's options, and ours for a phrase.

The two addresses decide who is the client in TLS, so both users must give the
same two, the other way round; compared as bytes, IPv4 in its IPv6-mapped form,
the greater one is the client.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from tincan.apps.tete.flags import Flag, Value, listing, parse
from tincan.errors import UsageError

IP = ipaddress.IPv4Address | ipaddress.IPv6Address

DEFAULT_PORT: Final = 54312

FLAGS: Final = (
    Flag("h", False, "show this list and exit"),
    Flag("k", False, "notice a peer that died: TCP keepalive after 10 seconds of silence"),
    Flag("lport", DEFAULT_PORT, "local port, to listen on and to connect from"),
    Flag("myip", "", "your public IPv4 or IPv6 address"),
    Flag("peerip", "", "the peer's public IPv4 or IPv6 address"),
    Flag("phrase", None, "have both ends prove this phrase, which tete itself cannot (visible in the process list)"),
    Flag("phrase-file", None, "read the phrase from a file, or '-' for stdin's first line; or set TIN_CAN_PHRASE"),
    Flag("rport", DEFAULT_PORT, "remote port, which the peer listens on and connects from"),
    Flag("v", False, "log more"),
)


@dataclass(frozen=True)
class TeteSettings:
    """Whom to connect with, and how."""

    mine: IP
    peer: IP
    lport: int = DEFAULT_PORT
    rport: int = DEFAULT_PORT
    keepalive: bool = False
    verbose: bool = False
    phrase: str | None = field(default=None, repr=False)
    phrase_file: str | None = None

    @property
    def client(self) -> bool:
        """Whether this end is the client in TLS; the other end comes to the opposite."""
        return as_bytes(self.mine) > as_bytes(self.peer)


def usage() -> str:
    """Return the list of options."""
    return listing("tete", FLAGS)


def read_settings(arguments: Sequence[str]) -> TeteSettings | None:
    """Read the command line; None when the list of options is asked for.

    Raises `FlagError` for what Go would not take, `UsageError` for what cannot be meant.
    """
    values = parse(FLAGS, arguments)
    if values is None or values["h"]:
        return None
    if not values["myip"] or not values["peerip"]:
        raise UsageError("Give your own public address with -myip and the peer's with -peerip; -h lists the options.")
    mine = _address("-myip", values["myip"])
    peer = _address("-peerip", values["peerip"])
    if mine == peer:
        raise UsageError("-myip and -peerip are the same address, and two ends need two.")
    if mine.version != peer.version:
        raise UsageError("-myip and -peerip must both be IPv4 or both be IPv6.")
    return TeteSettings(
        mine,
        peer,
        _port("-lport", values["lport"]),
        _port("-rport", values["rport"]),
        keepalive=bool(values["k"]),
        verbose=bool(values["v"]),
        # An empty one was meant to be one: that it is none is told, not passed over.
        phrase=_text(values["phrase"]),
        phrase_file=_text(values["phrase-file"]),
    )


def as_bytes(address: IP) -> bytes:
    """Return the 16 bytes that addresses are compared by; IPv4 is mapped (RFC 4291 section 2.5.5.2)."""
    if isinstance(address, ipaddress.IPv4Address):
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def _text(value: Value) -> str | None:
    return value if isinstance(value, str) else None


def _address(option: str, value: Value) -> IP:
    text = str(value)
    try:
        if "%" in text:
            raise ValueError("an interface is no part of a public address")
        address = ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"What {option} names is no IPv4 or IPv6 address.") from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if address.is_unspecified or address.is_multicast:
        raise UsageError(f"What {option} names is not the address of one machine.")
    return address


def _port(option: str, value: Value) -> int:
    if not isinstance(value, int) or not 1 <= value <= 65535:
        raise UsageError(f"{option} must be a port from 1 to 65535.")
    return value
