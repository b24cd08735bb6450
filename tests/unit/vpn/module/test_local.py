"""The real module, with real links and false taps."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable

import pytest

from tincan.errors import DeviceMissing, WorldError
from tincan.vpn.module.events import LinkChanged, MessageCame, MtuChanged, PacketUnrouted
from tincan.vpn.module.interface import INVALID_PARAMS, NO_SUCH_LINK, SYSTEM_ERROR, WRONG_STATE, ModuleError
from tincan.vpn.module.local import open_module
from tincan.vpn.module.methods import Server
from tincan.vpn.module.states import State
from tincan.vpn.path import plane
from tincan.vpn.path.memory import MemoryPlane
from tincan.vpn.path.plane import LinkStatistics, UdpTransport
from unit.link.pairs import only_the_test_is_left
from unit.vpn.module.modules import WITHIN, again, both, end, online, tie


async def poll(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WITHIN):
        while not condition():
            await asyncio.sleep(0.01)


async def test_a_link_its_keys_and_its_end() -> None:
    async with both() as (alice, bob):
        await alice.module.set_peer("bob", ["100.64.0.2", "fd00::2"])
        ours, theirs = await tie(alice.module, bob.module)
        await online(alice, bob)
        [(number, (transport, keys))] = alice.plane.links.items()
        [(_, (_, peers_keys))] = bob.plane.links.items()
        assert (keys.send, keys.receive) == (peers_keys.receive, peers_keys.send)
        assert keys.send != keys.receive
        assert keys.cipher is peers_keys.cipher
        assert isinstance(transport, UdpTransport)
        await poll(lambda: number in alice.plane.peers)
        assert set(map(str, alice.plane.peers[number])) == {"100.64.0.2/32", "fd00::2/128"}

        await bob.module.send_message(theirs, b"from bob's controller\0")
        assert await alice.ear.until(MessageCame) == MessageCame(ours, "bob", b"from bob's controller\0")

        alice.plane.figures[number] = LinkStatistics(packets_in=3, bytes_out=7)
        [state] = await alice.module.state("bob", statistics=True)
        assert (state.state, state.path, state.peer) == (State.ONLINE, "lan", "bob")
        assert state.statistics is not None
        assert (state.statistics.packets_in, state.statistics.bytes_out) == (3, 7)
        assert await alice.module.state("carol") == ()

        assert await bob.module.trim_link(peer="alice") == 1
        event = await alice.ear.until(LinkChanged, state=State.OFFLINE)
        assert event.reason == "The other end took the link down."
        await poll(lambda: not alice.plane.links and not bob.plane.links)
        assert await alice.module.trim_link(ours) == 1
        assert await alice.module.trim_link(ours) == 0
    await only_the_test_is_left()


async def test_a_restart_leaves_no_gap() -> None:
    async with both() as (alice, bob):
        await alice.module.set_peer("bob", ["100.64.0.2"])
        numbers = await tie(alice.module, bob.module)
        await online(alice, bob)
        [first] = alice.plane.links
        await poll(lambda: first in alice.plane.peers)
        alice.plane.figures[first] = LinkStatistics(packets_in=5)
        await again(alice.module, bob.module, numbers)
        await online(alice, bob)
        assert first in alice.plane.links
        [second] = set(alice.plane.links) - {first}
        await poll(lambda: alice.plane.peers.get(second) == (ipaddress.ip_network("100.64.0.2"),))
        assert alice.plane.links[first][1].send != alice.plane.links[second][1].send
        await poll(lambda: set(alice.plane.links) == {second})
        assert LinkChanged not in [type(e) for e in alice.ear.heard if getattr(e, "state", None) == State.OFFLINE]
        [state] = await alice.module.state(statistics=True)
        assert state.statistics is not None
        assert state.statistics.packets_in == 5
        assert not state.restarting


async def test_a_restart_that_fails_leaves_the_link_as_it_is() -> None:
    async with both() as (alice, bob):
        ours, theirs = await tie(alice.module, bob.module)
        await online(alice, bob)
        made, other = await alice.module.restart_link(ours), await bob.module.restart_link(theirs)
        [state] = await alice.module.state()
        assert state.restarting
        wrong = type(other.description)(
            other.description.ufrag, other.description.pwd, ":".join(["00"] * 32), other.description.candidates, True
        )
        await alice.module.connect_link(ours, wrong)
        await bob.module.connect_link(theirs, made.description)
        while (event := await alice.ear.until(LinkChanged)).reason is None:
            pass
        assert event.state is State.ONLINE
        assert "another certificate" in (event.reason or "")
        await bob.module.send_message(theirs, b"still here")
        await alice.ear.until(MessageCame, data=b"still here")


async def test_somebody_in_the_middle_is_refused() -> None:
    async with both() as (alice, bob):
        ours, theirs = (
            await alice.module.create_link("bob", controlling=True),
            await bob.module.create_link("alice", controlling=False),
        )
        right = theirs.description
        wrong = type(right)(right.ufrag, right.pwd, ":".join(["AB"] * 32), right.candidates, True)
        await alice.module.connect_link(ours.link, wrong)
        await bob.module.connect_link(theirs.link, ours.description)
        event = await alice.ear.until(LinkChanged, state=State.FAILED)
        assert "another certificate" in (event.reason or "")
        assert not alice.plane.links
        await alice.module.restart_link(ours.link)
        [state] = await alice.module.state()
        assert state.state is State.FAILED


async def test_a_defect_of_one_link_is_no_end_of_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async with both() as (alice, bob):
        await tie(alice.module, bob.module)
        await online(alice, bob)
        ours, _ = await tie(alice.module, bob.module)
        [link] = [link for link in alice.module._links if link.number == ours]
        assert link.next is not None

        async def broken(_: object) -> None:
            raise ZeroDivisionError

        link.next.strand.link.connect = broken  # type: ignore[method-assign, assignment]
        event = await alice.ear.until(LinkChanged, state=State.FAILED)
        assert event.link == ours
        assert "inside the module (ZeroDivisionError)" in (event.reason or "")
        assert "a link has failed" in caplog.text
        assert [state.state for state in await alice.module.state()] == [State.ONLINE, State.FAILED]


async def test_both_ends_must_have_one_mode() -> None:
    async with both() as (alice, bob):
        await bob.module.set_mode("switch")
        assert len(bob.planes) == 2
        assert (await bob.module.identity()).mode == "switch"
        await tie(alice.module, bob.module)
        for one in (alice, bob):
            event = await one.ear.until(LinkChanged, state=State.FAILED)
            assert "mode" in (event.reason or "")
        with pytest.raises(ModuleError) as caught:
            await bob.module.set_mode("ip")
        assert caught.value.code == WRONG_STATE


async def test_what_cannot_be_done_is_said() -> None:
    async with end() as alice:
        calls = {
            NO_SUCH_LINK: [("restart_link", {"link": 9}), ("send_message", {"link": 9, "data": ""})],
            INVALID_PARAMS: [
                ("create_link", {"peer": "b", "controlling": True, "servers": [{"url": "http://x"}]}),
                ("create_link", {"peer": "", "controlling": True}),
                ("set_addresses", {"ip4": "fd00::1"}),
                ("set_addresses", {"ip4": "1.2.3"}),
                ("set_addresses", {"ip6": "fd00::1/64", "mtu": 1279}),
                ("set_peer", {"peer": "b", "addresses": ["10.0.0.1/8"]}),
                ("set_mode", {"mode": "carrier pigeon"}),
                ("trim_link", {}),
                ("trim_link", {"link": 1, "peer": "b"}),
                ("set_translation", {"own": "here"}),
                ("inject_packet", {"packet": "AAAA"}),
            ],
        }
        for code, group in calls.items():
            for method, params in group:
                with pytest.raises(ModuleError) as caught:
                    await alice.module.call(method, **params)
                assert caught.value.code == code, method
        made = await alice.module.create_link("b", controlling=True)
        with pytest.raises(ModuleError, match="not online"):
            await alice.module.send_message(made.link, b"")
        await alice.module.connect_link(made.link, made.description)
        with pytest.raises(ModuleError, match="has been connected"):
            await alice.module.connect_link(made.link, made.description)


async def test_the_tap_is_as_it_was_told() -> None:
    async with end() as alice:
        await alice.module.set_addresses("100.64.0.1/10", "fd00::1/64", 1300)
        identity = await alice.module.identity()
        assert identity.addresses == ("100.64.0.1/10", "fd00::1/64")
        assert (identity.mtu, identity.mode, identity.tap) == (1300, "ip", "tincan0")
        assert len(identity.fingerprint) == 95
        await alice.module.inject_packet(bytes(20))
        assert alice.plane.injected == [bytes(20)]


async def test_packets_without_a_link_are_told_with_whom_they_are_for() -> None:
    async with end() as alice:
        await alice.module.set_peer("everybody", ["100.64.0.0/10"])
        await alice.module.set_peer("bob", ["100.64.0.2"])
        for destination, peer in (("100.64.0.2", "bob"), ("100.64.0.3", "everybody"), ("10.0.0.1", None)):
            alice.plane.happen(plane.Unroutable(b"packet", destination))
            assert await alice.ear.until(PacketUnrouted) == PacketUnrouted(b"packet", destination, peer)


async def test_translation_follows_the_strand_in_use() -> None:
    async with both() as (alice, bob):
        await alice.module.set_translation("172.31.0.100", {"bob": "172.31.0.101"})
        numbers = await tie(alice.module, bob.module)
        await online(alice, bob)
        wanted = {"own": "172.31.0.100", "peer": "172.31.0.101"}
        await poll(lambda: list((alice.plane.settings.translation or {}).values()) == [wanted])
        await again(alice.module, bob.module, numbers)
        await online(alice, bob)
        await poll(lambda: list(alice.plane.settings.translation or {}) == [max(alice.plane.links)])
        await alice.module.set_translation(None)
        assert alice.plane.settings.translation is None


async def test_events_of_the_data_plane() -> None:
    async with both() as (alice, bob):
        ours, _ = await tie(alice.module, bob.module)
        await online(alice, bob)
        [number] = alice.plane.links
        alice.plane.happen(plane.MtuChanged(number, 1380))
        assert await alice.ear.until(MtuChanged) == MtuChanged(ours, 1380)
        alice.plane.happen(plane.KeysExhausted(number))
        event = await alice.ear.until(LinkChanged)
        assert event.state is State.OFFLINE
        assert "keys" in (event.reason or "")


async def test_a_module_whose_tap_is_gone_ends() -> None:
    async def fail() -> None:
        async with end() as alice:
            await alice.module.create_link("b", controlling=True)
            alice.plane.happen(WorldError("The tap is gone."))
            await asyncio.sleep(WITHIN)

    with pytest.raises(WorldError, match=r"The tap is gone\."):
        await fail()
    await only_the_test_is_left()


async def test_a_server_that_does_not_answer_costs_nothing() -> None:
    async with both() as (alice, bob):
        silent = Server("stun:127.0.0.1:9")
        ours = await alice.module.create_link("bob", controlling=True, servers=[silent])
        assert not ours.description.complete
        theirs = await bob.module.create_link("alice", controlling=False)
        await alice.module.connect_link(ours.link, theirs.description)
        await bob.module.connect_link(theirs.link, ours.description)
        await online(alice, bob)


async def test_a_module_that_cannot_make_another_tap_ends() -> None:
    def once(settings: plane.PlaneSettings) -> MemoryPlane:
        if settings.mode is plane.Mode.SWITCH:
            raise DeviceMissing("There is no tap any more.")
        return MemoryPlane(settings)

    async def change() -> None:
        async with open_module(once) as module:
            with pytest.raises(ModuleError, match="no tap") as caught:
                await module.set_mode("switch")
            assert caught.value.code == SYSTEM_ERROR
            await asyncio.sleep(WITHIN)

    with pytest.raises(DeviceMissing, match="no tap"):
        await change()
    await only_the_test_is_left()
