"""What an overlay tells: who is there, what they say, and what becomes of the login. Frozen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Heard:
    """A friend's node has shown that it is there."""

    uid: str


@dataclass(frozen=True)
class Gone:
    """A friend's node has signed off."""

    uid: str


@dataclass(frozen=True)
class Said:
    """A friend's controller says something. Nothing of it has been checked."""

    uid: str
    kind: str
    data: str = field(repr=False)


@dataclass(frozen=True)
class SignedIn:
    """The login worked."""


@dataclass(frozen=True)
class SignedOut:
    """The login failed, or the connection was lost. ``final``: it is not tried again by itself."""

    reason: str
    final: bool


OverlayEvent: TypeAlias = Heard | Gone | Said | SignedIn | SignedOut
