"""IPOP's controllers told again: what GroupVPN and SocialVPN of v14.07 and v16.01 send, in which order, and what they
take from each answer. Written from the facts about them, and compared with what the originals did when they were run
against linkd, but none of their code; no sockets, no clock.

They are as easily upset as the originals: a wrong version, an unknown kind of datagram, a field that is not there
or a message of another form ends them with an exception. `start`, `receive` and `tick` return the datagrams to send.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

CONTROL, PACKET, ICC_CONTROL, ICC_PACKET = 1, 2, 3, 4
PREFIX6 = "fd50:0dbc:41f2:4a3c"
NO_UID = bytes(20)


class Died(Exception):
    """The controller would have exited."""


def uid_of(ip4: str) -> str:
    """GroupVPN's uid of an address."""
    return hashlib.sha1(ip4.encode()).hexdigest()


def ip6_of(uid: str) -> str:
    return ":".join([PREFIX6, *(uid[at : at + 4] for at in range(0, 16, 4))])


class Controller:
    """What all three have in common."""

    version = 0
    kinds: tuple[int, ...] = ()

    def __init__(
        self,
        uid: str,
        ip4: str,
        *,
        user: str = "",
        password: str = "",
        host: str = "",
        stun: str = "",
        turn: str = "",
    ) -> None:
        self.uid, self.ip4 = uid, ip4
        self.user, self.password, self.host = user, password, host
        self.stun, self.turn = stun, turn
        self.state: dict[str, Any] = {}
        self.peers: dict[str, dict[str, Any]] = {}
        self.told: list[dict[str, Any]] = []
        """Every control message that came."""

        self.packets: list[bytes] = []
        self.icc: list[dict[str, Any]] = []
        self.last = 0.0

    def call(self, method: str, **fields: Any) -> bytes:
        return bytes([self.version, CONTROL]) + json.dumps({"m": method, **fields}).encode()

    def create_link(self, uid: str, fpr: str, cas: str) -> bytes:
        user, password = ("lab", "lab-password") if self.turn else ("", "")
        return self.call(
            "create_link",
            uid=uid,
            fpr=fpr,
            overlay_id=1,
            stun=self.stun,
            turn=self.turn,
            turn_user=user,
            turn_pass=password,
            sec=True,
            cas=cas,
        )

    def set_remote_ip(self, uid: str, ip4: str) -> bytes:
        return self.call("set_remote_ip", uid=uid, ip4=ip4, ip6=ip6_of(uid))

    def get_state(self) -> bytes:
        return self.call("get_state", uid="", stats=True)

    def message(self, kind: str, uid: str, data: str) -> bytes:
        return self.call(kind, overlay_id=1, uid=uid, data=data)

    def receive(self, data: bytes, now: float) -> list[bytes]:
        if data[0] != self.version:
            raise Died(f"version {data[0]}")
        if data[1] not in self.kinds:
            raise Died(f"kind {data[1]}")
        if data[1] == CONTROL:
            told = json.loads(data[2:])
            self.told.append(told)
            return self.control(told, now)
        if data[1] == PACKET:
            self.packets.append(data)
            return self.packet(data, now)
        if data[1] == ICC_CONTROL:
            self.icc.append(json.loads(data[56:].decode().split("\0")[0]))
            return self.between(self.icc[-1], now)
        return []

    def control(self, told: dict[str, Any], now: float) -> list[bytes]:
        raise NotImplementedError

    def packet(self, data: bytes, now: float) -> list[bytes]:
        return []

    def between(self, told: dict[str, Any], now: float) -> list[bytes]:
        return []

    def online(self) -> set[str]:
        return {uid for uid, peer in self.peers.items() if peer.get("status") == "online"}


class GroupVpn14(Controller):
    """v14.07.0: everybody asks everybody, and a request counts only if one has asked oneself."""

    version, kinds = 2, (CONTROL, PACKET)

    def __init__(self, ip4: str, *, switchmode: int = 0, wait_time: float = 2, mask: int = 24, **more: Any) -> None:
        super().__init__(uid_of(ip4), ip4, **more)
        self.switchmode, self.wait, self.mask = switchmode, wait_time, mask
        self.asked: dict[str, str] = {}
        net = ip4.rsplit(".", 2)[0]
        self.table = {uid_of(f"{net}.{a}.{b}"): f"{net}.{a}.{b}" for a in (0, 1) for b in range(255)}

    def start(self, now: float) -> list[bytes]:
        self.last = now
        return [
            self.call("set_logging", logging=1),
            self.call("set_cb_endpoint", ip="::", port=0),
            self.call(
                "set_local_ip",
                uid=self.uid,
                ip4=self.ip4,
                ip6=ip6_of(self.uid),
                ip4_mask=self.mask,
                ip6_mask=64,
                subnet_mask=32,
            ),
            self.call("register_svc", username=self.user, password=self.password, host=self.host),
            self.call("set_switchmode", switchmode=self.switchmode),
            self.call("set_trimpolicy", trim_enabled=False),
            self.get_state(),
        ]

    def get_state(self) -> bytes:
        return self.call("get_state", stats=True)

    def tick(self, now: float) -> list[bytes]:
        if now - self.last <= self.wait:
            return []
        self.last = now
        sent = []
        for uid, peer in self.peers.items():
            if "fpr" in peer and peer["status"] == "offline" and peer["last_time"] > 2 * self.wait:
                sent += [
                    self.message("send_msg", uid, "destroy" + self.state["_uid"]),
                    self.call("trim_link", uid=uid),
                ]
        return [*sent, self.get_state()]

    def control(self, told: dict[str, Any], now: float) -> list[bytes]:
        kind = told.get("type")
        if kind == "local_state":
            self.state = told
        elif kind == "peer_state":
            return self._peer(told)
        elif kind == "con_req":
            return self._request(told)
        elif kind == "con_resp":
            self.asked[told["uid"]] = "resp_recv"
            return self._link(told)
        return []

    def _peer(self, told: dict[str, Any]) -> list[bytes]:
        uid = told["uid"]
        self.peers[uid] = told
        if told["status"] == "online":
            told["ip4"], told["ip6"]
            if "stats" in told:
                stats = told["stats"]
                told["total_byte"] = sum(s["sent_total_bytes"] + s["recv_total_bytes"] for s in stats)
                stats[0]["best_conn"], stats[0]["local_type"], stats[0]["rem_type"]
            return []
        if "fpr" not in told and told["xmpp_time"] < 8 * self.wait:
            self.asked[uid] = "req_sent"
            return [self.message("con_req", uid, self.state["_fpr"])]
        return []

    def _request(self, told: dict[str, Any]) -> list[bytes]:
        uid = told["uid"]
        if self.asked.get(uid) != "req_sent":
            return []
        sent = []
        if uid > self.state["_uid"]:
            sent.append(self.call("trim_link", uid=uid))
            del self.asked[uid]
        return sent + self._link(told)

    def _link(self, told: dict[str, Any]) -> list[bytes]:
        length = len(self.state["_fpr"])
        fpr, cas = told["data"][:length], told["data"][length + 1 :]
        return [self.create_link(told["uid"], fpr, cas), self.set_remote_ip(told["uid"], self.table[told["uid"]])]


class _V16(Controller):
    version, kinds = 3, (CONTROL, PACKET, ICC_CONTROL, ICC_PACKET)

    def bootstrap(self, translation: int | None, switchmode: int | None, port: int | None) -> list[bytes]:
        local = {"ip4_mask": 24, "ip6_mask": 64, "subnet_mask": 32, "switchmode": switchmode or 0}
        login: dict[str, Any] = {} if port is None else {"port": port}
        calls = [self.call("set_logging", logging=1)]
        if translation is not None:
            calls.append(self.call("set_translation", translate=translation))
        if switchmode is not None:
            calls.append(self.call("set_switchmode", switchmode=switchmode))
        return [
            *calls,
            self.call("set_cb_endpoint", ip="::", port=0),
            self.call("set_local_ip", uid=self.uid, ip4=self.ip4, ip6=ip6_of(self.uid), **local),
            self.call("register_svc", username=self.user, password=self.password, host=self.host, **login),
            self.call("set_trimpolicy", trim_enabled=False),
            self.get_state(),
        ]


class GroupVpn16(_V16):
    """v16.01: only wanted peers are linked; a request is acknowledged, and JSON goes over the links themselves."""

    def __init__(
        self,
        ip4: str,
        *,
        switchmode: int = 0,
        successors: int = 20,
        least: int = 1,
        interval: float = 1,
        port: int = 5222,
        on_demand: bool = True,
        **more: Any,
    ) -> None:
        """``least``: how many others to hear of before any is linked to, so that a small ring is always the same.

        ``on_demand``: make a link when a packet wants one (``num_on_demand`` 0 is false).
        """
        super().__init__(uid_of(ip4), ip4, **more)
        self.switchmode, self.successors, self.interval, self.port = switchmode, successors, interval, port
        self.least, self.on_demand = least, on_demand
        self.discovered: list[str] = []
        self.inbound: set[str] = set()
        net = ip4.rsplit(".", 2)[0]
        self.table = {uid_of(f"{net}.{a}.{b}"): f"{net}.{a}.{b}" for a in (0, 1) for b in range(255)}
        self.uids = {ip: uid for uid, ip in self.table.items()}

    def start(self, now: float) -> list[bytes]:
        self.last = now
        return self.bootstrap(0, self.switchmode, self.port)

    def set_remote_ip(self, uid: str, ip4: str) -> bytes:
        if self.switchmode:
            return self.call("set_remote_ip", uid=uid, ip4="127.0.0.1", ip6="::1/128")
        return super().set_remote_ip(uid, ip4)

    def tick(self, now: float) -> list[bytes]:
        if now - self.last < self.interval:
            return []
        self.last = now
        sent: list[bytes] = []
        for uid in [uid for uid, peer in self.peers.items() if now > peer["ttl"]]:
            del self.peers[uid]
            self.inbound.discard(uid)
            sent.append(self.call("trim_link", uid=uid))
        ring = sorted(set(self.discovered) - {self.uid})
        ring = [uid for uid in ring if uid > self.uid] + [uid for uid in ring if uid < self.uid]
        for uid in ring[: self.successors] if len(ring) >= self.least else []:
            if uid not in self.peers:
                self.peers[uid] = {"uid": uid, "ttl": now + 60}
                sent.append(self.message("con_req", uid, self._words("successor")))
        linked = [uid for uid in self.peers if self.linked(uid)]
        told = {"msg_type": "advertise", "src_uid": self.uid, "peer_list": linked}
        sent += [self.icc_to(uid, told) for uid in linked]
        self.discovered.clear()
        return [*sent, self.get_state()]

    def linked(self, uid: str) -> bool:
        return bool(self.peers[uid].get("con_status") == "online" and "ip6" in self.peers[uid])

    def icc_to(self, uid: str, told: dict[str, Any]) -> bytes:
        uids = bytes.fromhex(self.uid) + bytes.fromhex(uid)
        mac = bytes.fromhex("0069706f70") + bytes([ICC_CONTROL])
        return bytes([self.version, ICC_CONTROL]) + uids + mac + bytes(8) + json.dumps(told).encode()

    def control(self, told: dict[str, Any], now: float) -> list[bytes]:
        kind, uid = told["type"], told.get("uid", "")
        if kind == "local_state":
            self.state = told
            assert told["_uid"] == self.uid
            told["_ip4"], told["_fpr"], told["_mac"]
        elif kind == "peer_state":
            self.discovered.append(uid)
            if uid in self.peers:
                ttl = now + 30 if told["status"] == "online" else self.peers[uid]["ttl"]
                if "stats" in told:
                    told["stats"][0]["sent_bytes_second"]
                self.peers[uid] = {**told, "ttl": ttl, "con_status": self.peers[uid].get("con_status")}
        elif kind == "con_stat":
            if uid in self.peers:
                self.peers[uid]["con_status"] = told["data"]
        elif kind == "con_req":
            data = json.loads(told["data"])
            if uid not in self.peers or self.uid < uid:
                return self._answer(uid, data, now)
        elif kind == "con_ack":
            data = json.loads(told["data"])
            return self._link(uid, data["fpr"])
        elif kind == "con_resp":
            return self._link(uid, told["data"])
        elif kind == "ping":
            self.discovered.append(uid)
            return [self.message("ping_resp", uid, self.uid)]
        return []

    def _answer(self, uid: str, data: dict[str, Any], now: float) -> list[bytes]:
        if uid in self.inbound:
            return []
        self.inbound.add(uid)
        self.peers.setdefault(uid, {"uid": uid, "ttl": now + 60})
        mapping, link = self._link(uid, data["fpr"])
        return [mapping, self.message("con_ack", uid, self._words(data["con_type"])), link]

    def _link(self, uid: str, data: str) -> list[bytes]:
        """The mapping goes first, and the whole text stands where the fingerprint belongs."""
        cas = data[len(self.state["_fpr"]) + 1 :]
        return [self.set_remote_ip(uid, self.table[uid]), self.create_link(uid, data, cas)]

    def _words(self, con_type: str) -> str:
        return json.dumps({"fpr": self.state["_fpr"], "con_type": con_type})

    def packet(self, data: bytes, now: float) -> list[bytes]:
        """A packet without a link goes around the ring as hex inside JSON, and a link is asked for meanwhile."""
        if data[54:56] != b"\x08\x00":
            return []
        uid = self.uids.get(".".join(map(str, data[72:76])))
        if uid is None:
            return []
        told = {"msg_type": "forward", "src_uid": self.uid, "dst_uid": uid, "packet": data[2:].hex()}
        sent = self.forward(told)
        if self.on_demand and uid not in self.peers:
            self.peers[uid] = {"uid": uid, "ttl": now + 60}
            sent.append(self.message("con_req", uid, self._words("on_demand")))
        return sent

    def forward(self, told: dict[str, Any]) -> list[bytes]:
        """Send a message to the linked node that is nearest to its destination and not beyond, going up the ring."""
        hop, goal = self.uid, told["dst_uid"]
        for uid in self.peers:
            if self.linked(uid) and (hop < uid <= goal if hop < goal else hop > goal and (hop < uid or uid <= goal)):
                hop = uid
        return [] if hop == self.uid else [self.icc_to(hop, told)]

    def between(self, told: dict[str, Any], now: float) -> list[bytes]:
        if told["msg_type"] == "advertise":
            self.discovered += told["peer_list"]
        elif told["msg_type"] == "forward":
            if told["dst_uid"] != self.uid:
                return self.forward(told)
            return [bytes([self.version, PACKET]) + bytes.fromhex(told["packet"])]
        return []


class SocialVpn16(_V16):
    """v16.01 SocialVPN: requests as in v14, addresses of one's own choice, and translation."""

    def __init__(self, uid: str, ip4: str = "172.31.0.100", *, interval: float = 1, **more: Any) -> None:
        super().__init__(uid, ip4, **more)
        self.interval = interval
        self.asked: dict[str, str] = {}
        self.map: dict[str, str] = {}
        self.by_ip4: dict[str, str] = {}

    def start(self, now: float) -> list[bytes]:
        self.last = now
        return self.bootstrap(1, None, None)

    def tick(self, now: float) -> list[bytes]:
        if now - self.last < self.interval:
            return []
        self.last = now
        late = [u for u, p in self.peers.items() if "fpr" in p and p["status"] == "offline" and p["last_time"] > 30]
        return [*(self.call("trim_link", uid=uid) for uid in late), self.get_state()]

    def control(self, told: dict[str, Any], now: float) -> list[bytes]:
        kind, uid = told["type"], told.get("uid", "")
        if kind == "local_state":
            self.state = told
        elif kind == "peer_state":
            if told["status"] == "online":
                self.by_ip4[told["ip4"]] = told["ip6"]
            elif self.peers.get(uid, {}).get("status") == "online":
                del self.by_ip4[self.peers[uid]["ip4"]]
            self.peers[uid] = told
            if "fpr" not in told and told["xmpp_time"] < 120:
                self.asked[uid] = "req_sent"
                return [self.message("con_req", uid, self.state["_fpr"])]
        elif kind == "con_req" and self.asked.get(uid) == "req_sent":
            sent = []
            if uid > self.state["_uid"]:
                sent.append(self.call("trim_link", uid=uid))
                del self.asked[uid]
            return sent + self._link(told)
        elif kind == "con_resp":
            self.asked[uid] = "resp_recv"
            return self._link(told)
        return []

    def _link(self, told: dict[str, Any]) -> list[bytes]:
        uid, length = told["uid"], len(self.state["_fpr"])
        fpr, cas = told["data"][:length], told["data"][length + 1 :]
        if uid not in self.map:
            taken = set(self.map.values())
            net = self.ip4.rpartition(".")[0]
            self.map[uid] = next(f"{net}.{n}" for n in range(101, 255) if f"{net}.{n}" not in taken)
        return [self.create_link(uid, fpr, cas), self.set_remote_ip(uid, self.map[uid])]


class SocialVpn14(SocialVpn16):
    """v14.07 SocialVPN: the same in the words of its release, and no statistics."""

    version, kinds = 2, (CONTROL, PACKET)

    def start(self, now: float) -> list[bytes]:
        self.last = now
        local = {"ip4_mask": 24, "ip6_mask": 64, "subnet_mask": 32}
        return [
            self.call("set_logging", logging=1),
            self.call("set_translation", translate=1),
            self.call("set_cb_endpoint", ip="::", port=0),
            self.call("set_local_ip", uid=self.uid, ip4=self.ip4, ip6=ip6_of(self.uid), **local),
            self.call("register_svc", username=self.user, password=self.password, host=self.host),
            self.call("set_trimpolicy", trim_enabled=False),
            self.get_state(),
            self.call("set_network_ignore_list", network_ignore_list=["docker0"]),
        ]

    def get_state(self) -> bytes:
        return self.call("get_state", stats=False)
