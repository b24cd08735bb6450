"""An XMPP account, kept signed in. The only module that knows slixmpp; it is imported only when it is used.

TLS is required and the server's certificate is verified for the account's
domain (RFC 6120 section 13.7.2), always; passwords are sent over TLS only;
nobody is let into the roster by himself, and only those of the roster, and
other sessions of our own account, are listened to. Messages go as IPOP sends
them (an IQ of type get with ``<query xmlns="jabber:iq:tincan">``), or through
rooms (XEP-0045), which need no roster.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from slixmpp import JID, ClientXMPP, Iq
from slixmpp.exceptions import XMPPError
from slixmpp.xmlstream import ElementBase, register_stanza_plugin
from slixmpp.xmlstream.handler import Callback
from slixmpp.xmlstream.matcher import StanzaPath

from tincan.errors import UsageError
from tincan.vpn.ipop.account import Account, Listener
from tincan.vpn.ipop.events import SignedOut

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

STEADY: Final = 30.0
"""After a connection that lasted so long the next attempt is quick again. Shorter ones may be two programs with one
resource, of which the server lets the newer one in each time."""

MUC: Final = "http://jabber.org/protocol/muc"
NEW_ROOM: Final = f"{{{MUC}#user}}x/{{{MUC}#user}}status[@code='201']"
"""In the presence of a room that has just been made for us."""

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


async def keep(account: Account, context: ssl.SSLContext, listener: Listener) -> None:
    """Stay signed in until cancelled, or until the server refuses for good."""
    pause = FIRST_PAUSE
    try:
        jid = JID(f"{account.user}/{account.resource}")
    except ValueError:
        jid = JID()
    if not jid.user or not jid.domain:
        listener.signed_out(SignedOut("The XMPP user name has no form of user@domain.", True))
        return
    if not _is_host(account.host):
        listener.signed_out(SignedOut("The XMPP server's host is no name and no address.", True))
        return
    loop = asyncio.get_running_loop()
    while True:
        began = loop.time()
        async with _session(jid, account, context, listener) as session:
            outcome = await session.end()
        listener.signed_out(outcome)
        if outcome.final:
            return
        if loop.time() - began > STEADY:
            pause = FIRST_PAUSE
        await asyncio.sleep(pause)
        pause = min(LONGEST_PAUSE, 2 * pause)


def _is_host(text: str) -> bool:
    """Whether the system can be asked for it; else that raises, in a task of slixmpp's that nobody looks after."""
    try:
        return bool(text.encode("idna")) and "\0" not in text
    except UnicodeError:
        return False


@contextlib.asynccontextmanager
async def _session(jid: JID, account: Account, context: ssl.SSLContext, listener: Listener) -> AsyncIterator[Session]:
    session = Session(jid, account, context, listener)
    try:
        yield session
    finally:
        await session.close()


class Session:
    """One connection to the server, from its beginning to its end."""

    def __init__(self, jid: JID, account: Account, context: ssl.SSLContext, listener: Listener) -> None:
        self.was_in = False
        self._loop = asyncio.get_running_loop()
        self._listener = listener
        self._host = account.host
        self._rooms: dict[str, float] = {}
        """Rooms that we want to be in, and how long to wait before the next try."""

        self._end: asyncio.Future[SignedOut] = self._loop.create_future()
        self._client = client = ClientXMPP(jid, account.password, ssl_context=context, loop=self._loop)
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
        client.add_event_handler("presence_error", self._kept_out)
        client.add_event_handler("message", self._spoken)
        client.register_handler(Callback("tincan", StanzaPath("iq@type=get/tincan"), self._asked))
        self._timers = [
            self._loop.call_later(PATIENCE, self._finish, SignedOut("The server does not answer.", False))
        ]
        client.connect(account.host, account.port)

    async def end(self) -> SignedOut:
        """Wait for the end and return how it came about."""
        return await self._end

    async def close(self) -> None:
        """End the connection; what slixmpp runs for it ends as well."""
        self._end.cancel()
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

    # -- what can be done ------------------------------------------------------------

    def ask(self, to: str, kind: str, data: str) -> None:
        """Send a message as IPOP does. An old module never answers, so nothing is waited for."""
        iq = self._client.make_iq_get(ito=JID(to))
        iq["tincan"]["data"] = data
        iq["tincan"]["type"] = kind
        self._client.send(iq)

    def enter(self, room: str, nick: str) -> None:
        """Go into a room, which is made if there is none; nothing said before is wanted."""
        self._rooms[room] = FIRST_PAUSE
        self._knock(room, nick)

    def _knock(self, room: str, nick: str) -> None:
        if room not in self._rooms or self._end.done():
            return
        presence = self._client.make_presence(pto=JID(f"{room}/{nick}"))
        presence.append(_element(f"{{{MUC}}}x", _element(f"{{{MUC}}}history", maxstanzas="0")))
        self._client.send(presence)

    def leave(self, room: str, nick: str) -> None:
        """Leave a room."""
        self._rooms.pop(room, None)
        self._client.send_presence(pto=JID(f"{room}/{nick}"), ptype="unavailable")

    def say(self, room: str, text: str) -> None:
        """Say something in a room that we are in."""
        self._client.send_message(mto=JID(room), mbody=text, mtype="groupchat")

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
            self._announce()
            self._listener.signed_in(self)

    def _announce(self) -> None:
        self._client.send_presence()
        self._timers = [self._loop.call_later(PRESENCE, self._announce)]

    def _came(self, presence: Any) -> None:
        sender = presence["from"]
        if self._is_friend(sender):
            self._listener.presence(sender.bare, sender.resource, True)
        elif presence.xml.find(NEW_ROOM) is not None:
            self._open(sender.bare)

    def _went(self, presence: Any) -> None:
        if self._is_friend(presence["from"]):
            self._listener.presence(presence["from"].bare, presence["from"].resource, False)

    def _open(self, room: str) -> None:
        """A room that we made is shut until its settings are accepted as they are (XEP-0045 section 10.1.2)."""
        iq = self._client.make_iq_set(ito=JID(room))
        iq.append(_element(f"{{{MUC}#owner}}query", _element("{jabber:x:data}x", type="submit")))
        self._client.send(iq)

    def _asked(self, iq: Any) -> None:
        """Take a message. It is answered with an empty result, which tells no more than that it came."""
        sender, query = iq["from"], iq["tincan"]
        reply = iq.reply()
        if not self._is_friend(sender) or not self._listener.asked(
            sender.bare, sender.resource, query["type"], query["data"]
        ):
            logger.warning("a message from %s is passed over: no friend, or another's uid", sender.bare)
            reply["error"]["condition"] = "service-unavailable"
        self._client.send(reply)

    def _kept_out(self, presence: Any) -> None:
        """Try a room again that did not let us in: it is shut until whoever makes it has accepted its settings."""
        room, nick = presence["from"].bare, presence["from"].resource
        pause = self._rooms.get(room)
        if pause is not None:
            self._rooms[room] = min(LONGEST_PAUSE, 2 * pause)
            self._loop.call_later(pause, self._knock, room, nick)

    def _spoken(self, message: Any) -> None:
        if message["type"] == "groupchat":
            self._listener.spoken(message["from"].bare, message["from"].resource, message["body"])

    def _is_friend(self, sender: JID) -> bool:
        if sender.bare == self._client.boundjid.bare:
            return bool(sender.full != self._client.boundjid.full)
        roster = self._client.client_roster
        return roster.has_jid(sender.bare) and roster[sender.bare]["subscription"] in ("to", "from", "both")

    # -- ends ------------------------------------------------------------------------

    def _refused(self, _: Any) -> None:
        if "starttls" not in self._client.features:
            self._finish(SignedOut("The server offers no way to sign in that is safe: it has no TLS.", True))
        else:
            self._finish(SignedOut("The server does not accept this name and password.", True))

    def _unreachable(self, reason: Any) -> None:
        told = str(reason)
        if told.startswith("No DNS record"):  # which names the account's domain, whatever was asked for
            told = f"there is no address for {self._host}"
        elif isinstance(reason, OSError) and reason.errno is not None and reason.errno > 0:
            told = os.strerror(reason.errno).lower()
        self._finish(SignedOut(f"The server cannot be reached ({told}).", False))

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


def _element(name: str, *children: ET.Element, **attributes: str) -> ET.Element:
    made = ET.Element(name, attributes)
    made.extend(children)
    return made
