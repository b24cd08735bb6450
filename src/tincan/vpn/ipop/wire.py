"""Datagrams between an IPOP controller and its module: version, kind, then JSON or a packet with two uids.

    0  version   02 up to v15.01, 03 in v15.11 and v16.01
    1  kind      01 JSON, 02 packet, 03 and 04 messages to another controller (v16 only)
    2  body      JSON, or 20 bytes source uid, 20 bytes destination uid, and an Ethernet frame

A controller exits when it gets another version or a kind that it does not
know, so `encode` makes nothing else. Of what comes, everything is believed to
be wrong until it has been read here.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

MAX_DATAGRAM: Final = 65_507
"""The largest that UDP over IPv4 carries, and the size of the controllers' buffers."""

UID_SIZE: Final = 20
HEADER_SIZE: Final = 2
UIDS_SIZE: Final = 2 * UID_SIZE
NO_UID: Final = bytes(UID_SIZE)

ICC_PREFIX: Final = bytes.fromhex("0069706f70")
"""The first five bytes of the destination MAC of messages between controllers: a zero and "ipop"."""

ICC_PADDING: Final = bytes(8)
"""Between that MAC and the body, where a frame has its source MAC and type."""

ICC_HEAD: Final = len(ICC_PREFIX) + 1 + len(ICC_PADDING)

METHODS: Final = frozenset(
    {
        "register_svc",
        "create_link",
        "set_local_ip",
        "set_remote_ip",
        "trim_link",
        "set_cb_endpoint",
        "get_state",
        "set_logging",
        "set_translation",
        "set_switchmode",
        "set_trimpolicy",
        "set_network_ignore_list",
        "echo_request",
        "echo_reply",
    }
)
"""What a module does itself; every other name is a message for another controller."""

_UID = re.compile(r"[0-9a-f]{40}")


class Release(enum.IntEnum):
    """A dialect; the value is what ``--ipop`` takes."""

    V14 = 14
    V16 = 16


class Kind(enum.IntEnum):
    """What a datagram holds."""

    CONTROL = 1
    PACKET = 2
    ICC_CONTROL = 3
    ICC_PACKET = 4


VERSIONS: Final = {Release.V14: 2, Release.V16: 3}

KINDS: Final = {
    Release.V14: frozenset({Kind.CONTROL, Kind.PACKET}),
    Release.V16: frozenset(Kind),
}
"""What each release sends and understands on this socket."""


@dataclass(frozen=True)
class Call:
    """A method and its fields."""

    method: str
    fields: Mapping[str, Any]


@dataclass(frozen=True)
class Packet:
    """An Ethernet frame and the uids of the nodes it goes between."""

    source: bytes
    destination: bytes
    frame: bytes


@dataclass(frozen=True)
class Icc:
    """A message from one controller to another; ``kind`` is `Kind.ICC_CONTROL` or `Kind.ICC_PACKET`."""

    kind: Kind
    source: bytes
    destination: bytes
    body: bytes


@dataclass(frozen=True)
class NotJson:
    """A control message that cannot be read: the one thing that is answered with an error."""


@dataclass(frozen=True)
class Unreadable:
    """Anything else that is passed over. ``reason`` is for the log."""

    reason: str


Datagram: TypeAlias = Call | Packet | Icc | NotJson | Unreadable


def decode(data: bytes, release: Release) -> Datagram:
    """Read a datagram of a controller; never raises."""
    if len(data) < HEADER_SIZE:
        return Unreadable("shorter than its header")
    if data[0] != VERSIONS[release]:
        return Unreadable(f"version {data[0]} where {VERSIONS[release]} is spoken")
    if data[1] not in KINDS[release]:
        return Unreadable(f"kind {data[1]}, which this release does not have")
    body = data[HEADER_SIZE:]
    kind = Kind(data[1])
    if kind is Kind.CONTROL:
        return _call(body)
    if kind is Kind.PACKET:
        return _packet(body)
    return read_icc(body)


def read_icc(body: bytes) -> Icc | Unreadable:
    """Read a message to another controller, without the two bytes in front: so it travels over a link as well."""
    head = UIDS_SIZE + ICC_HEAD
    if len(body) < head or body[UIDS_SIZE : UIDS_SIZE + len(ICC_PREFIX)] != ICC_PREFIX:
        return Unreadable("no message between controllers")
    number = body[UIDS_SIZE + len(ICC_PREFIX)]
    if number not in (Kind.ICC_CONTROL, Kind.ICC_PACKET):
        return Unreadable(f"a message between controllers of kind {number}")
    return Icc(Kind(number), body[:UID_SIZE], body[UID_SIZE:UIDS_SIZE], body[head:])


def write_icc(message: Icc) -> bytes:
    """Return a message as `read_icc` takes it."""
    mac = ICC_PREFIX + bytes([message.kind])
    return message.source + message.destination + mac + ICC_PADDING + message.body


def encode(message: Mapping[str, Any] | Packet | Icc, release: Release) -> bytes:
    """Return the datagram for a controller of this release.

    Raises `ValueError` for what the release does not know and for what does
    not fit: neither may reach a controller.
    """
    if isinstance(message, Packet):
        kind, body = Kind.PACKET, message.source + message.destination + message.frame
    elif isinstance(message, Icc):
        kind, body = message.kind, write_icc(message)
    else:
        kind, body = Kind.CONTROL, msgspec.json.encode(message)
    if kind not in KINDS[release]:
        raise ValueError(f"{kind.name} in release {release}")
    if HEADER_SIZE + len(body) > MAX_DATAGRAM:
        raise ValueError(f"{len(body)} bytes in one datagram")
    return bytes([VERSIONS[release], kind]) + body


def is_uid(text: str) -> bool:
    """Whether this is a uid as text: 40 hexadecimal digits in lower case, as every controller writes them."""
    return _UID.fullmatch(text) is not None


# -- fields of a call, converted as the original does (jsoncpp's asString, asInt, asBool) ------------------


def text(fields: Mapping[str, Any], name: str) -> str:
    """Return a field as text; what is missing, or no scalar, is empty."""
    value = fields.get(name)
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""


def number(fields: Mapping[str, Any], name: str, missing: int = 0) -> int:
    """Return a field as a whole number; some releases write these as text."""
    value = fields.get(name, missing)
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value):
        return int(value)
    return int(value) if isinstance(value, int | float) and abs(value) < 2**31 else missing


def truth(fields: Mapping[str, Any], name: str) -> bool:
    """Return a field as yes or no."""
    return bool(fields.get(name))


def _call(body: bytes) -> Call | NotJson:
    try:
        fields = msgspec.json.decode(body.rstrip(b"\0"))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return NotJson()
    if not isinstance(fields, dict):
        return NotJson()
    return Call(text(fields, "m"), fields)


def _packet(body: bytes) -> Packet | Unreadable:
    if len(body) < UIDS_SIZE + 14:
        return Unreadable("a packet shorter than its headers")
    return Packet(body[:UID_SIZE], body[UID_SIZE:UIDS_SIZE], body[UIDS_SIZE:])
