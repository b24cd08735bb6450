"""What a module tells its controllers. Frozen, and JSON by their field names."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from tincan.vpn.module.methods import Candidate
from tincan.vpn.module.states import State


class CandidatesFound(msgspec.Struct, frozen=True, tag="candidates", tag_field="event"):
    """Candidates of our end of a link, found after its description; for the peer's `add_candidates`."""

    link: int
    ufrag: str
    candidates: tuple[Candidate, ...]
    complete: bool


class LinkChanged(msgspec.Struct, frozen=True, tag="link", tag_field="event"):
    """A link's state or path is another one; ``reason`` is a sentence where something went wrong."""

    link: int
    peer: str
    state: State
    path: str | None = None
    rtt: float | None = None
    reason: str | None = None


class PacketUnrouted(msgspec.Struct, frozen=True, tag="packet", tag_field="event"):
    """A packet from the tap that no link is there for (at most some a second are told)."""

    packet: bytes
    destination: str
    """The IP address, or the MAC address in switch mode."""

    peer: str | None = None
    """Who has that address, if a peer has been given it (`set_peer`)."""


class MessageCame(msgspec.Struct, frozen=True, tag="message", tag_field="event"):
    """The other controller sent a message over a link."""

    link: int
    peer: str
    data: bytes


class NetworkChanged(msgspec.Struct, frozen=True, tag="network_changed", tag_field="event"):
    """This machine's addresses or routes have changed: links may want a restart."""


class MtuChanged(msgspec.Struct, frozen=True, tag="mtu", tag_field="event"):
    """The largest packet that fits the path of a link is another one."""

    link: int
    mtu: int


class XmppChanged(msgspec.Struct, frozen=True, tag="xmpp", tag_field="event"):
    """The login at an XMPP server, which controllers of the IPOP API ask for, is in another state."""

    state: Literal["connecting", "online", "failed"]
    """``failed`` lasts until a controller tries again; ``connecting`` may have a reason too, of the last attempt."""

    reason: str | None = None


Event: TypeAlias = (
    CandidatesFound | LinkChanged | PacketUnrouted | MessageCame | NetworkChanged | MtuChanged | XmppChanged
)

NAMES = frozenset({"candidates", "link", "packet", "message", "network_changed", "mtu", "xmpp"})


def name_of(event: Event) -> str:
    """Return the name an event is subscribed by."""
    return str(event.__struct_config__.tag)
