"""What a meeting tells whoever watches it. Frozen, and free of secrets unless said."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase
from tincan.nat.servers import IceServer


@dataclass(frozen=True)
class Waiting:
    """The string code is known and the places are being tried."""

    code: str
    phrase: Phrase = field(repr=False)


class PlaceReady(msgspec.Struct, frozen=True):
    """One place is reached; the other can could show up there."""

    place: str


class PlaceTrouble(msgspec.Struct, frozen=True):
    """One place cannot be used now. ``text`` is one sentence."""

    place: str
    text: str


class SideTaken(msgspec.Struct, frozen=True):
    """Which side this can has come to, where nobody had said it; told once, just before `PeerFound`."""

    side: Side


class PeerFound(msgspec.Struct, frozen=True):
    """The other can is at this place and the handshake has begun."""

    place: str


class ServersOffered(msgspec.Struct, frozen=True):
    """A switchboard offers STUN or TURN servers."""

    servers: tuple[IceServer, ...]


MeetEvent = Waiting | PlaceReady | PlaceTrouble | SideTaken | PeerFound | ServersOffered
