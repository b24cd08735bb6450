"""What a running group network tells whoever watches it. Frozen, and free of secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import msgspec


@dataclass(frozen=True)
class NetworkUp:
    """The interface is there; members are looked for."""

    network: str
    interface: str
    name: str
    """Our own."""
    address: str
    address6: str
    mode: str


@dataclass(frozen=True)
class MemberNews:
    """A member can be reached from now on, or cannot any more, or goes by another path."""

    name: str
    address: str
    online: bool
    path: str | None = None
    rtt: float | None = None
    reason: str | None = None


@dataclass(frozen=True)
class MemberGone:
    """Somebody is no member any more: ``banned``, or left."""

    name: str
    banned: bool


@dataclass(frozen=True)
class Remark:
    """Something that a person should know, in a sentence."""

    text: str


GroupEvent: TypeAlias = NetworkUp | MemberNews | MemberGone | Remark


class MemberStatus(msgspec.Struct, frozen=True):
    """One member, as `tin-can net status` shows it."""

    name: str
    uid: str
    address: str
    address6: str
    state: str
    """``me``, ``online``, ``connecting``, ``present`` (no link yet or none wanted) or ``away``."""
    admin: bool = False
    path: str | None = None
    rtt: float | None = None
    reason: str | None = None
    seen: int = 0
    """When it was heard of last, in seconds since the epoch; 0: never."""


class PlaceStatus(msgspec.Struct, frozen=True):
    """One place where members meet."""

    name: str
    trouble: str | None


class NetworkStatus(msgspec.Struct, frozen=True):
    """A group network on this machine."""

    network: str
    mode: str
    subnet: str
    up: bool
    admin: bool
    epoch: int
    members: tuple[MemberStatus, ...]
    interface: str | None = None
    places: tuple[PlaceStatus, ...] = ()
    expires: int = 0
    """When our certificate runs out, in seconds since the epoch."""

    trouble: str | None = None
    """Why we cannot be on the network any more, or cannot before long."""
