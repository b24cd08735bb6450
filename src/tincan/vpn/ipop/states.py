"""``local_state`` and ``peer_state``: what is told to a controller that asks. Every field here is read by one."""

from __future__ import annotations

from typing import Any, Final

from tincan.vpn.ipop.candidates import NO_FINGERPRINT, type_of, write_fingerprint
from tincan.vpn.ipop.peers import Peer
from tincan.vpn.module.methods import Identity, LinkState
from tincan.vpn.module.states import State

# What the original shows before it is told.
DEFAULT_IP4: Final = "172.31.0.100"
DEFAULT_IP6: Final = "fd50:0dbc:41f2:4a3c:0000:0000:0000:0000"

_KINDS: Final = {"lan": ("host", "host"), "direct-udp": ("srflx", "srflx"), "relayed": ("relay", "relay")}
"""What kinds of candidates a path is told as."""


def local_state(uid: str, ip4: str, ip6: str, identity: Identity) -> dict[str, Any]:
    """Describe this node. The fingerprint is always of one length: controllers cut messages by it."""
    return {
        "type": "local_state",
        "_uid": uid,
        "_ip4": ip4 or DEFAULT_IP4,
        "_ip6": ip6 or DEFAULT_IP6,
        "_fpr": identity.fingerprint.upper() if uid else NO_FINGERPRINT,
        "_mac": mac_of(uid, identity),
    }


def mac_of(uid: str, identity: Identity) -> str:
    """Return the tap's MAC address. In IP mode it has none, and controllers want one: it is made of the uid then."""
    made = "02" + (uid or "00" * 20)[:10]
    return (identity.mac or ":".join(made[at : at + 2] for at in range(0, 12, 2))).lower()


def peer_state(peer: Peer, state: LinkState | None, now: float) -> dict[str, Any]:
    """Describe a peer; ``state`` is how the module says that its link is, with statistics if they were asked for."""
    told: dict[str, Any] = {
        "type": "peer_state",
        "uid": peer.uid,
        "status": "offline",
        "xmpp_time": 0 if peer.heard is None else max(0, int(now - peer.heard)),
    }
    if peer.ip4:
        told |= {"ip4": peer.ip4, "ip6": peer.ip6}
    if peer.link is None:
        return told
    told["fpr"] = write_fingerprint(peer.link.fingerprint)
    told["last_time"] = max(0, int(now - peer.link.since))
    if state is None or state.state is not State.ONLINE:
        return told
    # Controllers read the addresses of whoever is online.
    told |= {"status": "online", "security": "dtls", "ip4": peer.ip4, "ip6": peer.ip6}
    if state.statistics is not None:
        told["stats"] = [_connection(peer, state, now)]
    return told


def _connection(peer: Peer, state: LinkState, now: float) -> dict[str, Any]:
    """Describe the pair in use: there is one, where the original has a list."""
    assert state.statistics is not None  # noqa: S101 - the caller looked
    out, into = peer.rate.measure(state.statistics, now)
    local, remote = _KINDS.get(state.path or "", ("host", "host"))
    return {
        "local_addr": state.local or "",
        "rem_addr": state.remote or "",
        "local_type": type_of(local),
        "rem_type": type_of(remote),
        "best_conn": True,
        "writable": True,
        "readable": True,
        "timeout": False,
        "new_conn": False,
        "rtt": round((state.rtt or 0) * 1000),
        "sent_total_bytes": state.statistics.bytes_out,
        "sent_bytes_second": out,
        "recv_total_bytes": state.statistics.bytes_in,
        "recv_bytes_second": into,
    }
