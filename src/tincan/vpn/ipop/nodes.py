"""Messages between controllers by XMPP: an overlay of the nodes that friends run.

The resource of a session is ``tincan`` and the node's uid, presence says who
is there, and what a friend asks is what his controller says.
"""

from __future__ import annotations

import ssl

from tincan.vpn.ipop.account import Account, Speaker
from tincan.vpn.ipop.effects import Login
from tincan.vpn.ipop.events import Gone, Heard, OverlayEvent, Said, SignedIn, SignedOut
from tincan.vpn.ipop.friends import RESOURCE, Friends
from tincan.vpn.ipop.overlay import Events
from tincan.vpn.ipop.xmpp import keep


class XmppOverlay:
    """An overlay (see `tincan.vpn.ipop.overlay.Overlay`) on an XMPP account."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._events = Events()
        self._friends = Friends("")
        self._session: Speaker | None = None

    async def run(self, login: Login) -> None:
        """See `Overlay.run`."""
        self._friends = Friends(login.uid)
        resource = RESOURCE + login.uid
        await keep(Account(login.username, login.password, login.host, login.port, resource), self._context, self)

    def send(self, uid: str, kind: str, data: str) -> bool:
        """See `Overlay.send`."""
        to = self._friends.address(uid)
        if self._session is None or to is None:
            return False
        self._session.ask(to, kind, data)
        return True

    async def event(self) -> OverlayEvent:
        """See `Overlay.event`."""
        return await self._events.get()

    # -- as a listener -----------------------------------------------------------------

    def signed_in(self, session: Speaker) -> None:
        """See `tincan.vpn.ipop.account.Listener`, as for the rest."""
        self._session = session
        self._events.put(SignedIn())

    def signed_out(self, outcome: SignedOut) -> None:
        """Nobody is known to be there any more."""
        self._session = None
        for uid in self._friends.forget_all():
            self._events.put(Gone(uid))
        self._events.put(outcome)

    def presence(self, bare: str, resource: str, there: bool) -> None:
        """A node is there, or is not."""
        uid = self._friends.came(bare, resource) if there else self._friends.went(bare, resource)
        if uid is not None:
            self._events.put(Heard(uid) if there else Gone(uid))

    def asked(self, bare: str, resource: str, kind: str, data: str) -> bool:
        """A friend's controller says something."""
        uid = self._friends.came(bare, resource)
        if uid is None:
            return False
        self._events.put(Heard(uid))
        self._events.put(Said(uid, kind, data))
        return True

    def spoken(self, room: str, nick: str, text: str) -> None:
        """Nodes are in no rooms."""
