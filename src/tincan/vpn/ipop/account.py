"""An XMPP account without its library: what it is, who listens to it, and what can be said by it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from tincan.vpn.ipop.events import SignedOut


class Speaker(Protocol):
    """An account that is signed in."""

    def ask(self, to: str, kind: str, data: str) -> None:
        """Send a message to an address; nothing is waited for."""

    def enter(self, room: str, nick: str) -> None:
        """Go into a room, which is made if there is none; tried again when it does not let us in."""

    def leave(self, room: str, nick: str) -> None:
        """Leave a room."""

    def say(self, room: str, text: str) -> None:
        """Say something in a room that we are in."""


class Listener(Protocol):
    """What hears of an account. Everything that others sent is as they sent it."""

    def signed_in(self, session: Speaker) -> None:
        """The login worked; ``session`` can be used until `signed_out`."""

    def signed_out(self, outcome: SignedOut) -> None:
        """It did not, or has ended."""

    def presence(self, bare: str, resource: str, there: bool) -> None:
        """Somebody of the roster, or of our account, is there, or is not."""

    def asked(self, bare: str, resource: str, kind: str, data: str) -> bool:
        """One of them sent a message; False when it was not for us to take."""

    def spoken(self, room: str, nick: str, text: str) -> None:
        """Somebody in a room that we are in said something; our own words come back as well."""


@dataclass(frozen=True)
class Account:
    """Where and as what to sign in."""

    user: str
    """``user@domain``."""

    password: str = field(repr=False)
    host: str
    port: int
    resource: str
