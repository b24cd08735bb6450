"""The core by itself: one node, one method at a time."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interop.ipop_controllers import uid_of
from tincan.link.description import Candidate as IceCandidate
from tincan.vpn.ipop.candidates import NO_FINGERPRINT
from tincan.vpn.ipop.core import Dialect
from tincan.vpn.ipop.effects import Ask, Effect, Identify, Login, Look, Open, Send, SetLogging, Tell
from tincan.vpn.ipop.events import Gone, Heard, Said, SignedIn, SignedOut
from tincan.vpn.ipop.peers import PATIENCE
from tincan.vpn.ipop.wire import METHODS, Release
from tincan.vpn.module.events import CandidatesFound, LinkChanged, MessageCame, PacketUnrouted
from tincan.vpn.module.methods import (
    Candidate,
    ConnectLink,
    CreateLink,
    Description,
    Identity,
    IgnoreInterfaces,
    InjectPacket,
    LinkMade,
    LinkState,
    SendMessage,
    SetAddresses,
    SetMode,
    SetPeer,
    SetTranslation,
    Statistics,
    TrimLink,
)
from tincan.vpn.module.states import State

V14, V16 = Release.V14, Release.V16
HERE = ("::1", 41000)
OWN, SMALL, LARGE = "80" * 20, "11" * 20, "ff" * 20
OURS, THEIRS = ":".join(["AA"] * 32), ":".join(["BB"] * 32)
IDENTITY = Identity("1", OURS.lower(), "ipop", "02:AA:00:00:00:01", "ip", (), 1280)
PWD = "p" * 22
CAS = f"0:1:udp:192.0.2.7:40000:1:theirs:{PWD}:local:net:0:1"
HOST = Candidate("host", "192.0.2.1", 50000, "1", 2130706431)
OUR_CAS = f"0:1:udp:192.0.2.1:50000:2130706431:ours:{PWD}:local:net:0:1"


class Node:
    """A core, and what is asked of it in short."""

    def __init__(self, release: Release = V14, *, uid: str = OWN, endpoint: bool = True) -> None:
        self.release = release
        self.core = Dialect(release, IDENTITY)
        self.now = 100.0
        if uid:
            self.call(
                "set_local_ip", uid=uid, ip4="172.16.0.1", ip6="fd50::1", ip4_mask=24, ip6_mask=64, subnet_mask=32
            )
        if endpoint:
            self.call("set_cb_endpoint", ip="::", port=0)

    def call(self, method: str, **fields: Any) -> list[Effect]:
        return self.raw(bytes([{V14: 2, V16: 3}[self.release], 1]) + json.dumps({"m": method, **fields}).encode())

    def raw(self, data: bytes) -> list[Effect]:
        self.core.receive(data, HERE, self.now)
        return self.core.effects()

    def happened(self, event: Any) -> list[Effect]:
        self.core.happened(event, self.now)
        return self.core.effects()

    def heard(self, event: Any) -> list[Effect]:
        self.core.overlay(event, self.now)
        return self.core.effects()

    def create(self, uid: str = SMALL, *, fpr: str = THEIRS, cas: str = "", **more: Any) -> list[Effect]:
        fields = {"overlay_id": 1, "stun": "", "turn": "", "turn_user": "", "turn_pass": "", "sec": True} | more
        return self.call("create_link", uid=uid, fpr=fpr, cas=cas, **fields)

    def opened(self, ticket: int, number: int = 7, *, complete: bool = True, ufrag: str = "ours") -> list[Effect]:
        made = LinkMade(number, Description(ufrag, PWD, OURS, (HOST,), complete))
        self.core.opened(ticket, made, self.now)
        return self.core.effects()

    def online(self, uid: str = SMALL) -> None:
        self.create(uid)
        self.opened(1)
        self.create(uid, cas=CAS)
        self.happened(LinkChanged(7, uid, State.ONLINE, "lan"))


def told(effects: list[Effect]) -> list[dict[str, Any]]:
    """The control messages among the effects; there is nothing else."""
    found = []
    for effect in effects:
        assert isinstance(effect, Send)
        assert effect.to == HERE
        assert effect.datagram[1] == 1
        found.append(json.loads(effect.datagram[2:]))
    return found


# -- the node itself -------------------------------------------------------------------


def test_set_local_ip_once() -> None:
    node = Node(uid="", endpoint=False)
    fields = {"ip4": "172.16.0.1", "ip6": "fd50::1", "ip4_mask": 24, "ip6_mask": 64, "subnet_mask": 32}
    assert node.call("set_local_ip", uid="ab", **fields) == []
    assert node.call("set_local_ip", uid=OWN, **{**fields, "ip4": "x"}) == []
    assert node.call("set_local_ip", uid=OWN, **{**fields, "ip6": "172.16.0.1"}) == []
    assert node.call("set_local_ip", uid=OWN, **{**fields, "ip4_mask": 99}) == []
    assert node.call("set_local_ip", uid=OWN, **fields) == [
        Ask("set_addresses", SetAddresses("172.16.0.1/24", "fd50::1/64")),
        Identify(),
    ]
    assert node.call("set_local_ip", uid=SMALL, **fields) == []
    assert node.core.node.uid == OWN


def test_state_before_and_after() -> None:
    node = Node(uid="", endpoint=False)
    [look] = node.call("get_state", uid="", stats=True)
    assert look == Look(HERE, "", True)
    node.core.looked(look, (), 0)
    assert told(node.core.effects()) == [
        {
            "type": "local_state",
            "_uid": "",
            "_ip4": "172.31.0.100",
            "_ip6": "fd50:0dbc:41f2:4a3c:0000:0000:0000:0000",
            "_fpr": NO_FINGERPRINT,
            "_mac": "02:aa:00:00:00:01",
        }
    ]
    node = Node()
    [look] = node.call("get_state")
    node.core.looked(look, (), 0)
    [state] = told(node.core.effects())
    assert (state["_uid"], state["_ip4"], state["_fpr"]) == (OWN, "172.16.0.1", OURS)


def test_the_answer_goes_to_who_asked() -> None:
    node = Node()
    data = b'\x02\x01{"m":"get_state"}'
    node.core.receive(data, ("127.0.0.1", 9), 0)
    [look] = node.core.effects()
    assert isinstance(look, Look)
    node.core.looked(look, (), 0)
    [sent] = node.core.effects()
    assert isinstance(sent, Send)
    assert sent.to == ("127.0.0.1", 9)


def test_register_svc() -> None:
    account = {"username": "a@can.test", "password": "secret", "host": "xmpp.test"}
    assert Node(uid="").call("register_svc", **account) == []
    node = Node(V16)
    for field in account:
        assert node.call("register_svc", **{**account, field: ""}) == []
    assert node.call("register_svc", **account, port=70000) == []
    [login] = node.call("register_svc", **account, port=5223)
    assert login == Login("a@can.test", "xmpp.test", 5223, OWN, "secret")
    assert "secret" not in repr(login)
    assert node.call("register_svc", **account) == []
    assert told(node.heard(SignedOut("No.", True))) == [{"uid": OWN, "data": "xmpp failed: No.", "type": "con_stat"}]
    assert node.call("register_svc", **account) == [Login("a@can.test", "xmpp.test", 5222, OWN, "secret")]
    assert told(node.heard(SignedIn())) == [{"uid": OWN, "data": "xmpp online", "type": "con_stat"}]
    assert told(node.heard(SignedOut("Gone.", False))) == [
        {"uid": OWN, "data": "xmpp offline: Gone.", "type": "con_stat"}
    ]
    assert node.call("register_svc", **account) == []  # it is tried again by itself
    assert node.heard(SignedOut("Gone.", False)) == []  # and the same reason is not told again
    assert [m["data"] for m in told(node.heard(SignedOut("Gone.", True)))] == ["xmpp failed: Gone."]


@pytest.mark.parametrize(
    ("ip", "port", "to"),
    [
        ("::", 0, HERE),
        ("0.0.0.0", 5, HERE),
        ("127.0.0.1", 9, ("127.0.0.1", 9)),
        ("::1", 9, ("::1", 9)),
        ("203.0.113.5", 9, None),
        ("localhost", 9, None),
        ("::1", 0, None),
        ("", 9, None),
    ],
)
def test_endpoints(ip: str, port: int, to: tuple[str, int] | None) -> None:
    node = Node(endpoint=False)
    node.call("set_cb_endpoint", ip=ip, port=port)
    sent = [effect.to for effect in node.heard(SignedIn()) if isinstance(effect, Send)]
    assert sent == ([] if to is None else [to])


def test_small_methods() -> None:
    node = Node()
    assert node.call("set_logging", logging=9) == [SetLogging(3)]
    assert node.call("set_trimpolicy", trim_enabled=True) == []
    assert node.call("echo_reply") == []
    assert told(node.call("echo_request", msg="hello")) == [{"type": "echo_request", "msg": "hello"}]
    names = ["eth0", "x" * 16, "", 5]
    assert node.call("set_network_ignore_list", network_ignore_list=names) == [
        Ask("ignore_interfaces", IgnoreInterfaces(("eth0",)))
    ]
    assert node.call("set_network_ignore_list", network_ignore_list="eth0") == []
    assert told(node.raw(b"\x02\x01{")) == [{"error": "json parsing failed"}]
    assert node.raw(b"\x03\x01{}") == node.raw(b"") == node.raw(b"\x02\x09") == []
    assert node.call("set_switchmode", switchmode=0) == []
    assert node.call("set_switchmode", switchmode=1) == [Ask("set_mode", SetMode("switch")), Identify()]
    assert node.call("set_switchmode", switchmode=1) == []


def test_every_method_has_its_place() -> None:
    for method in METHODS:
        assert not any(isinstance(effect, Tell) for effect in Node().call(method, uid=SMALL, data="x", overlay_id=1))


def test_v16_switchmode_with_the_address() -> None:
    node = Node(V16, uid="")
    effects = node.call("set_local_ip", uid=OWN, ip4="10.0.0.1", ip6="fd50::1", switchmode=1)
    assert effects[0] == Ask("set_mode", SetMode("switch"))


# -- addresses of peers ----------------------------------------------------------------


def test_the_first_mapping_stands() -> None:
    node = Node()
    assert node.call("set_remote_ip", uid=SMALL, ip4="172.16.0.2", ip6="fd50::2") == [
        Ask("set_peer", SetPeer(SMALL, ("172.16.0.2/32", "fd50::2/128")))
    ]
    assert node.call("set_remote_ip", uid=SMALL, ip4="172.16.0.3", ip6="fd50::3") == []
    for wrong in ({"ip4": ""}, {"ip4": "x"}, {"ip6": "x"}, {"uid": "x"}, {"uid": OWN}):
        fields = {"uid": LARGE, "ip4": "172.16.0.4", "ip6": "fd50::4"} | wrong
        assert node.call("set_remote_ip", **fields) == []
    assert node.call("set_remote_ip", uid=LARGE, ip4="127.0.0.1", ip6="::1/128") == []  # the dummy of switch mode


def test_router_mode() -> None:
    node = Node(uid="")
    node.call("set_local_ip", uid=OWN, ip4="10.1.0.1", ip6="fd50::1", ip4_mask=16, ip6_mask=64, subnet_mask=24)
    assert node.call("set_remote_ip", uid=SMALL, ip4="10.1.7.5", ip6="fd50::2") == [
        Ask("set_peer", SetPeer(SMALL, ("10.1.7.0/24", "fd50::2/128")))
    ]


def test_translation() -> None:
    node = Node(V16, uid="")
    assert node.call("set_translation", translate=1) == []
    effects = node.call("set_local_ip", uid=OWN, ip4="172.31.0.100", ip6="fd50::1")
    assert effects[-1] == Ask("set_translation", SetTranslation("172.31.0.100"))
    effects = node.call("set_remote_ip", uid=SMALL, ip4="172.31.0.101", ip6="fd50::2")
    assert effects[-1] == Ask("set_translation", SetTranslation("172.31.0.100", {SMALL: "172.31.0.101"}))
    assert node.call("set_translation", translate=0) == [Ask("set_translation", SetTranslation(None))]


# -- links -----------------------------------------------------------------------------


def test_a_link_from_its_beginning_to_its_end() -> None:
    node = Node()
    assert node.create(stun="stun.test:3478", turn="turn.test:3478", turn_user="u", turn_pass="p") == [
        Open(1, node.core.node.peers[SMALL].link.params)  # type: ignore[union-attr]
    ]
    params = node.core.node.peers[SMALL].link.params  # type: ignore[union-attr]
    assert (params.peer, params.controlling) == (SMALL, True)
    assert [(s.url, s.username, s.credential) for s in params.servers] == [
        ("stun:stun.test:3478", None, None),
        ("turn:turn.test:3478?transport=udp", "u", "p"),
    ]
    assert node.create() == []  # a silent no-op
    assert node.opened(1) == [Tell(SMALL, "con_resp", f"{OURS} {OUR_CAS}")]
    theirs = Description("theirs", PWD, THEIRS, (Candidate("host", "192.0.2.7", 40000, "1", 1),), True)
    assert node.create(cas=CAS) == [Ask("connect_link", ConnectLink(7, theirs))]
    assert node.create(cas=CAS) == []  # once only
    assert node.create(cas=CAS, fpr=OURS) == []
    assert node.happened(LinkChanged(7, SMALL, State.CONNECTING)) == []
    assert told(node.happened(LinkChanged(7, SMALL, State.ONLINE, "lan"))) == [
        {"uid": SMALL, "data": "online", "type": "con_stat"}
    ]
    assert node.happened(LinkChanged(7, SMALL, State.ONLINE, "relayed")) == []
    assert told(node.happened(LinkChanged(7, SMALL, State.OFFLINE))) == [
        {"uid": SMALL, "data": "offline", "type": "con_stat"}
    ]
    assert node.call("trim_link", uid=SMALL) == [Ask("trim_link", TrimLink(link=7))]
    assert node.call("trim_link", uid=SMALL) == node.call("trim_link", uid=LARGE) == node.call("trim_link") == []


def test_v16_hands_over_the_whole_text_where_the_fingerprint_belongs() -> None:
    node = Node(V16)
    node.create(LARGE)
    node.opened(1)
    [ask] = node.create(LARGE, fpr=f"{THEIRS} {CAS}", cas=CAS)
    assert isinstance(ask, Ask)
    assert isinstance(ask.params, ConnectLink)
    assert ask.params.description.fingerprint == THEIRS
    other = Node(V16)
    [opened] = other.create(LARGE, fpr=f"{THEIRS} {CAS}", cas=CAS)  # without one before it
    assert isinstance(opened, Open)
    assert not opened.params.controlling
    [ask, tell] = other.opened(1)
    assert isinstance(ask, Ask)
    assert isinstance(tell, Tell)


def test_no_link_without_a_fingerprint() -> None:
    node = Node()
    for fpr in ("", NO_FINGERPRINT, ":".join(["AB"] * 20)):
        assert node.create(fpr=fpr) == []
    assert [type(effect) for effect in node.create(sec=False)] == [Open]  # it is encrypted all the same
    assert node.create(OWN) == node.create("x") == Node(uid="").create() == []


def test_the_peer_is_told_when_the_candidates_are_there() -> None:
    node = Node()
    node.create()
    assert node.opened(1, complete=False) == []
    later = Candidate("srflx", "198.51.100.1", 50000, "2", 1)
    assert node.happened(CandidatesFound(7, "another", (later,), True)) == []
    assert node.happened(CandidatesFound(7, "ours", (later,), False)) == []
    [tell] = node.happened(CandidatesFound(7, "ours", (later,), True))
    assert tell == Tell(SMALL, "con_resp", f"{OURS} {OUR_CAS} 1:1:udp:198.51.100.1:50000:1:ours:{PWD}:stun:net:0:2")
    assert node.happened(CandidatesFound(7, "ours", (), True)) == []


def test_servers_that_do_not_answer_hold_nothing_up() -> None:
    node = Node()
    node.create()
    node.opened(1, complete=False)
    assert node.core.next_deadline() == node.now + PATIENCE
    node.core.tick(node.now + PATIENCE / 2)
    assert node.core.effects() == []
    node.core.tick(node.now + PATIENCE)
    assert node.core.effects() == [Tell(SMALL, "con_resp", f"{OURS} {OUR_CAS}")]
    assert node.core.next_deadline() is None
    assert node.happened(CandidatesFound(7, "ours", (), True)) == []


def test_overlay_0_goes_through_the_own_controller() -> None:
    node = Node()
    node.create(overlay_id=0)
    assert told(node.opened(1)) == [{"uid": SMALL, "data": f"{OURS} {OUR_CAS}", "type": "con_resp"}]
    assert told(node.call("con_req", uid=SMALL, data="x", overlay_id=0)) == [
        {"uid": SMALL, "data": "x", "type": "con_req"}
    ]


def test_trimmed_before_it_was_made() -> None:
    node = Node()
    node.create()
    assert node.call("trim_link", uid=SMALL) == []
    [again] = node.create()
    assert isinstance(again, Open)
    assert again.ticket == 2
    assert node.opened(1, 7) == [Ask("trim_link", TrimLink(link=7))]
    assert node.opened(2, 8) == [Tell(SMALL, "con_resp", f"{OURS} {OUR_CAS}")]


def test_the_module_refuses() -> None:
    node = Node()
    node.create()
    node.core.opened(1, None, 0)
    assert told(node.core.effects()) == [{"uid": SMALL, "data": "unknown", "type": "con_stat"}]
    assert [type(effect) for effect in node.create()] == [Open]


def test_a_dead_link_is_begun_anew() -> None:
    node = Node()
    node.online()
    assert [message["data"] for message in told(node.create())] == ["online"]
    node.happened(LinkChanged(7, SMALL, State.FAILED))
    trim, opened = node.create()
    assert trim == Ask("trim_link", TrimLink(link=7))
    assert isinstance(opened, Open)


@pytest.mark.parametrize(("uid", "follows"), [(SMALL, True), (LARGE, False)])
def test_the_controlling_end_follows_a_peer_that_began_anew(uid: str, follows: bool) -> None:
    node = Node()
    node.create(uid)
    node.opened(1)
    node.create(uid, cas=CAS)
    effects = node.create(uid, cas=CAS.replace("theirs", "newer"))
    assert [type(effect) for effect in effects] == ([Ask, Open] if follows else [])
    if follows:
        [connect, _] = node.opened(2, 8)
        assert isinstance(connect, Ask)
        assert isinstance(connect.params, ConnectLink)
        assert connect.params.description.ufrag == "newer"


def test_an_online_link_stays() -> None:
    node = Node()
    node.online()
    online = {"uid": SMALL, "data": "online", "type": "con_stat"}
    assert told(node.create(cas=CAS.replace("theirs", "newer"))) == [online]
    # v16's controller that was started again asks for it, and goes by con_stat alone.
    asked, reminded = node.call("con_req", uid=SMALL, data="{}", overlay_id=1)
    assert asked == Tell(SMALL, "con_req", "{}")
    assert told([reminded]) == [online]
    assert node.call("ping", uid=SMALL, data="", overlay_id=1) == [Tell(SMALL, "ping", "")]
    node.happened(LinkChanged(7, SMALL, State.CONNECTING))
    assert node.call("con_req", uid=SMALL, data="{}", overlay_id=1) == [asked]


# -- states of peers -------------------------------------------------------------------


def states(node: Node, *links: LinkState, uid: str = "", stats: bool = True) -> list[dict[str, Any]]:
    [look] = node.call("get_state", uid=uid, stats=stats)
    assert isinstance(look, Look)
    node.core.looked(look, links, node.now)
    first, *rest = told(node.core.effects())
    assert first["type"] == "local_state"
    return rest


def test_who_is_told_of() -> None:
    node = Node()
    node.heard(Heard(SMALL))
    node.now += 5.9
    assert states(node) == [{"type": "peer_state", "uid": SMALL, "status": "offline", "xmpp_time": 5}]
    node.heard(Heard(OWN))
    node.heard(Heard("what"))
    assert len(states(node)) == 1
    assert states(node, uid=LARGE) == [{"type": "peer_state", "uid": LARGE, "status": "offline", "xmpp_time": 0}]
    assert states(node, uid="what") == []
    node.heard(Gone(SMALL))
    assert states(node) == []
    node.create()
    [state] = states(node)  # gone from XMPP, and there is a link
    assert (state["fpr"], state["last_time"], state["status"]) == (THEIRS, 0, "offline")
    node.call("trim_link", uid=SMALL)
    [state] = states(node)  # or v14 and SocialVPN would trim it again every period
    assert "fpr" not in state
    assert states(node) == []


def test_an_online_peer() -> None:
    node = Node()
    node.heard(Heard(SMALL))
    node.call("set_remote_ip", uid=SMALL, ip4="172.16.0.2", ip6="fd50::2")
    node.online()
    node.now += 10
    link = LinkState(
        7,
        SMALL,
        State.ONLINE,
        "lan",
        0.0123,
        local="192.0.2.1:50000",
        remote="192.0.2.7:40000",
        statistics=Statistics(1, 2, 1000, 2000),
    )
    [state] = states(node, link)
    expected = {
        "type": "peer_state",
        "uid": SMALL,
        "status": "online",
        "xmpp_time": 10,
        "ip4": "172.16.0.2",
        "ip6": "fd50::2",
        "fpr": THEIRS,
        "last_time": 10,
        "security": "dtls",
    }
    stats = state.pop("stats")
    assert state == expected
    assert stats == [
        {
            "local_addr": "192.0.2.1:50000",
            "rem_addr": "192.0.2.7:40000",
            "local_type": "local",
            "rem_type": "local",
            "best_conn": True,
            "writable": True,
            "readable": True,
            "timeout": False,
            "new_conn": False,
            "rtt": 12,
            "sent_total_bytes": 2000,
            "sent_bytes_second": 0,
            "recv_total_bytes": 1000,
            "recv_bytes_second": 0,
        }
    ]
    node.now += 2
    later = LinkState(7, SMALL, State.ONLINE, "relayed", statistics=Statistics(1, 2, 1100, 4000))
    [state] = states(node, later)
    found = state["stats"][0]
    assert (found["sent_bytes_second"], found["recv_bytes_second"], found["local_type"]) == (1000, 50, "relay")
    [state] = states(node, LinkState(7, SMALL, State.ONLINE, "lan"), stats=False)
    assert "stats" not in state
    [state] = states(node, LinkState(8, SMALL, State.ONLINE, "lan"))  # another link of the same peer
    assert state["status"] == "offline"


# -- messages --------------------------------------------------------------------------


def test_unknown_methods_go_to_the_peer() -> None:
    node = Node()
    assert node.call("con_req", uid=SMALL, data=OURS, overlay_id=1) == [Tell(SMALL, "con_req", OURS)]
    assert node.call("whatever", uid=SMALL, data=5, overlay_id=1) == [Tell(SMALL, "whatever", "5")]
    assert node.call("", uid=SMALL, data="x", overlay_id=1) == []
    assert node.call("ping", uid="", data="x", overlay_id=1) == []
    assert node.call("ping", uid=SMALL, data="x" * 40000, overlay_id=1) == []


def test_what_peers_say() -> None:
    node = Node()
    assert told(node.heard(Said(SMALL, "con_req", THEIRS))) == [{"uid": SMALL, "data": THEIRS, "type": "con_req"}]
    for kind in ("local_state", "peer_state", "con_stat", "set_local_ip", "echo_request", "error"):
        assert node.heard(Said(SMALL, kind, THEIRS)) == []
    assert node.heard(Said("what", "ping", "")) == node.heard(Said(OWN, "ping", "")) == []
    assert Node(endpoint=False).heard(Said(SMALL, "ping", "")) == []


def test_a_group_knows_nobody_else() -> None:
    """GroupVPN's controllers look every uid up in a table of their own /16, and v14's ends where there is none."""
    own, member, stranger = uid_of("172.16.0.1"), uid_of("172.16.254.254"), uid_of("172.17.0.2")
    for release, request in ((V14, THEIRS), (V16, json.dumps({"fpr": THEIRS, "con_type": "successor"}))):
        node = Node(release, uid=own)
        for uid in (member, stranger, SMALL):
            node.heard(Heard(uid))
        assert [state["uid"] for state in states(node)] == [member]
        assert node.heard(Said(stranger, "con_req", request)) == node.heard(Said(SMALL, "ping", "")) == []
        assert len(told(node.heard(Said(member, "con_req", request)))) == 1
    assert node.heard(Said(member, "con_req", THEIRS)) == []  # v16's GroupVPN reads JSON
    assert len(told(Node(V16).heard(Said(SMALL, "con_req", THEIRS)))) == 1  # its SocialVPN does not


def test_who_has_not_asked_starts_nothing() -> None:
    """v14 on demand takes a ``send_msg`` for the word to begin, and ends if it was not asked for the link before."""
    node = Node()
    assert node.heard(Said(SMALL, "send_msg", THEIRS)) == []
    assert len(told(node.heard(Said(SMALL, "send_msg", "destroy" + SMALL)))) == 1
    node.heard(Said(SMALL, "con_req", THEIRS))
    assert len(told(node.heard(Said(SMALL, "send_msg", THEIRS)))) == 1
    node.call("set_cb_endpoint", ip="::", port=0)  # the controller was started again
    assert node.heard(Said(SMALL, "send_msg", THEIRS)) == []


# -- packets ---------------------------------------------------------------------------


IP4 = bytes([0x45]) + bytes(27)
IP6 = bytes([0x60]) + bytes(39)
MAC = bytes.fromhex("02aa00000001")


def test_packets_without_a_link() -> None:
    node = Node()
    own, small = bytes.fromhex(OWN), bytes.fromhex(SMALL)
    for packet, kind in ((IP4, b"\x08\x00"), (IP6, b"\x86\xdd")):
        [sent] = node.happened(PacketUnrouted(packet, "172.16.0.2", SMALL))
        assert sent == Send(HERE, b"\x02\x02" + own + small + b"\xff" * 6 + MAC + kind + packet)
    [sent] = node.happened(PacketUnrouted(IP4, "172.16.0.9"))
    assert isinstance(sent, Send)
    assert sent.datagram[22:42] == bytes(20)
    assert node.happened(PacketUnrouted(b"", "172.16.0.9")) == node.happened(PacketUnrouted(b"\x10", "x")) == []
    node.call("set_switchmode", switchmode=1)
    frame = b"\xff" * 6 + MAC + b"\x08\x06" + bytes(28)
    assert node.happened(PacketUnrouted(frame, "ff:ff:ff:ff:ff:ff")) == [
        Send(HERE, b"\x02\x02" + own + bytes(20) + frame)
    ]
    assert Node(endpoint=False).happened(PacketUnrouted(IP4, "x")) == []
    assert Node(uid="").happened(PacketUnrouted(IP4, "x")) == []


def test_injected_packets() -> None:
    node = Node()
    head = b"\x02\x02" + bytes(40) + b"\xff" * 12
    assert node.raw(head + b"\x08\x00" + IP4) == [Ask("inject_packet", InjectPacket(IP4))]
    assert node.raw(head + b"\x86\xdd" + IP6) == [Ask("inject_packet", InjectPacket(IP6))]
    for wrong in (b"\x08\x06" + bytes(28), b"\x08\x00" + IP6, b"\x08\x00", b"\x08\x00" + IP4[:15], b""):
        assert node.raw(head + wrong) == []
    node.call("set_switchmode", switchmode=1)
    arp = b"\xff" * 12 + b"\x08\x06" + bytes(28)
    assert node.raw(b"\x02\x02" + bytes(40) + arp) == [Ask("inject_packet", InjectPacket(arp))]


def icc(source: str, destination: str, body: bytes = b"{}", kind: int = 3) -> bytes:
    mac = bytes.fromhex("0069706f70") + bytes([kind])
    return bytes.fromhex(source) + bytes.fromhex(destination) + mac + bytes(8) + body


def test_messages_between_controllers() -> None:
    node = Node(V16)
    datagram = b"\x03\x03" + icc(OWN, SMALL)
    assert node.raw(datagram) == []  # no link
    node.online()
    assert node.raw(datagram) == [Ask("send_message", SendMessage(7, icc(OWN, SMALL)))]
    assert node.raw(b"\x03\x04" + icc(OWN, SMALL, kind=4)) == [
        Ask("send_message", SendMessage(7, icc(OWN, SMALL, kind=4)))
    ]
    assert node.raw(b"\x03\x03" + icc(LARGE, SMALL)) == []  # in another's name
    assert node.happened(MessageCame(7, SMALL, icc(SMALL, OWN))) == [Send(HERE, b"\x03\x03" + icc(SMALL, "00" * 20))]
    for wrong in (b"", icc(LARGE, OWN), icc(SMALL, LARGE), icc(SMALL, OWN, kind=5)):
        assert node.happened(MessageCame(7, SMALL, wrong)) == []
    node.happened(LinkChanged(7, SMALL, State.OFFLINE))
    assert node.raw(datagram) == []
    old = Node(V14)
    old.online()
    assert old.happened(MessageCame(7, SMALL, icc(SMALL, OWN))) == []  # which v14 does not know


# -- anything at all -------------------------------------------------------------------

VALUES = [
    OWN,
    SMALL,
    LARGE,
    "::",
    "127.0.0.1",
    "172.16.0.2",
    "fd50::2",
    THEIRS,
    CAS,
    f"{THEIRS} {CAS}",
    "1",
    0,
    1,
    24,
]
NAMES = """uid data overlay_id ip ip4 ip6 ip4_mask ip6_mask subnet_mask port fpr cas stun turn turn_user turn_pass sec
    stats logging translate switchmode network_ignore_list msg username password host"""
ANY = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=50),
    st.lists(st.text(max_size=5), max_size=3),
    st.sampled_from(VALUES),
)
FIELDS = st.dictionaries(st.sampled_from(NAMES.split()), ANY)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(Release),
    st.lists(st.tuples(st.sampled_from([*sorted(METHODS), "con_req", "", "x"]), FIELDS), max_size=12),
)
def test_any_calls_can_be_made(release: Release, calls: list[tuple[str, dict[str, Any]]]) -> None:
    node = Node(release)
    number = 0
    for method, fields in calls:
        for effect in node.call(method, **fields):
            if isinstance(effect, Open):
                number += 1
                node.opened(effect.ticket, number)
            if isinstance(effect, Send):
                assert effect.datagram[0] == {V14: 2, V16: 3}[release]
    node.core.tick(1000)
    states(node)


@given(st.sampled_from(Release), st.binary(max_size=120), st.text(max_size=90), st.text(max_size=90))
def test_any_peer_can_say_anything(release: Release, data: bytes, kind: str, text: str) -> None:
    node = Node(release)
    node.online()
    node.raw(data)
    node.happened(MessageCame(7, SMALL, data))
    node.happened(PacketUnrouted(data, text, kind))
    node.heard(Said(kind, text, text))
    node.heard(Said(SMALL, kind, text))


def test_the_params_are_the_modules() -> None:
    assert IceCandidate("host", "192.0.2.1", 50000, "1", 2130706431) == HOST.ice()
    assert CreateLink(SMALL, True).servers == ()
