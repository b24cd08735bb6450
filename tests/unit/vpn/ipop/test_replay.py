"""The call orders of v14.07 and v16.01, replayed by controllers that end at the first thing out of order."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from interop.ipop_controllers import GroupVpn14, GroupVpn16, SocialVpn14, SocialVpn16, ip6_of
from tincan.vpn.ipop.engine import Engine
from tincan.vpn.ipop.overlay import MemoryServer
from tincan.vpn.ipop.wire import Release
from tincan.vpn.module.events import NetworkChanged
from tincan.vpn.module.memory import MemoryModule, MemoryNetwork
from unit.vpn.ipop.world import Node, World, until
from virtualtime import in_virtual_time

ACCOUNT = {"user": "lab@can.test", "password": "secret", "host": "xmpp.can.test"}


def group14(world: World, name: str, ip4: str, **more: object) -> Node:
    return world.node(name, Release.V14, GroupVpn14(ip4, **ACCOUNT, **more))


def types(node: Node, uid: str) -> list[str]:
    """The notifications about a peer, in order, each kind once."""
    found = (told["type"] for told in node.controller.told if told.get("uid") == uid and "data" in told)
    return list(dict.fromkeys(found))


@in_virtual_time
async def test_v14_groupvpn_comes_together() -> None:
    world = World()
    a, b = group14(world, "a", "172.16.0.1"), group14(world, "b", "172.16.0.2")
    async with world.running():
        took = await until(lambda: a.controller.online() and b.controller.online())
    assert took < 8  # the handshake begins in the second period of 2 s, and the state is asked for every period
    for node, other in ((a, b), (b, a)):
        uid = other.controller.uid
        first = node.controller.told[0]
        assert first["type"] == "local_state"
        assert first["_uid"] == node.controller.uid
        assert (first["_ip4"], first["_ip6"]) == (node.controller.ip4, ip6_of(node.controller.uid))
        assert first["_fpr"] == node.module.fingerprint
        assert first["_mac"] == "02:00:00:00:00:01"
        assert types(node, uid) == ["con_req", "con_resp", "con_stat"]
        request = next(told for told in node.controller.told if told["type"] == "con_req")
        assert request == {"uid": uid, "data": other.module.fingerprint, "type": "con_req"}
        response = next(told for told in node.controller.told if told["type"] == "con_resp")
        fingerprint, candidate = response["data"].split(" ")
        assert fingerprint == other.module.fingerprint
        assert len(candidate.split(":")) == 12
        stats = [told["data"] for told in node.controller.told if told["type"] == "con_stat" and told["uid"] == uid]
        assert stats == ["online"]
        state = node.controller.peers[uid]
        assert state["status"] == "online"
        assert state["security"] == "dtls"
        assert (state["ip4"], state["ip6"]) == (other.controller.ip4, ip6_of(uid))
        assert state["fpr"] == other.module.fingerprint
        assert state["stats"][0].keys() >= {"sent_total_bytes", "recv_total_bytes", "local_addr", "rem_addr", "rtt"}
        assert node.module.peers[uid] == (f"{other.controller.ip4}/32", f"{_short(ip6_of(uid))}/128")
        assert node.module.addresses.ip4 == f"{node.controller.ip4}/24"
        assert node.login == [("connecting", ""), ("online", "")]
    controlling = [node.module.created[0].controlling for node in (a, b)]
    assert controlling == [a.controller.uid > b.controller.uid, b.controller.uid > a.controller.uid]


def _short(ip6: str) -> str:
    import ipaddress

    return str(ipaddress.IPv6Address(ip6))


@in_virtual_time
async def test_v14_eight_nodes_all_to_all() -> None:
    world = World()
    nodes = [group14(world, f"n{n}", f"172.16.0.{n}") for n in range(1, 9)]
    async with world.running():
        await until(lambda: all(len(node.controller.online()) == 7 for node in nodes))
        assert all(len(node.module.ends) == 7 for node in nodes)


@in_virtual_time
async def test_v14_switchmode() -> None:
    world = World()
    a, b = (group14(world, n, f"172.16.0.{i}", switchmode=1) for i, n in ((1, "a"), (2, "b")))
    async with world.running():
        await until(lambda: a.controller.online() and b.controller.online())
    assert a.module.mode.mode == b.module.mode.mode == "switch"
    assert set(a.module.peers) == {b.controller.uid}  # the addresses are told in this mode, too


@in_virtual_time
async def test_v16_switchmode() -> None:
    world = World()
    a, b = (
        world.node(n, Release.V16, GroupVpn16(f"10.9.0.{i}", switchmode=1, **ACCOUNT))
        for i, n in ((1, "a"), (2, "b"))
    )
    async with world.running():
        await until(lambda: a.controller.online() and b.controller.online())
        await until(lambda: a.controller.icc and b.controller.icc)
    assert a.module.mode.mode == b.module.mode.mode == "switch"
    assert a.module.peers == {}  # the mapping is a dummy


@in_virtual_time
async def test_v14_trims_a_lost_link_and_comes_back() -> None:
    world = World()
    a, b = group14(world, "a", "172.16.0.1"), group14(world, "b", "172.16.0.2")
    async with world.running():
        await until(lambda: a.controller.online() and b.controller.online())
        world.network.cut(a.module, b.module)
        await until(lambda: any(told["type"] == "send_msg" for told in b.controller.told))
        seen = [
            told["data"]
            for told in a.controller.told
            if told["type"] == "con_stat" and told["uid"] != a.controller.uid
        ]
        assert seen[:2] == ["online", "offline"]
        destroyed = [told for told in b.controller.told if told["type"] == "send_msg"]
        assert destroyed[0]["data"] == "destroy" + a.controller.uid
        world.network.mend(a.module, b.module)
        await until(lambda: a.controller.online() and b.controller.online())


@in_virtual_time
async def test_v14_lost_messages_heal() -> None:
    world = World()
    a, b = group14(world, "a", "172.16.0.1"), group14(world, "b", "172.16.0.2")
    world.server.refuses.add("con_resp")
    async with world.running():
        await until(lambda: a.module.ends and b.module.ends)
        world.server.refuses.clear()
        await until(lambda: a.controller.online() and b.controller.online())


@in_virtual_time
async def test_v16_groupvpn_comes_together() -> None:
    world = World()
    a, b = (world.node(n, Release.V16, GroupVpn16(ip, **ACCOUNT)) for n, ip in (("a", "10.9.0.1"), ("b", "10.9.0.2")))
    async with world.running():
        await until(lambda: a.controller.online() and b.controller.online())
        await until(lambda: a.controller.icc and b.controller.icc)
        small, large = sorted((a, b), key=lambda node: str(node.controller.uid))
        assert types(large, small.controller.uid) == ["con_req", "con_ack", "con_resp", "con_stat"]
        assert types(small, large.controller.uid) == ["con_req", "con_resp", "con_stat"]
        assert a.controller.icc[0] == {
            "msg_type": "advertise",
            "src_uid": b.controller.uid,
            "peer_list": [a.controller.uid],
        }
        uid = b.controller.uid
        assert a.module.peers[uid] == ("10.9.0.2/32", f"{_short(ip6_of(uid))}/128")


@in_virtual_time
async def test_v16_a_controller_that_is_started_again_takes_its_links_for_links() -> None:
    """First one, then the other: the larger uid is not answered when it asks, nor is the smaller one when it must."""
    world = World()
    a, b = (world.node(n, Release.V16, GroupVpn16(ip, **ACCOUNT)) for n, ip in (("a", "10.9.0.1"), ("b", "10.9.0.2")))
    async with world.running():
        await until(lambda: a.controller.icc and b.controller.icc)
        for node in (a, b):
            node.controller = GroupVpn16(node.controller.ip4, **ACCOUNT)
            node.give(node.controller.start(asyncio.get_running_loop().time()))
            other = b if node is a else a
            other.controller.icc.clear()
            await until(lambda other=other: other.controller.icc, 20)  # type: ignore[misc]


@in_virtual_time
async def test_v16_a_packet_takes_the_way_by_controllers() -> None:
    """A ring of four, one successor each: who is opposite is reached by way of the one between, then by a link."""
    world = World()
    nodes = [
        world.node(f"n{n}", Release.V16, GroupVpn16(f"10.9.0.{n}", successors=1, least=3, **ACCOUNT))
        for n in (1, 2, 3, 4)
    ]
    a, b, c, d = sorted(nodes, key=lambda node: str(node.controller.uid))
    ip4 = c.controller.ip4
    addresses = bytes(map(int, f"{a.controller.ip4}.{ip4}".split(".")))
    packet = bytes.fromhex("4500001c0000000040010000") + addresses + bytes(8)
    async with world.running():
        await until(lambda: all(len(node.controller.online()) == 2 for node in nodes))
        assert a.controller.online() == {b.controller.uid, d.controller.uid}
        a.module.want(ip4, packet)  # which a has no mapping for yet
        await until(lambda: c.module.injected)
        assert [told["msg_type"] for told in b.controller.icc].count("forward") == 1
        await until(lambda: c.controller.uid in a.controller.online())
    assert c.module.injected == [packet]
    assert types(a, c.controller.uid) == ["con_ack", "con_resp", "con_stat"]
    [forwarded] = a.controller.packets
    assert forwarded[:2] == b"\x03\x02"
    assert forwarded[2:22].hex() == a.controller.uid
    assert forwarded[22:42] == bytes(20)
    assert forwarded[42:48] == b"\xff" * 6
    assert forwarded[48:54].hex() == "020000000001"
    assert forwarded[54:56] == b"\x08\x00"
    assert forwarded[56:] == packet


@pytest.mark.parametrize(("release", "kind"), [(Release.V14, SocialVpn14), (Release.V16, SocialVpn16)])
@in_virtual_time
async def test_socialvpn_comes_together(release: Release, kind: type[SocialVpn16]) -> None:
    world = World()
    uids = ["11" * 20, "22" * 20, "33" * 20]
    nodes = [world.node(uid[:2], release, kind(uid, **ACCOUNT)) for uid in uids]
    async with world.running():
        await until(lambda: all(len(node.controller.online()) == 2 for node in nodes))
        world.network.cut(nodes[0].module, nodes[1].module)
        await until(lambda: not nodes[0].controller.online() & {uids[1]})
        world.network.mend(nodes[0].module, nodes[1].module)
        await until(lambda: all(len(node.controller.online()) == 2 for node in nodes), 200)
    for node in nodes:
        assert node.module.addresses.ip4 == "172.31.0.100/24"
        assert node.module.translation.own == "172.31.0.100"
        assert sorted(node.module.translation.peers.values()) == ["172.31.0.101", "172.31.0.102"]
        assert set(node.module.translation.peers) == set(uids) - {node.controller.uid}


@in_virtual_time
async def test_events_that_are_missed_end_nothing() -> None:
    world = World()
    a, b = group14(world, "a", "172.16.0.1"), group14(world, "b", "172.16.0.2")
    async with world.running():
        await until(lambda: a.controller.online() and b.controller.online())
        for _ in range(5000):
            a.module.tell(NetworkChanged())
        world.network.cut(a.module, b.module)  # which a is not told
        seen: list[dict[str, str]] = a.controller.told
        await until(lambda: {"uid": b.controller.uid, "data": "offline", "type": "con_stat"} in seen)
        world.network.mend(a.module, b.module)
        await until(lambda: a.controller.online() and b.controller.online())


@in_virtual_time
async def test_packets_without_a_link_leave_room_for_calls() -> None:
    """While the module is slow, its packets pile up; what a controller asks for is done all the same."""
    gate = asyncio.Event()

    class Slow(MemoryModule):
        async def ask(self, method: str, params: msgspec.Struct) -> object:
            await gate.wait()
            return await super().ask(method, params)

    slow = Slow(MemoryNetwork(), "slow")
    heard: list[bytes] = []
    overlay = MemoryServer().overlay()
    engine = Engine(
        slow,
        overlay,
        Release.V14,
        send=lambda to, datagram: heard.append(datagram),
        say=lambda text: None,
        told=lambda *_: None,
    )
    here = ("::1", 40000)
    gate.set()
    running = asyncio.create_task(engine.run())
    await asyncio.sleep(1)
    gate.clear()
    engine.arrived(b'\x02\x01{"m": "set_translation", "translate": 0}', here)
    for _ in range(40):
        for _ in range(100):
            slow.want("10.0.0.1")
        await asyncio.sleep(0.1)
    engine.arrived(b'\x02\x01{"m": "echo_request", "msg": "still there"}', here)
    gate.set()
    await until(lambda: any(b"still there" in datagram for datagram in heard), 10)
    running.cancel()
    await asyncio.wait([running])


@in_virtual_time
async def test_it_ends_with_the_module() -> None:
    world = World()
    node = group14(world, "a", "172.16.0.1")
    engine = asyncio.create_task(node.engine.run())
    await asyncio.sleep(1)
    node.module.stop()
    await asyncio.wait_for(engine, 1)


@in_virtual_time
async def test_a_refused_login_is_told_and_the_controller_lives() -> None:
    world = World()
    world.server.passwords = {"lab@can.test": "another"}
    for release, controller in (
        (Release.V14, GroupVpn14("172.16.0.1", **ACCOUNT)),
        (Release.V16, GroupVpn16("10.9.0.1", **ACCOUNT)),
        (Release.V16, SocialVpn16("44" * 20, **ACCOUNT)),
    ):
        world.node(f"{release}", release, controller)
    async with world.running():
        await until(lambda: all(("failed" in dict(node.login)) for node in world.nodes))
        await until(lambda: all(any(t["type"] == "con_stat" for t in n.controller.told) for n in world.nodes))
    for node in world.nodes:
        [told] = [t for t in node.controller.told if t["type"] == "con_stat"]
        assert told["uid"] == node.controller.uid
        assert told["data"] == "xmpp failed: The server does not accept this name and password."
        assert node.said == ["XMPP: The server does not accept this name and password."]
