"""Modules in memory behave as controllers may rely on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tincan.vpn.module.events import CandidatesFound, Event, LinkChanged, MessageCame, NetworkChanged
from tincan.vpn.module.interface import Module, ModuleError
from tincan.vpn.module.memory import MemoryModule, MemoryNetwork
from virtualtime import after, in_virtual_time


async def linked(a: Module, b: Module) -> tuple[int, int]:
    ours, theirs = await a.create_link("b", controlling=True), await b.create_link("a", controlling=False)
    await a.connect_link(ours.link, theirs.description)
    await b.connect_link(theirs.link, ours.description)
    return ours.link, theirs.link


async def until(events: AsyncIterator[Event], kind: type[Event], **fields: object) -> Event:
    async for event in events:
        if isinstance(event, kind) and all(getattr(event, name) == value for name, value in fields.items()):
            return event
    raise AssertionError("the module ended")


async def exhaust(events: AsyncIterator[Event]) -> int:
    return sum([1 async for _ in events])


def pair() -> tuple[MemoryNetwork, MemoryModule, MemoryModule]:
    network = MemoryNetwork(delay=2)
    return network, network.module("alice"), network.module("bob")


@in_virtual_time
async def test_a_link_comes_about() -> None:
    _, alice, bob = pair()
    async with alice.events() as heard:
        number, _ = await linked(alice, bob)
        assert isinstance(await until(heard, CandidatesFound), CandidatesFound)
        await until(heard, LinkChanged, state="connecting")
        assert await after(until(heard, LinkChanged, state="online", link=number)) == pytest.approx(2)
        [state] = await alice.state(statistics=True)
        assert (state.peer, state.state, state.path) == ("b", "online", "lan")


@in_virtual_time
async def test_messages_cuts_and_restarts() -> None:
    network, alice, bob = pair()
    async with bob.events() as heard:
        ours, theirs = await linked(alice, bob)
        await until(heard, LinkChanged, state="online")
        await alice.send_message(ours, b"hello")
        assert await until(heard, MessageCame) == MessageCame(theirs, "a", b"hello")
        network.cut(alice, bob)
        await until(heard, LinkChanged, state="offline")
        network.mend(alice, bob)
        a, b = await alice.restart_link(ours), await bob.restart_link(theirs)
        await alice.connect_link(ours, b.description)
        await bob.connect_link(theirs, a.description)
        await until(heard, LinkChanged, state="online")
        bob.change_network()
        await until(heard, NetworkChanged)
        assert await alice.trim_link(peer="b") == 1
        await until(heard, LinkChanged, state="offline")
        with pytest.raises(ModuleError, match="no link"):
            await alice.send_message(ours, b"")


@in_virtual_time
async def test_two_controlling_ends_fail() -> None:
    _, alice, bob = pair()
    async with alice.events() as heard:
        a, b = await alice.create_link("b", controlling=True), await bob.create_link("a", controlling=True)
        await alice.connect_link(a.link, b.description)
        await bob.connect_link(b.link, a.description)
        await until(heard, LinkChanged, state="failed")


@in_virtual_time
async def test_by_name_as_json_would() -> None:
    _, alice, _ = pair()
    made = await alice.call("create_link", peer="b", controlling=False, servers=[{"url": "stun:203.0.113.1"}])
    assert made.link == 1
    with pytest.raises(ModuleError, match="peer"):
        await alice.call("create_link", controlling=False)
    with pytest.raises(ModuleError, match="no method"):
        await alice.call("nonsense")


@in_virtual_time
async def test_who_does_not_listen_is_let_go() -> None:
    _, alice, _ = pair()
    async with alice.events() as heard, alice.events() as others:
        for _ in range(2000):
            alice.change_network()
        await anext(others)
        with pytest.raises(ModuleError, match="not read"):
            await exhaust(heard)
    alice.stop()
    async with alice.events() as heard:
        assert [event async for event in heard] == []


@in_virtual_time
async def test_a_flood_of_packets_costs_a_listener_nothing_else() -> None:
    _, alice, _ = pair()
    async with alice.events() as heard:
        for _ in range(2000):
            alice.want("10.0.0.1")
        alice.change_network()
        await until(heard, NetworkChanged)
