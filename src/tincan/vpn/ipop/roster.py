"""Friends of an XMPP roster, found while both are at it: to each there is a channel through the server.

What goes through it the server can read and change. So whoever makes a friend
this way trusts the server, or compares fingerprints.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import secrets
import ssl
from typing import Final

from tincan.errors import AuthenticationFailed, NoPlaceReachable
from tincan.link.interface import ChannelClosed
from tincan.tasks import settle
from tincan.vpn.ipop.account import Account, Speaker
from tincan.vpn.ipop.events import SignedOut
from tincan.vpn.ipop.xmpp import keep

logger = logging.getLogger(__name__)

RESOURCE: Final = "tin-can-friend-"
KIND: Final = "friend"
MAX_FRAME: Final = 16 * 1024
MAX_UNREAD: Final = 32
MAX_PEERS: Final = 64


class RosterChannel:
    """A `Channel` to one session of a friend. ``who``: his account."""

    def __init__(self, roster: Roster, who: str, address: str) -> None:
        self.who = who
        self.label = KIND
        self._roster = roster
        self._address = address
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue(MAX_UNREAD + 1)
        self._closed = False

    @property
    def binding(self) -> bytes:
        """Whose accounts these are, alike at both ends: so nobody carries a proof on to a contact of his own."""
        return "\0".join(["roster", *sorted((self.who.lower(), self._roster.user.lower()))]).encode()

    async def send(self, message: bytes) -> None:
        """See `Channel.send`."""
        if len(message) > MAX_FRAME:
            raise ValueError("message too long for a roster's channel")
        if self._closed or not self._roster.ask(self._address, base64.b64encode(message).decode()):
            raise ChannelClosed(f"{self.who} is not there any more.")

    async def receive(self) -> bytes:
        """See `Channel.receive`."""
        message = None if self._closed and self._inbox.empty() else await self._inbox.get()
        if message is None:
            self._closed = True
            raise ChannelClosed(f"{self.who} is not there any more.")
        return message

    async def drain(self) -> None:
        """See `Channel.drain`. The server takes at once what it is given."""

    async def close(self) -> None:
        """See `Channel.close`."""
        self.end()

    def put(self, message: bytes) -> None:
        """Take a message that came; a friend who says too much is cut off."""
        if self._inbox.qsize() >= MAX_UNREAD:
            self.end()
        elif not self._closed:
            self._inbox.put_nowait(message)

    def end(self) -> None:
        """Nothing more comes."""
        if not self._closed:
            self._closed = True
            self._inbox.put_nowait(None)


class Roster:
    """The friends who are there. `run` keeps us signed in, in a task of its caller."""

    def __init__(self, user: str, password: str, context: ssl.SSLContext, *, host: str, port: int) -> None:
        self.user = user
        self._account = Account(user, password, host, port, RESOURCE + secrets.token_hex(8))
        self._context = context
        self._channels: dict[str, RosterChannel] = {}
        self._new: asyncio.Queue[RosterChannel] = asyncio.Queue()
        self._session: Speaker | None = None
        self._outcome: asyncio.Queue[SignedOut] = asyncio.Queue()

    async def run(self) -> None:
        """Stay signed in until cancelled.

        Raises `AuthenticationFailed` when the server refuses for good, and
        `NoPlaceReachable` when it is not there or has gone.
        """
        signed_in = asyncio.create_task(keep(self._account, self._context, self), name="roster")
        try:
            outcome = await self._outcome.get()
        finally:
            await settle(signed_in)
        kind = AuthenticationFailed if outcome.final else NoPlaceReachable
        raise kind(f"XMPP: {outcome.reason}")

    async def accept(self) -> RosterChannel:
        """Return the channel to the next friend who is there."""
        return await self._new.get()

    def ask(self, address: str, data: str) -> bool:
        """Send a friend's session something; False when we are not signed in."""
        if self._session is None:
            return False
        self._session.ask(address, KIND, data)
        return True

    # -- as a listener -----------------------------------------------------------------

    def signed_in(self, session: Speaker) -> None:
        """See `tincan.vpn.ipop.account.Listener`, as for the rest."""
        self._session = session

    def signed_out(self, outcome: SignedOut) -> None:
        """That was it: whoever waits for friends sits there, and can try again."""
        self._session = None
        self._outcome.put_nowait(outcome)
        for channel in self._channels.values():
            channel.end()

    def presence(self, bare: str, resource: str, there: bool) -> None:
        """A friend is there, or has gone."""
        if there:
            self._channel(bare, resource)
        elif (channel := self._channels.pop(f"{bare}/{resource}", None)) is not None:
            channel.end()

    def asked(self, bare: str, resource: str, kind: str, data: str) -> bool:
        """A friend's session says something to ours."""
        channel = self._channel(bare, resource)
        if channel is None or kind != KIND or len(data) > 2 * MAX_FRAME:
            return False
        try:
            channel.put(base64.b64decode(data, validate=True))
        except (binascii.Error, ValueError):
            channel.end()
        return True

    def spoken(self, room: str, nick: str, text: str) -> None:
        """There are no rooms here."""

    def _channel(self, bare: str, resource: str) -> RosterChannel | None:
        """Return the channel to a session, maybe a new one; None for other programs' sessions, and our own."""
        address = f"{bare}/{resource}"
        if not resource.startswith(RESOURCE) or bare.lower() == self.user.lower():
            return None
        if address not in self._channels:
            if len(self._channels) >= MAX_PEERS:
                return None
            self._channels[address] = channel = RosterChannel(self, bare, address)
            self._new.put_nowait(channel)
        return self._channels[address]
