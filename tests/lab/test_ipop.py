"""linkd --ipop, a real XMPP server, and controllers that are told again: from the first call to a ping on the tap."""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import pytest

from interop.ipop_controllers import ip6_of, uid_of
from lab.modules import Linkd
from lab.netlab import Host, Lab, Process
from lab.prosody import DOMAIN, PASSWORD, Authority, Prosody

pytest.importorskip("slixmpp")

PORT = 5800
TESTS = Path(__file__).parents[1]
WITHIN = 120


class Town:
    """A laboratory with an XMPP server."""

    def __init__(self, lab: Lab, users: list[str]) -> None:
        self.lab = lab
        self.server = lab.host("server")
        self.authority = Authority(lab.registry.directory)
        self.prosody = Prosody(self.server, users, certificate=self.authority.sign(DOMAIN))

    def node(self, host: Host, kind: str, user: str, *, ca: Path | None = None, **options: Any) -> Node:
        options = {"user": f"{user}@{DOMAIN}", "password": PASSWORD, "host": self.server.address, **options}
        return Node(host, kind, str(ca or self.authority.file), options)


class Node:
    """A module and its controller on a host."""

    def __init__(self, host: Host, kind: str, ca: str, options: dict[str, Any]) -> None:
        self.host = host
        self.linkd = Linkd(host, "--ipop", kind[-2:], "--xmpp-ca", ca, "-vv")
        said = self.linkd.process
        if f"API of IPOP v{kind[-2:]}" not in said.stderr:
            said.wait_line(f"API of IPOP v{kind[-2:]}", timeout=WITHIN, stream="stderr")
        assert "without a password" in said.stderr
        env = {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
        argv = [sys.executable, "-m", "interop.ipop_replay", kind, str(PORT), json.dumps(options)]
        self.controller: Process = host.start(argv, env=env)

    def until(self, **fields: Any) -> dict[str, Any]:
        """Wait for the controller to be told this."""

        def wanted(line: str) -> bool:
            found = json.loads(line)
            return all(found.get(name) == value for name, value in fields.items())

        told: dict[str, Any] = json.loads(self.controller.wait_line(wanted, timeout=WITHIN))
        return told

    def ping(self, address: str) -> None:
        for _ in range(20):
            done = self.host.run(["ping", "-n", "-c", "3", "-i", "0.05", "-W", "2", address])
            if " 3 received" in done.stdout:
                return
        raise AssertionError(done.stdout + self.linkd.process.report())


def udp(source: str, destination: str, port: int, data: bytes) -> bytes:
    """An IPv4 packet with a UDP datagram that has no checksum."""
    addresses = socket.inet_aton(source) + socket.inet_aton(destination)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(data), 1, 0, 64, 17, 0) + addresses
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:]
    return head + struct.pack("!HHHH", port, port, 8 + len(data), 0) + data


def test_v14_groupvpn(lab: Lab) -> None:
    town = Town(lab, ["lab"])
    turn = lab.coturn(town.server)
    nodes = [
        town.node(
            lab.nat(kind).host(name), "group14", "lab", ip4=ip4, wait_time=1, stun=f"{turn.address}:{turn.port}"
        )
        for kind, name, ip4 in (("port-restricted", "alice", "172.16.0.1"), ("full-cone", "bob", "172.16.0.2"))
    ]
    alice, bob = nodes
    uids = [uid_of("172.16.0.1"), uid_of("172.16.0.2")]
    first = alice.until(type="local_state", _uid=uids[0])
    assert len(first["_fpr"]) == 95
    alice.until(online=[uids[1]])
    bob.until(online=[uids[0]])
    alice.ping("172.16.0.2")
    bob.ping(ip6_of(uids[0]))
    told = [json.loads(line) for line in alice.controller.stdout.splitlines()]
    assert {"uid": uids[0], "data": "xmpp online", "type": "con_stat"} in told
    told_often = (alice.until(type="peer_state", status="online")["stats"][0] for _ in range(1000))
    stats = next(stats for stats in told_often if stats["recv_total_bytes"])  # some tell of the time before
    assert ":" in stats["rem_addr"]
    # A packet without a link goes to the controller, and one of the controller's to the tap.
    alice.host.run(["ping", "-n", "-c", "1", "-W", "1", "172.16.0.9"])
    alice.until(kind=2, size=2 + 40 + 14 + 84)
    with alice.host.socket(port=7777) as listening:
        frame = b"\xff" * 12 + b"\x08\x00" + udp("172.16.0.9", "172.16.0.1", 7777, b"injected")
        alice.controller.write_line("02" + (bytes(40) + frame).hex())
        assert listening.recvfrom(100) == (b"injected", ("172.16.0.9", 7777))
    # The controller ends a link, and both come together again.
    alice.controller.write_line("01" + json.dumps({"m": "trim_link", "uid": uids[1]}).encode().hex())
    alice.until(online=[])
    alice.until(online=[uids[1]])
    alice.ping("172.16.0.2")
    for node in nodes:
        assert node.linkd.process.stop() == 0
        said = node.linkd.process.stderr
        assert "Traceback" not in said
        assert "destroyed" not in said
        assert PASSWORD not in said


def test_v14_switchmode(lab: Lab) -> None:
    town = Town(lab, ["alice", "bob"])
    alice, bob = (
        town.node(lab.host(name), "group14", name, ip4=ip4, wait_time=1, switchmode=1)
        for name, ip4 in (("alice", "172.16.0.1"), ("bob", "172.16.0.2"))
    )
    alice.until(online=[uid_of("172.16.0.2")])
    bob.until(online=[uid_of("172.16.0.1")])
    alice.ping("172.16.0.2")


def test_v16_groupvpn(lab: Lab) -> None:
    town = Town(lab, ["alice", "bob", "carol"])
    ips = {"alice": "10.9.0.1", "bob": "10.9.0.2", "carol": "10.9.0.3"}
    stun = "stun.l.google.com:19302"  # as their controllers have it; nobody answers for it here
    nodes = {name: town.node(lab.host(name), "group16", name, ip4=ip4, stun=stun) for name, ip4 in ips.items()}
    for name, node in nodes.items():
        node.until(online=sorted(uid_of(ip4) for other, ip4 in ips.items() if other != name))
    nodes["alice"].ping("10.9.0.2")
    nodes["carol"].ping("10.9.0.1")
    nodes["bob"].until(kind=3)  # an advertisement came over a link


def test_v16_controllers_carry_what_has_no_link(lab: Lab) -> None:
    """A ring of four without links on demand: who is opposite is reached through controllers alone, by TCP too."""
    ips = {f"n{n}": f"10.9.0.{n}" for n in (1, 2, 3, 4)}
    town = Town(lab, list(ips))
    nodes = {
        name: town.node(lab.host(name), "group16", name, ip4=ip4, successors=1, least=3, on_demand=False)
        for name, ip4 in ips.items()
    }
    first, second, third, fourth = sorted(ips, key=lambda name: uid_of(ips[name]))
    for name, others in (
        (first, (second, fourth)),
        (second, (first, third)),
        (third, (second, fourth)),
        (fourth, (first, third)),
    ):
        nodes[name].until(online=sorted(uid_of(ips[other]) for other in others))
    nodes[first].ping(ips[third])  # 20 a second, and none is lost or comes twice
    said = bytes(range(256)) * 400
    with (
        nodes[third].host.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as listening,
        nodes[first].host.namespace.socket(socket.AF_INET, socket.SOCK_STREAM) as calling,
    ):
        listening.bind((ips[third], 7777))
        listening.listen()
        calling.settimeout(WITHIN)
        listening.settimeout(WITHIN)
        calling.connect((ips[third], 7777))
        answering, _ = listening.accept()
        with answering:
            answering.settimeout(WITHIN)
            calling.sendall(said)
            calling.shutdown(socket.SHUT_WR)
            heard = b"".join(iter(lambda: answering.recv(1 << 16), b""))
    assert heard == said


@pytest.mark.parametrize("kind", ["social14", "social16"])
def test_socialvpn(lab: Lab, kind: str) -> None:
    town = Town(lab, ["alice", "bob"])
    alice, bob = (
        town.node(lab.host(name), kind, name, uid=uid) for name, uid in (("alice", "a1" * 20), ("bob", "b2" * 20))
    )
    alice.until(online=["b2" * 20])
    bob.until(online=["a1" * 20])
    # Each is .100 to itself and .101 to the other.
    alice.ping("172.31.0.101")
    bob.ping("172.31.0.101")
    bob.ping(ip6_of("a1" * 20))


def test_a_login_that_fails_is_told_and_nothing_dies(lab: Lab) -> None:
    town = Town(lab, ["alice"])
    other = Authority(lab.registry.directory, "other")
    wrong = town.node(lab.host("wrong"), "group14", "alice", ip4="172.16.0.1", password="guessed")
    distrusting = town.node(lab.host("distrusting"), "group16", "alice", ca=other.file, ip4="10.9.0.1")
    for node, reason in ((wrong, "does not accept this name"), (distrusting, "certificate is not trusted")):
        told = node.until(type="con_stat")
        assert told["data"].startswith("xmpp failed: ")
        assert reason in told["data"]
        node.linkd.process.wait_line(reason, stream="stderr")
        node.until(type="local_state")  # it goes on
        assert "guessed" not in node.linkd.process.stderr
        assert PASSWORD not in node.linkd.process.stderr
        assert node.controller.returncode is None


def test_other_users_are_not_listened_to(lab: Lab) -> None:
    host = lab.host("alone")
    linkd = Linkd(host, "--ipop", "14")
    ask = (
        "import os, socket, sys\n"
        "os.setuid(int(sys.argv[1]))\n"
        "s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM); s.settimeout(float(sys.argv[2]))\n"
        "s.sendto(b'\\x02\\x01{\"m\":\"get_state\"}', ('::1', 5800))\n"
        "print(len(s.recv(65507)))\n"
    )
    assert host.run([sys.executable, "-c", ask, "0", "120"]).returncode == 0
    assert host.run([sys.executable, "-c", ask, "65534", "0.5"]).returncode != 0
    assert "another user's" not in linkd.process.stdout
    second = host.run([sys.executable, "-m", "tincan", "linkd", "--ipop", "16"], timeout=WITHIN)
    assert second.returncode == 1
    assert "UDP port 5800" in second.stderr
    assert "Traceback" not in second.stderr
