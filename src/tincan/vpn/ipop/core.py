"""The dialect itself: what a module of IPOP v14 or v16 answers, tells and does. No sockets, no clock.

Datagrams go in by `receive`, what the module tells by `happened`, what other
controllers say by `overlay`, and the time by `tick`; after each, `effects`
says what is to be done. There are no request numbers, no acknowledgements and
no errors in this dialect, so whatever makes no sense is passed over with a
line in the log.

Where the original was careless this one is not: links are always encrypted
and their peer is proved by a SHA-256 fingerprint (``sec`` false and a
fingerprint of zeros make no link at all), notifications leave for loopback
addresses only, and the login's outcome is told. For that there is a
``con_stat`` with the own uid, which no controller minds: v14 and SocialVPN
read none, and GroupVPN v16 looks the uid up among its peers.
"""

from __future__ import annotations

import enum
import ipaddress
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from tincan.vpn.ipop import wire
from tincan.vpn.ipop.effects import Address, Ask, Effect, Login, Look, Send, SetLogging, Tell
from tincan.vpn.ipop.events import Gone, Heard, OverlayEvent, Said, SignedIn, SignedOut
from tincan.vpn.ipop.frames import from_tap, to_tap
from tincan.vpn.ipop.friends import MAX_DATA, acceptable
from tincan.vpn.ipop.linking import Linking
from tincan.vpn.ipop.node import Node
from tincan.vpn.ipop.peers import Peer
from tincan.vpn.ipop.states import local_state, peer_state
from tincan.vpn.module.events import Event, LinkChanged, MessageCame, PacketUnrouted
from tincan.vpn.module.methods import (
    MAX_MESSAGE,
    Identity,
    InjectPacket,
    LinkState,
    SendMessage,
)
from tincan.vpn.module.states import State

XMPP_PORT: Final = 5222
ANYWHERE: Final = ("::", "0.0.0.0")  # noqa: S104 - what a socket that is bound to all addresses calls itself
"""As an endpoint: whence this datagram came."""

logger = logging.getLogger(__name__)


class LoginState(enum.Enum):
    """The login at the XMPP server."""

    OFFLINE = "offline"
    CONNECTING = "connecting"
    ONLINE = "online"
    FAILED = "failed"
    """Refused for good, until the controller tries again."""


class Dialect:
    """One node of one release."""

    def __init__(self, release: wire.Release, identity: Identity) -> None:
        self.release = release
        self.login = LoginState.OFFLINE
        self._told = ""
        self._endpoint: Address | None = None
        self._effects: list[Effect] = []
        self.node = Node(identity, self._effects.append)
        self._links = Linking(self._effects.append, self._pass_on, self._notify)
        node = self.node
        self._settings: dict[str, Callable[[Mapping[str, Any]], None]] = {
            "set_local_ip": node.set_local_ip,
            "set_remote_ip": node.set_remote_ip,
            "set_translation": node.set_translation,
            "set_switchmode": node.set_switchmode,
            "set_network_ignore_list": node.set_ignored,
            "register_svc": self._register,
            "set_logging": self._set_logging,
            "set_trimpolicy": _pass_over,  # ICE keeps one pair, so there is nothing to trim
            "echo_reply": _pass_over,
        }
        self._does: dict[str, Callable[[Mapping[str, Any], Address, float], None]] = {
            "create_link": self._create_link,
            "trim_link": self._trim_link,
            "set_cb_endpoint": self._set_endpoint,
            "get_state": self._get_state,
            "echo_request": self._echo,
        }

    # -- driving ---------------------------------------------------------------------

    def effects(self) -> list[Effect]:
        """Return what is to be done, in order; it is not returned again."""
        done = self._effects.copy()
        self._effects.clear()
        return done

    def receive(self, data: bytes, source: Address, now: float) -> None:
        """A datagram has come from a controller."""
        message = wire.decode(data, self.release)
        if isinstance(message, wire.Call):
            self._call(message, source, now)
        elif isinstance(message, wire.NotJson):
            self._send(source, {"error": "json parsing failed"})
        elif isinstance(message, wire.Packet):
            packet = to_tap(message.frame, self.node.mode)
            if packet is not None:
                self._effects.append(Ask("inject_packet", InjectPacket(packet)))
        elif isinstance(message, wire.Icc):
            self._send_icc(message)
        else:
            logger.info("a datagram from %s port %d is passed over: %s", *source, message.reason)

    def happened(self, event: Event, now: float) -> None:
        """The module has told something."""
        if isinstance(event, PacketUnrouted):
            self._forward(event)
        elif isinstance(event, MessageCame):
            self._icc_came(event)
        else:
            self._links.happened(event, now)

    def opened(self, ticket: int, made: object, now: float) -> None:
        """The module has done what an `Open` asked for: a `LinkMade`, or None when it refused."""
        self._links.opened(ticket, made, now)

    def identified(self, identity: Identity) -> None:
        """The module has answered an `Identify`."""
        self.node.identified(identity)

    def refreshed(self, links: tuple[LinkState, ...], now: float) -> None:
        """Events of the module have been missed; this is how its links are now."""
        for state in links:
            self._links.happened(LinkChanged(state.link, state.peer, state.state), now)

    def looked(self, look: Look, links: tuple[LinkState, ...], now: float) -> None:
        """The module has answered a `Look`: this node's state goes first, then that of each peer."""
        node = self.node
        self._send(look.to, local_state(node.uid, node.ip4, node.ip6, node.identity))
        numbers = {state.link: state for state in links}
        for peer in self._asked_for(look.uid):
            link = peer.link
            state = numbers.get(link.number) if link is not None and link.number is not None else None
            peer.shown = link is not None
            self._send(look.to, peer_state(peer, state, now))

    def overlay(self, event: OverlayEvent, now: float) -> None:
        """Something has happened on XMPP."""
        match event:
            case Heard(uid):
                if (peer := self.node.peer(uid)) is not None:
                    peer.heard, peer.present = now, True
            case Gone(uid):
                if uid in self.node.peers:
                    self.node.peers[uid].present = False
            case Said():
                self._said(event)
            case SignedIn():
                self._login_told(LoginState.ONLINE, "xmpp online")
            case SignedOut(reason, True):
                self._login_told(LoginState.FAILED, f"xmpp failed: {reason}")
            case SignedOut(reason):
                self._login_told(LoginState.CONNECTING, f"xmpp offline: {reason}")

    def next_deadline(self) -> float | None:
        """When `tick` is due."""
        return self._links.next_deadline()

    def tick(self, now: float) -> None:
        """It is now ``now``."""
        self._links.tick(now)

    def _call(self, call: wire.Call, source: Address, now: float) -> None:
        if call.method in self._settings:
            self._settings[call.method](call.fields)
        else:
            self._does.get(call.method, self._relay)(call.fields, source, now)

    # -- methods ---------------------------------------------------------------------

    def _register(self, fields: Mapping[str, Any]) -> None:
        username, password = wire.text(fields, "username"), wire.text(fields, "password")
        host, port = wire.text(fields, "host"), wire.number(fields, "port", XMPP_PORT)
        if self.login in (LoginState.CONNECTING, LoginState.ONLINE):
            logger.info("register_svc: already done")
        elif not (username and password and host and self.node.uid and 0 < port < 65536):
            logger.warning("register_svc: passed over; it needs a uid (set_local_ip), a name, a password and a host")
        else:
            self.login, self._told = LoginState.CONNECTING, ""
            self._effects.append(Login(username, host, port, self.node.uid, password))

    def _create_link(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        peer = self.node.peer(wire.text(fields, "uid").lower())
        if peer is None or not self.node.uid:
            logger.info("create_link: passed over; its uid is none, or our own, or ours is not set yet")
            return
        self._links.create(self.node.uid, peer, fields, now)

    def _trim_link(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        peer = self.node.peers.get(wire.text(fields, "uid").lower())
        if peer is not None:
            self._links.trim(peer)

    def _set_endpoint(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        ip, port = wire.text(fields, "ip"), wire.number(fields, "port")
        if ip in ANYWHERE:
            self._endpoint = source
        elif _is_loopback(ip) and 0 < port < 65536:
            self._endpoint = (ip, port)
        else:
            logger.warning("set_cb_endpoint: passed over; notifications leave for loopback addresses only")
            return
        for peer in self.node.peers.values():
            peer.asked = False  # another controller has heard of none

    def _get_state(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        self._effects.append(Look(source, wire.text(fields, "uid").lower(), wire.truth(fields, "stats")))

    def _set_logging(self, fields: Mapping[str, Any]) -> None:
        self._effects.append(SetLogging(min(3, max(0, wire.number(fields, "logging")))))

    def _echo(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        self._send(source, {"type": "echo_request", "msg": wire.text(fields, "msg")})

    def _relay(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        uid = wire.text(fields, "uid").lower()
        data, kind = wire.text(fields, "data"), wire.text(fields, "m")
        self._pass_on(wire.number(fields, "overlay_id"), uid, data, kind)
        if kind == "con_req" and uid in self.node.peers:
            self._links.remind(self.node.peers[uid])

    # -- helpers ---------------------------------------------------------------------

    def _asked_for(self, uid: str) -> list[Peer]:
        if not uid:
            return [peer for peer in self.node.peers.values() if peer.present or peer.link is not None or peer.shown]
        if uid in self.node.peers:
            return [self.node.peers[uid]]
        return [Peer(uid)] if wire.is_uid(uid) else []

    def _login_told(self, state: LoginState, text: str) -> None:
        """Tell what became of the login; a reason that lasts is told once."""
        self.login = state
        if text != self._told:
            self._told = text
            self._notify(self.node.uid, text, "con_stat")

    def _said(self, event: Said) -> None:
        """A friend's controller says something to ours."""
        peer = self.node.peer(event.uid)
        if peer is None:
            logger.info("%s is no node for us; what it sent is passed over", event.uid[:8])
            return
        reads_json = self.release is wire.Release.V16 and self.node.grouped
        begins = event.kind == "send_msg" and not event.data.startswith("destroy")
        if not acceptable(event.kind, event.data, requests_only=reads_json) or (begins and not peer.asked):
            logger.warning("%s sent a message that a controller must not get; it is passed over", event.uid[:8])
            return
        peer.asked = peer.asked or event.kind == "con_req"
        self._notify(event.uid, event.data, event.kind)

    def _pass_on(self, overlay: int, uid: str, data: str, kind: str) -> None:
        """Send a message to another controller, or to our own for it to pass on (overlay 0)."""
        if not wire.is_uid(uid) or not kind or len(data) > MAX_DATA:
            logger.info("%s: passed over; it names no uid, or is too long", kind or "a call without a name")
        elif overlay == 0:
            self._notify(uid, data, kind)
        else:
            self._effects.append(Tell(uid, kind, data))

    def _notify(self, uid: str, data: str, kind: str) -> None:
        """Tell the controller something it did not ask for."""
        if self._endpoint is not None:
            self._send(self._endpoint, {"uid": uid, "data": data, "type": kind})

    def _send(self, to: Address, message: Mapping[str, Any] | wire.Packet | wire.Icc) -> None:
        try:
            self._effects.append(Send(to, wire.encode(message, self.release)))
        except (ValueError, UnicodeError) as exc:
            logger.info("a message to the controller is not sent: %s", exc)

    # -- packets ---------------------------------------------------------------------

    def _forward(self, event: PacketUnrouted) -> None:
        """Hand a packet that no link is there for to the controller."""
        if self._endpoint is None or not self.node.uid:
            return
        frame = from_tap(event.packet, self.node.mode, self.node.mac)
        if frame is not None:
            known = event.peer if event.peer is not None and wire.is_uid(event.peer) else None
            destination = bytes.fromhex(known) if known else wire.NO_UID
            self._send(self._endpoint, wire.Packet(bytes.fromhex(self.node.uid), destination, frame))

    def _send_icc(self, message: wire.Icc) -> None:
        """Send a controller's message down the link for its destination; without one it is lost, as it may be."""
        peer = self.node.peers.get(message.destination.hex())
        link = peer.link if peer is not None else None
        body = wire.write_icc(message)
        if (
            link is None
            or link.number is None
            or link.state is not State.ONLINE
            or message.source.hex() != self.node.uid
        ):
            logger.debug("a message between controllers is lost: no link")
        elif len(body) <= MAX_MESSAGE:
            self._effects.append(Ask("send_message", SendMessage(link.number, body)))

    def _icc_came(self, event: MessageCame) -> None:
        """A message from the controller at the other end of a link: it speaks for that node only, to this one."""
        message = wire.read_icc(event.data)
        if isinstance(message, wire.Unreadable) or message.source.hex() != event.peer:
            logger.warning("%s sent a message that a controller must not get; it is passed over", event.peer[:8])
        elif message.destination.hex() == self.node.uid and self.release is wire.Release.V16 and self._endpoint:
            self._send(self._endpoint, wire.Icc(message.kind, message.source, wire.NO_UID, message.body))


def _pass_over(fields: Mapping[str, Any]) -> None:
    """Do nothing: that is what there is to do."""


def _is_loopback(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False
