"""Messages between controllers by XMPP. The only module that knows slixmpp; it is imported only when it is used.

As IPOP has it: the resource is ``tincan`` and the uid, a message is an IQ of
type get with ``<query xmlns="jabber:iq:tincan"><data/><type/></query>``, and
presence is sent again every 120 s, from which friends know who is there.

Not as IPOP has it: TLS is required and the server's certificate is verified
for the account's domain (RFC 6120 section 13.7.2), always; passwords are sent
over TLS only; nobody is let into the roster by himself; only those of the
roster, and other nodes of our own account, are listened to; an IQ is
answered; and the outcome of the login is told.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from slixmpp import JID, ClientXMPP, Iq
from slixmpp.exceptions import XMPPError
from slixmpp.xmlstream import ElementBase, register_stanza_plugin
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from tincan.errors import UsageError
from tincan.vpn.ipop.effects import Login
from tincan.vpn.ipop.events import Gone, Heard, OverlayEvent, Said, SignedIn, SignedOut
from tincan.vpn.ipop.friends import RESOURCE, Friends
from tincan.vpn.ipop.overlay import Events

PRESENCE: Final = 120.0
"""Seconds between two presences; controllers take a friend for gone after 8 times ``wait_time``, 120 s by default."""

PATIENCE: Final = 20.0
"""Seconds for connecting and signing in."""

REASON: Final = 0.3
"""Seconds after the end of a connection in which a reason for it is waited for."""

PING: Final = 15
PING_TIMEOUT: Final = 5
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
"""Seconds between two attempts, doubled each time."""

logger = logging.getLogger(__name__)
logging.getLogger("slixmpp").setLevel(logging.CRITICAL + 1)  # it logs stanzas, and what goes wrong is told here


class Query(ElementBase):
    """The child of an IQ that holds a message."""

    name = "query"
    namespace = "jabber:iq:tincan"
    plugin_attrib = "tincan"
    interfaces = {"data", "type"}  # noqa: RUF012 - slixmpp's way
    sub_interfaces = interfaces


register_stanza_plugin(Iq, Query)


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """Return what servers are verified by: the system's authorities, or those of a file alone."""
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as exc:
        raise UsageError(f"{ca_file} cannot be read as a file of certificates (PEM).") from exc


class XmppOverlay:
    """An overlay (see `tincan.vpn.ipop.overlay.Overlay`) on an XMPP account."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        self._events = Events()
        self._session: _Session | None = None

    async def run(self, login: Login) -> None:
        """See `Overlay.run`."""
        pause = FIRST_PAUSE
        try:
            jid = JID(f"{login.username}/{RESOURCE}{login.uid}")
        except ValueError:
            jid = JID()
        if not jid.user or not jid.domain:
            self._events.put(SignedOut("The XMPP user name has no form of user@domain.", True))
            return
        friends = Friends(login.uid)
        while True:
            async with _session(jid, login, self._context, friends, self._events) as session:
                self._session = session
                try:
                    outcome = await session.end()
                finally:
                    self._session = None
            for uid in friends.forget_all():
                self._events.put(Gone(uid))
            self._events.put(outcome)
            if outcome.final:
                return
            pause = FIRST_PAUSE if session.was_in else pause
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    def send(self, uid: str, kind: str, data: str) -> bool:
        """See `Overlay.send`."""
        return self._session is not None and self._session.send(uid, kind, data)

    async def event(self) -> OverlayEvent:
        """See `Overlay.event`."""
        return await self._events.get()


@contextlib.asynccontextmanager
async def _session(
    jid: JID, login: Login, context: ssl.SSLContext, friends: Friends, events: Events
) -> AsyncIterator[_Session]:
    session = _Session(jid, login, context, friends, events)
    try:
        yield session
    finally:
        await session.close()


class _Session:
    """One connection to the server, from its beginning to its end."""

    def __init__(self, jid: JID, login: Login, context: ssl.SSLContext, friends: Friends, events: Events) -> None:
        self.was_in = False
        self._loop = asyncio.get_running_loop()
        self._friends = friends
        self._events = events
        self._end: asyncio.Future[SignedOut] = self._loop.create_future()
        self._client = client = ClientXMPP(jid, login.password, ssl_context=context, loop=self._loop)
        client.enable_direct_tls = False
        client.enable_plaintext = False
        client.use_aiodns = False
        client.auto_authorize = None
        client.auto_subscribe = False
        client.register_plugin("xep_0199", {"keepalive": True, "interval": PING, "timeout": PING_TIMEOUT})
        client.add_event_handler("failed_all_auth", self._refused)
        client.add_event_handler("connection_failed", self._unreachable)
        client.add_event_handler("disconnected", self._lost)
        client.add_event_handler("ssl_invalid_chain", self._untrusted)
        client.add_event_handler("session_start", self._signed_in)
        client.add_event_handler("presence_available", self._came)
        client.add_event_handler("presence_unavailable", self._went)
        client.register_handler(Callback("tincan", StanzaPath("iq@type=get/tincan"), self._asked))
        self._timers = [
            self._loop.call_later(PATIENCE, self._finish, SignedOut("The server does not answer.", False))
        ]
        client.connect(login.host, login.port)

    async def end(self) -> SignedOut:
        """Wait for the end and return how it came about."""
        return await self._end

    async def close(self) -> None:
        """End the connection; what slixmpp runs for it ends as well."""
        for timer in self._timers:
            timer.cancel()
        client = self._client
        if self.was_in and client.transport is not None:
            client.send_presence(ptype="unavailable")
        client.cancel_connection_attempt()
        with contextlib.suppress(Exception):  # whatever becomes of a farewell
            await asyncio.wait_for(client.disconnect(wait=0.5), 1)
        client.abort()
        client.cancel_connection_attempt()

    def send(self, uid: str, kind: str, data: str) -> bool:
        """Send a message to whoever speaks for a uid."""
        to = self._friends.address(uid)
        if to is None or not self.was_in:
            return False
        iq = self._client.make_iq_get(ito=JID(to))
        iq["tincan"]["data"] = data
        iq["tincan"]["type"] = kind
        # An old module never answers, so nothing is waited for.
        self._client.send(iq)
        return True

    # -- what slixmpp tells ----------------------------------------------------------

    async def _signed_in(self, _: Any) -> None:
        try:
            await self._client.get_roster(timeout=PATIENCE)
        except (TimeoutError, XMPPError):
            self._finish(SignedOut("The server does not give the list of friends.", False))
            return
        if not self._end.done():
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()
            self.was_in = True
            self._events.put(SignedIn())
            self._announce()

    def _announce(self) -> None:
        self._client.send_presence()
        self._timers = [self._loop.call_later(PRESENCE, self._announce)]

    def _came(self, presence: Any) -> None:
        sender = presence["from"]
        uid = self._friends.came(sender.bare, sender.resource) if self._is_friend(sender) else None
        if uid is not None:
            self._events.put(Heard(uid))

    def _went(self, presence: Any) -> None:
        uid = self._friends.went(presence["from"].bare, presence["from"].resource)
        if uid is not None:
            self._events.put(Gone(uid))

    def _asked(self, iq: Any) -> None:
        """Take a message. It is answered with an empty result, which tells no more than that it came."""
        sender = iq["from"]
        uid = self._friends.came(sender.bare, sender.resource) if self._is_friend(sender) else None
        if uid is None:
            logger.warning("a message from %s is passed over: no friend, or another's uid", sender.bare)
            refusal = iq.reply()
            refusal["error"]["condition"] = "service-unavailable"
            self._client.send(refusal)
            return
        self._events.put(Heard(uid))
        self._events.put(Said(uid, iq["tincan"]["type"], iq["tincan"]["data"]))
        self._client.send(iq.reply())

    def _is_friend(self, sender: JID) -> bool:
        if sender.bare == self._client.boundjid.bare:
            return sender.full != self._client.boundjid.full
        roster = self._client.client_roster
        return roster.has_jid(sender.bare) and roster[sender.bare]["subscription"] in ("to", "from", "both")

    # -- ends ------------------------------------------------------------------------

    def _refused(self, _: Any) -> None:
        if "starttls" not in self._client.features:
            self._finish(SignedOut("The server offers no way to sign in that is safe: it has no TLS.", True))
        else:
            self._finish(SignedOut("The server does not accept this name and password.", True))

    def _unreachable(self, reason: Any) -> None:
        self._finish(SignedOut(f"The server cannot be reached ({reason}).", False))

    def _untrusted(self, reason: Any) -> None:
        told = getattr(reason, "verify_message", "") or getattr(reason, "reason", "") or str(reason)
        self._finish(
            SignedOut(
                f"The server's certificate is not trusted ({told}); "
                "for a server of your own give its authority's file (--xmpp-ca).",
                True,
            )
        )

    def _lost(self, reason: Any) -> None:
        # Why, if there is more to say, comes a moment later.
        outcome = SignedOut("The connection to the server was lost.", False)
        self._timers.append(self._loop.call_later(REASON, self._finish, outcome))

    def _finish(self, outcome: SignedOut) -> None:
        if not self._end.done():
            self._end.set_result(outcome)
