"""XMPP rooms as a place for party lines: a topic is a room (XEP-0045), a message is base64 in its text.

The rooms are temporary: who comes first makes one, and it is gone with the
last one. The server sees topics, sizes and times, and which accounts are in
a room; the messages are sealed (`tincan.vpn.party.seal`).
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import logging
import secrets
import ssl
from typing import Final

from tincan.meet.events import PlaceReady, PlaceTrouble
from tincan.meet.place import Tell
from tincan.tasks import settle
from tincan.vpn.ipop.account import Account, Speaker
from tincan.vpn.ipop.events import SignedOut
from tincan.vpn.ipop.xmpp import keep
from tincan.vpn.party.line import Inbox, LineClosed, check_message, check_topic

logger = logging.getLogger(__name__)

MAX_VISITED: Final = 16
"""Rooms that one stays in to speak only: who is not in a room cannot speak there."""

PREFIX: Final = "tin-can-"


class XmppLine:
    """A `PartyLine` in the rooms of an XMPP server. `run` keeps it connected, in a task of its caller.

    ``service`` is where the server has its rooms, as ``conference.example.org``.
    ``tell`` hears `PlaceReady` each time it is connected, and `PlaceTrouble`
    once for each spell of trouble.
    """

    def __init__(
        self,
        user: str,
        password: str,
        service: str,
        context: ssl.SSLContext,
        tell: Tell,
        *,
        host: str = "",
        port: int = 5222,
    ) -> None:
        domain = user.rpartition("@")[2]
        self.name = f"xmpp:{domain}"
        self._nick = secrets.token_hex(8)
        self._account = Account(user, password, host or domain, port, f"tin-can-{self._nick}")
        self._service = service
        self._context = context
        self._tell = tell
        self._inbox = Inbox()
        self._topics: set[str] = set()
        self._visited: list[str] = []
        self._session: Speaker | None = None
        self._troubled = False
        self._hurry = asyncio.Event()

    # -- PartyLine -------------------------------------------------------------------

    async def join(self, topic: str) -> None:
        """See `PartyLine.join`."""
        if check_topic(topic) not in self._topics:
            self._topics.add(topic)
            if topic in self._visited:
                self._visited.remove(topic)
            elif self._session is not None:
                self._session.enter(self._room(topic), self._nick)

    async def leave(self, topic: str) -> None:
        """See `PartyLine.leave`."""
        if topic in self._topics:
            self._topics.discard(topic)
            if self._session is not None:
                self._session.leave(self._room(topic), self._nick)

    async def send(self, topic: str, message: bytes) -> None:
        """See `PartyLine.send`."""
        if self._inbox.closed:
            raise LineClosed("The party line was closed.")
        text = base64.b64encode(check_message(message)).decode()
        if self._session is not None:
            self._visit(check_topic(topic), self._session)
            self._session.say(self._room(topic), text)

    async def receive(self) -> tuple[str, bytes]:
        """See `PartyLine.receive`."""
        return await self._inbox.get()

    async def close(self) -> None:
        """See `PartyLine.close`. Whoever runs `run` cancels it."""
        self._inbox.close()

    # -- the connection --------------------------------------------------------------

    def hurry(self) -> None:
        """The network has changed: the connection is most likely dead, so make another at once."""
        self._hurry.set()

    async def run(self) -> None:
        """Stay signed in until cancelled. After a login was refused for good, `hurry` tries it again."""
        while True:
            self._hurry.clear()
            kept = asyncio.create_task(keep(self._account, self._context, self), name="party: XMPP")
            hurried = asyncio.create_task(self._hurry.wait(), name="party: hurrying")
            try:
                await hurried
                if kept.done():
                    kept.result()
            finally:
                await settle(kept, hurried)
                self._session = None

    # -- as a listener -----------------------------------------------------------------

    def signed_in(self, session: Speaker) -> None:
        """See `tincan.vpn.ipop.account.Listener`, as for the rest."""
        self._session = session
        self._visited.clear()
        for topic in sorted(self._topics):
            session.enter(self._room(topic), self._nick)
        self._troubled = False
        self._tell(PlaceReady(self.name))

    def signed_out(self, outcome: SignedOut) -> None:
        """Rooms are entered again with the next session."""
        self._session = None
        logger.info("XMPP trouble: %s", outcome.reason)
        if not self._troubled:
            self._troubled = True
            end = "" if outcome.final else " It is tried again."
            self._tell(PlaceTrouble(self.name, f"XMPP at {self.name[5:]}: {outcome.reason}{end}"))

    def presence(self, bare: str, resource: str, there: bool) -> None:
        """Who is there does not matter in rooms."""

    def asked(self, bare: str, resource: str, kind: str, data: str) -> bool:
        """Nothing is asked of us."""
        return False

    def spoken(self, room: str, nick: str, text: str) -> None:
        """Take what others say about topics that we have joined."""
        name, _, service = room.partition("@")
        topic = name.removeprefix(PREFIX)
        if service == self._service and topic in self._topics and nick != self._nick:
            with contextlib.suppress(binascii.Error, ValueError):
                self._inbox.put(topic, check_message(base64.b64decode(text, validate=True)))

    # -- rooms -------------------------------------------------------------------------

    def _room(self, topic: str) -> str:
        return f"{PREFIX}{topic}@{self._service}"

    def _visit(self, topic: str, session: Speaker) -> None:
        if topic in self._topics or topic in self._visited:
            return
        if len(self._visited) >= MAX_VISITED:
            session.leave(self._room(self._visited.pop(0)), self._nick)
        self._visited.append(topic)
        session.enter(self._room(topic), self._nick)
