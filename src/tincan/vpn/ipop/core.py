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

import ipaddress
import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from tincan.vpn.ipop import wire
from tincan.vpn.ipop.effects import Address, Ask, Effect, Identify, Login, Look, Send, SetLogging, Tell
from tincan.vpn.ipop.events import Gone, Heard, OverlayEvent, Said, SignedIn, SignedOut
from tincan.vpn.ipop.frames import from_tap, to_tap
from tincan.vpn.ipop.friends import MAX_DATA, MAX_FRIENDS, acceptable
from tincan.vpn.ipop.linking import Linking
from tincan.vpn.ipop.peers import Peer
from tincan.vpn.ipop.states import local_state, mac_of, peer_state
from tincan.vpn.module.events import Event, LinkChanged, MessageCame, PacketUnrouted
from tincan.vpn.module.methods import (
    MAX_MESSAGE,
    Identity,
    IgnoreInterfaces,
    InjectPacket,
    LinkState,
    Mode,
    SendMessage,
    SetAddresses,
    SetMode,
    SetPeer,
    SetTranslation,
)
from tincan.vpn.module.states import State

XMPP_PORT: Final = 5222
ANYWHERE: Final = ("::", "0.0.0.0")  # noqa: S104 - what a socket that is bound to all addresses calls itself
"""As an endpoint: whence this datagram came."""

logger = logging.getLogger(__name__)


class Dialect:
    """One node of one release."""

    def __init__(self, release: wire.Release, identity: Identity) -> None:
        self.release = release
        self.identity = identity
        self.uid = ""
        self.ip4 = ""
        self.ip6 = ""
        self.xmpp = "offline"
        """``offline``, ``connecting``, ``online`` or ``failed``."""

        self.peers: dict[str, Peer] = {}
        self._login = ""
        self._subnet = 32
        self._mode: Mode = "ip"
        self._translation = False
        self._endpoint: Address | None = None
        self._effects: list[Effect] = []
        self._links = Linking(self._effects.append, self._pass_on, self._notify)
        self._does: dict[str, Callable[[Mapping[str, Any], Address, float], None]] = {
            "register_svc": self._register,
            "create_link": self._create_link,
            "set_local_ip": self._set_local_ip,
            "set_remote_ip": self._set_remote_ip,
            "trim_link": self._trim_link,
            "set_cb_endpoint": self._set_endpoint,
            "get_state": self._get_state,
            "set_logging": self._set_logging,
            "set_translation": self._set_translation,
            "set_switchmode": self._set_switchmode,
            "set_trimpolicy": self._pass_over,  # ICE keeps one pair, so there is nothing to trim
            "set_network_ignore_list": self._set_ignored,
            "echo_request": self._echo,
            "echo_reply": self._pass_over,
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
            self._does.get(message.method, self._relay)(message.fields, source, now)
        elif isinstance(message, wire.NotJson):
            self._send(source, {"error": "json parsing failed"})
        elif isinstance(message, wire.Packet):
            packet = to_tap(message.frame, self._mode)
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
        self.identity = identity
        self._mode = identity.mode

    def refreshed(self, links: tuple[LinkState, ...], now: float) -> None:
        """Events of the module have been missed; this is how its links are now."""
        for state in links:
            self._links.happened(LinkChanged(state.link, state.peer, state.state), now)

    def looked(self, look: Look, links: tuple[LinkState, ...], now: float) -> None:
        """The module has answered a `Look`: this node's state goes first, then that of each peer."""
        self._send(look.to, local_state(self.uid, self.ip4, self.ip6, self.identity))
        numbers = {state.link: state for state in links}
        for peer in self._asked_for(look.uid):
            link = peer.link
            state = numbers.get(link.number) if link is not None and link.number is not None else None
            self._send(look.to, peer_state(peer, state, now))

    def overlay(self, event: OverlayEvent, now: float) -> None:
        """Something has happened on XMPP."""
        match event:
            case Heard(uid):
                if (peer := self._peer(uid)) is not None:
                    peer.heard, peer.present = now, True
            case Gone(uid):
                if uid in self.peers:
                    self.peers[uid].present = False
            case Said():
                self._said(event)
            case SignedIn():
                self._login_told("online", "xmpp online")
            case SignedOut(reason, True):
                self._login_told("failed", f"xmpp failed: {reason}")
            case SignedOut(reason):
                self._login_told("connecting", f"xmpp offline: {reason}")

    def next_deadline(self) -> float | None:
        """When `tick` is due."""
        return self._links.next_deadline()

    def tick(self, now: float) -> None:
        """It is now ``now``."""
        self._links.tick(now)

    # -- methods ---------------------------------------------------------------------

    def _register(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        username, password = wire.text(fields, "username"), wire.text(fields, "password")
        host, port = wire.text(fields, "host"), wire.number(fields, "port", XMPP_PORT)
        if self.xmpp in ("connecting", "online"):
            logger.info("register_svc: already done")
        elif not (username and password and host and self.uid and 0 < port < 65536):
            logger.warning("register_svc: passed over; it needs a uid (set_local_ip), a name, a password and a host")
        else:
            self.xmpp = "connecting"
            self._login = ""
            self._effects.append(Login(username, host, port, self.uid, password))

    def _set_local_ip(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        uid = wire.text(fields, "uid").lower()
        if self.uid or not wire.is_uid(uid):
            logger.info("set_local_ip: passed over; there is a uid already, or this is none")
            return
        ip4 = _interface(wire.text(fields, "ip4"), wire.number(fields, "ip4_mask", 24))
        ip6 = _interface(wire.text(fields, "ip6"), wire.number(fields, "ip6_mask", 64))
        if not isinstance(ip4, ipaddress.IPv4Interface) or not isinstance(ip6, ipaddress.IPv6Interface):
            logger.warning("set_local_ip: passed over; its addresses cannot be read")
            return
        self.uid, self.ip4, self.ip6 = uid, wire.text(fields, "ip4"), wire.text(fields, "ip6")
        subnet = wire.number(fields, "subnet_mask", 32)
        self._subnet = subnet if 0 < subnet <= 32 else 32
        self._links.own = uid
        if wire.truth(fields, "switchmode"):
            self._set_mode("switch")
        self._effects.append(Ask("set_addresses", SetAddresses(str(ip4), str(ip6))))
        self._effects.append(Identify())
        self._translate()

    def _set_remote_ip(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        uid, ip4, ip6 = (wire.text(fields, name) for name in ("uid", "ip4", "ip6"))
        peer = self._peer(uid.lower())
        if peer is None or peer.ip4 or not (ip4 and ip6):
            return
        four, six = _interface(ip4, self._subnet), _interface(ip6.partition("/")[0], 128)
        if not isinstance(four, ipaddress.IPv4Interface) or not isinstance(six, ipaddress.IPv6Interface):
            logger.warning("set_remote_ip: passed over; its addresses cannot be read")
            return
        peer.ip4, peer.ip6 = ip4, ip6
        if not four.ip.is_loopback:  # which stands for none, in switch mode
            self._effects.append(Ask("set_peer", SetPeer(peer.uid, (str(four.network), str(six.network)))))
            self._translate()

    def _create_link(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        peer = self._peer(wire.text(fields, "uid").lower())
        if peer is None or not self.uid:
            logger.info("create_link: passed over; its uid is none, or our own, or ours is not set yet")
            return
        self._links.create(peer, fields, now)

    def _trim_link(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        peer = self.peers.get(wire.text(fields, "uid").lower())
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

    def _get_state(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        self._effects.append(Look(source, wire.text(fields, "uid").lower(), wire.truth(fields, "stats")))

    def _set_logging(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        self._effects.append(SetLogging(min(3, max(0, wire.number(fields, "logging")))))

    def _set_translation(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        self._translation = wire.truth(fields, "translate")
        self._translate(stop=not self._translation)

    def _set_switchmode(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        self._set_mode("switch" if wire.truth(fields, "switchmode") else "ip")

    def _set_ignored(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        names = fields.get("network_ignore_list")
        if isinstance(names, list):
            short = tuple(name for name in names[:64] if isinstance(name, str) and 1 <= len(name) <= 15)
            self._effects.append(Ask("ignore_interfaces", IgnoreInterfaces(short)))

    def _echo(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        self._send(source, {"type": "echo_request", "msg": wire.text(fields, "msg")})

    def _relay(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        uid = wire.text(fields, "uid").lower()
        data, kind = wire.text(fields, "data"), wire.text(fields, "m")
        self._pass_on(wire.number(fields, "overlay_id"), uid, data, kind)

    def _pass_over(self, fields: Mapping[str, Any], source: Address, now: float) -> None:
        """Do nothing: that is what there is to do."""

    # -- helpers ---------------------------------------------------------------------

    def _peer(self, uid: str) -> Peer | None:
        """Return what is known of another node; None for what is no node, or ourselves, or one too many."""
        if not wire.is_uid(uid) or uid == self.uid:
            return None
        if uid not in self.peers and len(self.peers) >= MAX_FRIENDS:
            return None
        return self.peers.setdefault(uid, Peer(uid))

    def _asked_for(self, uid: str) -> list[Peer]:
        if not uid:
            return [peer for peer in self.peers.values() if peer.present or peer.link is not None]
        if uid in self.peers:
            return [self.peers[uid]]
        return [Peer(uid)] if wire.is_uid(uid) else []

    def _set_mode(self, mode: Mode) -> None:
        if mode == self._mode:
            return
        self._mode = mode
        self._effects.append(Ask("set_mode", SetMode(mode)))
        self._effects.append(Identify())

    def _translate(self, stop: bool = False) -> None:
        """Bring the module's translation up to date."""
        if stop:
            self._effects.append(Ask("set_translation", SetTranslation(None)))
        elif self._translation and self.ip4:
            seen = {uid: peer.ip4 for uid, peer in self.peers.items() if peer.ip4}
            self._effects.append(
                Ask("set_translation", SetTranslation(self.ip4, dict(itertools.islice(seen.items(), 1024))))
            )

    def _login_told(self, state: str, text: str) -> None:
        """Tell what became of the login; a reason that lasts is told once."""
        self.xmpp = state
        if text != self._login:
            self._login = text
            self._notify(self.uid, text, "con_stat")

    def _said(self, event: Said) -> None:
        """A friend's controller says something to ours."""
        if self._peer(event.uid) is None or not acceptable(event.kind, event.data):
            logger.warning("%s sent a message that a controller must not get; it is passed over", event.uid[:8])
            return
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
        if self._endpoint is None or not self.uid:
            return
        frame = from_tap(event.packet, self._mode, mac_of(self.uid, self.identity))
        if frame is not None:
            known = event.peer if event.peer is not None and wire.is_uid(event.peer) else None
            destination = bytes.fromhex(known) if known else wire.NO_UID
            self._send(self._endpoint, wire.Packet(bytes.fromhex(self.uid), destination, frame))

    def _send_icc(self, message: wire.Icc) -> None:
        """Send a controller's message down the link for its destination; without one it is lost, as it may be."""
        peer = self.peers.get(message.destination.hex())
        link = peer.link if peer is not None else None
        body = wire.write_icc(message)
        if link is None or link.number is None or link.state is not State.ONLINE or message.source.hex() != self.uid:
            logger.debug("a message between controllers is lost: no link")
        elif len(body) <= MAX_MESSAGE:
            self._effects.append(Ask("send_message", SendMessage(link.number, body)))

    def _icc_came(self, event: MessageCame) -> None:
        """A message from the controller at the other end of a link: it speaks for that node only, to this one."""
        message = wire.read_icc(event.data)
        if isinstance(message, wire.Unreadable) or message.source.hex() != event.peer:
            logger.warning("%s sent a message that a controller must not get; it is passed over", event.peer[:8])
        elif message.destination.hex() == self.uid and self.release is wire.Release.V16 and self._endpoint:
            self._send(self._endpoint, wire.Icc(message.kind, message.source, wire.NO_UID, message.body))


def _interface(ip: str, prefix: int) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    try:
        return ipaddress.ip_interface((ip, prefix))
    except ValueError:
        return None


def _is_loopback(ip: str) -> bool:
    try:
        return ipaddress.ip_address(ip).is_loopback
    except ValueError:
        return False
