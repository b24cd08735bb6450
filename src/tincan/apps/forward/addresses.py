"""Addresses and forwardings as users write them, and their one normal form.

Two addresses are the same when their normal texts are: hosts in lower case,
IP addresses as `ipaddress` writes them, IPv6 in brackets, paths without ``..``
and doubled slashes. Names are not resolved here; that is for the side that
dials or listens, with its own resolver.

What the peer sends goes through `read_address` as well. It takes nothing but
plain ASCII names, IP addresses and absolute paths of printable characters.
"""

from __future__ import annotations

import enum
import ipaddress
import posixpath
import re
from dataclasses import dataclass

from tincan.errors import UsageError

LOOPBACK = "localhost"
"""The host of a listener for which none is named: 127.0.0.1, and ::1 where there is IPv6."""

EVERYWHERE = "*"
"""The host of a listener on all interfaces."""

MAX_HOST = 255
MAX_PATH = 100
"""Characters in the path of a Unix socket; systems take 104 to 108 bytes with the end."""

_FIELD = re.compile(r"\[[^\[\]]*\]|[^:\[\]]*")
_HOST = re.compile(r"(?!-)[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]{1,32})?\]")
_PORT = re.compile(r"[0-9]{1,5}")


class Transport(enum.Enum):
    """What is carried."""

    TCP = "tcp"
    """Byte streams: TCP, and Unix sockets too."""
    UDP = "udp"


@dataclass(frozen=True)
class HostPort:
    """A port of a host. ``host`` is in normal form, without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class UnixPath:
    """A Unix socket."""

    path: str

    def __str__(self) -> str:
        return self.path


Address = HostPort | UnixPath


@dataclass(frozen=True)
class Forwarding:
    """One ``-L`` or ``-R``: what comes in at ``at`` is carried to ``target``. ``text``: as the user wrote it."""

    text: str
    at: Address
    target: Address
    transport: Transport = Transport.TCP


def read_forwarding(text: str, transport: Transport = Transport.TCP) -> Forwarding:
    """Read ``[BIND:]PORT:HOST:HOSTPORT``, with paths in the place of either half, and ``/udp`` or ``/tcp`` after it.

    Raises `UsageError` with the text quoted.
    """
    spec, transport = _without_transport(text, transport)
    fields = split_fields(spec)
    try:
        half = len(fields) - (1 if fields[-1].startswith("/") else 2)
        if half not in (1, 2):
            raise ValueError("it must have two ends")
        at, target = _listener(fields[:half]), _target(fields[half:])
    except ValueError as exc:
        raise UsageError(
            f"{text!r} cannot be forwarded ({exc}): write [BIND:]PORT:HOST:PORT, with IPv6 addresses in brackets, "
            "or the path of a Unix socket for either end."
        ) from None
    if transport is Transport.UDP and (isinstance(at, UnixPath) or isinstance(target, UnixPath)):
        raise UsageError(f"{text!r} cannot be forwarded: UDP goes between ports, not through Unix sockets.")
    return Forwarding(text, at, target, transport)


def read_address(text: str) -> Address:
    """Read the normal form of an address, as the peer sends it; raise `ValueError` for anything else."""
    address = _listener(split_fields(text))
    if str(address) != text:
        raise ValueError(f"{text!r} is no address in normal form")
    return address


def read_target(text: str) -> Address:
    """Read the normal form of an address that can be connected to; raise `ValueError`."""
    address = _target(split_fields(text))
    if str(address) != text:
        raise ValueError(f"{text!r} is no address in normal form")
    return address


def _without_transport(text: str, transport: Transport) -> tuple[str, Transport]:
    for kind in Transport:
        spec = text.removesuffix(f"/{kind.value}")
        # A path may end like that too: the suffix goes with a port.
        if spec != text and _PORT.fullmatch(spec.rpartition(":")[2]):
            return spec, kind
    return text, transport


def split_fields(text: str) -> list[str]:
    """Split at colons, but not at those within brackets; return one empty field when that makes no sense."""
    fields, place = [], 0
    while True:
        found = _FIELD.match(text, place)
        if found is None:  # the expression matches nothing at all as well
            return [""]
        fields.append(found[0])
        place = found.end()
        if place == len(text):
            return fields
        if text[place] != ":":
            return [""]
        place += 1


def _listener(fields: list[str]) -> Address:
    if len(fields) == 1:
        return read_path(fields[0]) if fields[0].startswith("/") else HostPort(LOOPBACK, read_port(fields[0]))
    host, port = _pair(fields)
    return HostPort(EVERYWHERE if host == EVERYWHERE else read_host(host), read_port(port))


def _target(fields: list[str]) -> Address:
    if len(fields) == 1:
        return read_path(fields[0])
    host, port = _pair(fields)
    number = read_port(port)
    if number == 0:
        raise ValueError("port 0 is nothing to connect to")
    return HostPort(read_host(host), number)


def _pair(fields: list[str]) -> tuple[str, str]:
    if len(fields) != 2:
        raise ValueError("it must be HOST:PORT")
    return fields[0], fields[1]


def read_host(text: str) -> str:
    """Return a host's normal form, IPv6 without its brackets; raise `ValueError` when it is none."""
    if text.startswith("["):
        try:
            if _IPV6.fullmatch(text):
                return str(ipaddress.IPv6Address(text[1:-1]))
        except ValueError:
            pass
        raise ValueError(f"{text} is no IPv6 address")
    host = text.lower()
    if not host.isascii() or len(host) > MAX_HOST or not _HOST.fullmatch(host):
        raise ValueError(f"{text!r} is no host")
    return host.rstrip(".")


def read_port(text: str) -> int:
    """Return a port from 0 to 65535; raise `ValueError` when it is none."""
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError(f"{text!r} is no port")
    return int(text)


def read_path(text: str) -> UnixPath:
    """Return a Unix socket's address in normal form; raise `ValueError` when it is no absolute path."""
    if not text.startswith("/") or not text.isprintable() or len(text.encode("utf-8", "replace")) > MAX_PATH:
        raise ValueError(f"{text!r} is no path that a Unix socket can have")
    return UnixPath("/" + posixpath.normpath(text).lstrip("/"))
