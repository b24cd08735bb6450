"""What an operator may set."""

from __future__ import annotations

from dataclasses import dataclass, field

from tincan.switchboard.dialects.rooms import RoomLimits
from tincan.switchboard.limits import RateLimits
from tincan.switchboard.party import PartyLimits
from tincan.switchboard.quotas import MailboxLimits


@dataclass(frozen=True, slots=True)
class SwitchboardSettings:
    """Settings of one switchboard."""

    host: str = "127.0.0.1"
    """Address or name to listen on, without brackets. ``::`` means all addresses, IPv4 too."""
    port: int = 8080
    """0: any free port."""
    stun: tuple[str, ...] = ()
    """STUN URLs handed to cans, such as ``stun:stun.example.org:3478``."""
    turn_urls: tuple[str, ...] = ()
    """TURN URLs handed to cans; used together with `turn_secret` only."""
    turn_secret: str = field(default="", repr=False)
    """The secret shared with the TURN server (coturn: ``static-auth-secret``)."""
    turn_ttl: int = 3600
    """Seconds for which a TURN login is good."""
    rates: RateLimits = field(default_factory=RateLimits)
    mailboxes: MailboxLimits = field(default_factory=MailboxLimits)
    rooms: RoomLimits = field(default_factory=RoomLimits)
    party: PartyLimits = field(default_factory=PartyLimits)
    connections: int = 20_000
    """WebSockets at one time, of all addresses: both sides of every mailbox."""
    handshake: float = 10
    """Seconds from connecting to a complete request, and again from there to the first frame."""
    trust_forwarded: bool = False
    """Behind a proxy: take the client's address from ``X-Forwarded-For``. Without a proxy that
    sets it, everybody could claim any address and the limits would mean nothing."""
