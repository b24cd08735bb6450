"""This node as its controller has set it up: uid, addresses, mode, translation, and which addresses others have."""

from __future__ import annotations

import hashlib
import ipaddress
import itertools
import logging
from collections.abc import Callable, Mapping
from typing import Any

from tincan.vpn.ipop import wire
from tincan.vpn.ipop.effects import Ask, Effect, Identify
from tincan.vpn.ipop.friends import MAX_FRIENDS
from tincan.vpn.ipop.peers import Peer
from tincan.vpn.ipop.states import mac_of
from tincan.vpn.module.methods import (
    MAX_PEERS,
    Identity,
    IgnoreInterfaces,
    Mode,
    SetAddresses,
    SetMode,
    SetPeer,
    SetTranslation,
)

logger = logging.getLogger(__name__)


class Node:
    """One node. ``effect`` takes what the module is to do."""

    def __init__(self, identity: Identity, effect: Callable[[Effect], None]) -> None:
        self.identity = identity
        self.uid = ""
        self.ip4 = ""
        self.ip6 = ""
        self.mode: Mode = "ip"
        self.peers: dict[str, Peer] = {}
        self._effect = effect
        self._subnet = 32
        self._translation = False
        self._group: frozenset[str] | None = None

    @property
    def mac(self) -> str:
        """The tap's MAC address, or what stands for it."""
        return mac_of(self.uid, self.identity)

    @property
    def grouped(self) -> bool:
        """Whether this is a node of GroupVPN, which is named by its address."""
        return self._group is not None

    def identified(self, identity: Identity) -> None:
        """The module has said what it is."""
        self.identity = identity
        self.mode = identity.mode

    def peer(self, uid: str) -> Peer | None:
        """Return what is known of another node; None for what is no node, or ourselves, or one too many.

        GroupVPN's nodes know nobody but their group: its controllers end at a uid that they have no address for.
        """
        if not wire.is_uid(uid) or uid == self.uid or (self._group is not None and uid not in self._group):
            return None
        if uid not in self.peers and len(self.peers) >= MAX_FRIENDS:
            return None
        return self.peers.setdefault(uid, Peer(uid))

    def set_local_ip(self, fields: Mapping[str, Any]) -> None:
        """Take the uid and the addresses of this node, once."""
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
        self._group = group_of(self.uid, self.ip4)
        self.peers = {uid: peer for uid, peer in self.peers.items() if self._group is None or uid in self._group}
        subnet = wire.number(fields, "subnet_mask", 32)
        self._subnet = subnet if 0 < subnet <= 32 else 32
        if wire.truth(fields, "switchmode"):
            self._set_mode("switch")
        self._effect(Ask("set_addresses", SetAddresses(str(ip4), str(ip6))))
        self._effect(Identify())
        self._translate()

    def set_remote_ip(self, fields: Mapping[str, Any]) -> None:
        """Take the addresses of another node; the first ones stand."""
        uid, ip4, ip6 = (wire.text(fields, name) for name in ("uid", "ip4", "ip6"))
        peer = self.peer(uid.lower())
        if peer is None or peer.ip4 or not (ip4 and ip6):
            return
        four, six = _interface(ip4, self._subnet), _interface(ip6.partition("/")[0], 128)
        if not isinstance(four, ipaddress.IPv4Interface) or not isinstance(six, ipaddress.IPv6Interface):
            logger.warning("set_remote_ip: passed over; its addresses cannot be read")
            return
        peer.ip4, peer.ip6 = ip4, ip6
        if not four.ip.is_loopback:  # which stands for none, in switch mode
            self._effect(Ask("set_peer", SetPeer(peer.uid, (str(four.network), str(six.network)))))
            self._translate()

    def set_translation(self, fields: Mapping[str, Any]) -> None:
        """Rewrite addresses on arrival, or stop to."""
        self._translation = wire.truth(fields, "translate")
        self._translate(stop=not self._translation)

    def set_switchmode(self, fields: Mapping[str, Any]) -> None:
        """Carry Ethernet frames, or IP packets."""
        self._set_mode("switch" if wire.truth(fields, "switchmode") else "ip")

    def set_ignored(self, fields: Mapping[str, Any]) -> None:
        """Keep new links off some interfaces."""
        names = fields.get("network_ignore_list")
        if isinstance(names, list):
            short = tuple(name for name in names[:64] if isinstance(name, str) and 1 <= len(name) <= 15)
            self._effect(Ask("ignore_interfaces", IgnoreInterfaces(short)))

    def _set_mode(self, mode: Mode) -> None:
        if mode == self.mode:
            return
        self.mode = mode
        self._effect(Ask("set_mode", SetMode(mode)))
        self._effect(Identify())

    def _translate(self, stop: bool = False) -> None:
        """Bring the module's translation up to date."""
        if stop:
            self._effect(Ask("set_translation", SetTranslation(None)))
        elif self._translation and self.ip4:
            seen = {uid: peer.ip4 for uid, peer in self.peers.items() if peer.ip4}
            self._effect(
                Ask("set_translation", SetTranslation(self.ip4, dict(itertools.islice(seen.items(), MAX_PEERS))))
            )


def group_of(uid: str, ip4: str) -> frozenset[str] | None:
    """Return the uids that GroupVPN's controllers know beside this one; None for a node of another kind.

    A uid is the SHA-1 of an address there, and what they have a table of is the node's own /16, without the 255s.
    """
    if uid != _named(ip4):
        return None
    network = ip4.rsplit(".", 2)[0]
    return frozenset(_named(f"{network}.{third}.{last}") for third in range(255) for last in range(255))


def _named(ip4: str) -> str:
    return hashlib.sha1(ip4.encode(), usedforsecurity=False).hexdigest()


def _interface(ip: str, prefix: int) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface | None:
    try:
        return ipaddress.ip_interface((ip, prefix))
    except ValueError:
        return None
