"""What the core of the dialect wants done. Frozen; passwords are not shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from tincan.vpn.module.methods import CreateLink

Address: TypeAlias = tuple[str, int]
"""Where a controller's socket is: a loopback address and a port."""


@dataclass(frozen=True)
class Send:
    """A datagram for a controller."""

    to: Address
    datagram: bytes


@dataclass(frozen=True)
class Ask:
    """Have the module do something; nothing is done with its answer, and a refusal is logged."""

    method: str
    params: msgspec.Struct


@dataclass(frozen=True)
class Open:
    """Have the module begin a link; the outcome goes to `Dialect.opened` with this ``ticket``."""

    ticket: int
    params: CreateLink


@dataclass(frozen=True)
class Identify:
    """Ask the module what it is; the answer goes to `Dialect.identified`."""


@dataclass(frozen=True)
class Look:
    """Ask the module how its links are; the answer goes to `Dialect.looked` with this very object."""

    to: Address
    uid: str
    """Empty: every peer."""

    statistics: bool


@dataclass(frozen=True)
class Login:
    """Sign in at an XMPP server."""

    username: str
    host: str
    port: int
    uid: str
    password: str = field(repr=False)


@dataclass(frozen=True)
class Tell:
    """A message for another controller, by XMPP."""

    uid: str
    kind: str
    data: str = field(repr=False)
    """It may hold ICE credentials."""


@dataclass(frozen=True)
class SetLogging:
    """How much is logged: 0 nothing, 1 errors, 2 what happens, 3 everything (secrets never are)."""

    level: int


Effect: TypeAlias = Send | Ask | Open | Identify | Look | Login | Tell | SetLogging
