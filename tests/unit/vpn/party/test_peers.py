"""The core of presence and links by itself: what a member who means no good, or a hurried module, may do to it."""

from __future__ import annotations

import asyncio
import os
import random

from tincan.vpn.module.interface import TOO_MANY, ModuleError
from tincan.vpn.module.memory import MemoryModule, MemoryNetwork
from tincan.vpn.module.methods import Candidate, Description, SetPeer
from tincan.vpn.party.links import Links
from tincan.vpn.party.messages import Call, Hello, Message, Offer
from tincan.vpn.party.peers import Peers
from tincan.vpn.party.states import Make, PeerNews, PeerState, Policy, Say
from unit.vpn.party.circles import Circle
from virtualtime import in_virtual_time

OURS, THEIRS = bytes(8), b"t" * 8
FINGERPRINT = ":".join(["AB"] * 32)


def candidate(port: int) -> Candidate:
    return Candidate("host", "192.0.2.1", port, "1", 1)


def described(ufrag: str) -> Description:
    return Description(ufrag, "p" * 22, FINGERPRINT)


def made(effects: list[object]) -> list[Make]:
    return [effect for effect in effects if isinstance(effect, Make)]


def core(ours: str, theirs: str) -> Peers:
    """Return a core that has just heard of its one peer."""
    peers = Peers(ours, OURS, Policy(), random.Random(1))
    peers.set_peers([theirs], 0)
    peers.start(0)
    peers.heard(theirs, Hello(THEIRS), 0)
    peers.effects()
    return peers


def test_candidates_that_come_before_their_link_is_known_are_told_however_many_links_there_were() -> None:
    peers = core("a", "b")
    for link in range(500):  # of links that were given up before they were known here
        peers.found(link, "gone", (candidate(9),), False, 0)
    peers.tick(1)
    [make] = made(peers.effects())
    peers.found(1000, "frag", (candidate(1),), False, 1)
    peers.made("b", make.ticket, 1000, described("frag"), 1)
    [offer] = [e.message for e in peers.effects() if isinstance(e, Say) and isinstance(e.message, Offer)]
    assert offer.description.candidates == (candidate(1),)


def test_offers_in_a_row_make_one_end_at_a_time() -> None:
    peers = core("b", "a")
    for attempt in range(1, 500):
        peers.heard("a", Offer(THEIRS, OURS, attempt, False, described("frag")), 0)
    [make] = made(peers.effects())
    peers.made("a", make.ticket, 1, described("ours"), 0)
    peers.heard("a", Offer(THEIRS, OURS, 600, False, described("frag")), 0)
    assert len(made(peers.effects())) == 1, "the newest one is said again, and taken then"
    assert peers.states()["a"].state is PeerState.MAKING


def test_calls_for_another_attempt_count_only_for_one_that_was_offered() -> None:
    peers = core("a", "b")
    peers.tick(1)
    [make] = made(peers.effects())
    peers.made("b", make.ticket, 1, described("frag"), 1)
    for attempt in range(500):
        peers.heard("b", Call(THEIRS, OURS, attempt, True), 1)
    assert made(peers.effects()) == []


async def nothing_said(to: str | None, message: Message) -> None:
    await asyncio.sleep(0)


def links(module: MemoryModule, told: list[PeerNews]) -> Links:
    return Links(module, "b", OURS, nothing_said, told.append, chance=random.Random(1))


@in_virtual_time
async def test_a_flood_of_letters_does_not_end_the_network() -> None:
    module, told = MemoryNetwork().module("b"), list[PeerNews]()
    controller = links(module, told)
    controller.set_peers({"a": ("100.64.0.1",), "c": ("100.64.0.2",)})
    running = asyncio.create_task(controller.run())
    await asyncio.sleep(0.1)
    for _ in range(20_000):  # each from another run of the same peer
        session = os.urandom(8)
        controller.heard("a", Hello(session))
        controller.heard("a", Offer(session, OURS, 1, False, described("frag")))
    assert len(module.created) == 0
    await asyncio.sleep(20)
    assert len(module.created) < 10, "only what is still wanted is made"
    controller.heard("c", Hello(THEIRS))
    await asyncio.sleep(0.1)
    assert controller.states()["c"].state is not PeerState.AWAY
    assert not running.done()
    running.cancel()
    await asyncio.wait([running])


class Full(MemoryModule):
    """A module that takes addresses of two peers."""

    def _set_peer(self, params: SetPeer) -> object:
        if len(self.peers) >= 2 and params.peer not in self.peers:
            raise ModuleError(TOO_MANY, "There are too many peers.")
        return super()._set_peer(params)


@in_virtual_time
async def test_a_module_that_takes_no_more_peers_keeps_those_it_has() -> None:
    circle = Circle()

    def full(name: str) -> MemoryModule:
        circle.network.modules.append(Full(circle.network, name))
        return circle.network.modules[-1]

    circle.network.module = full  # type: ignore[method-assign]
    async with circle.running("alice", "bob", "carol", "dave"):
        await circle.until_meshed(10)
        assert all(len(member.module.peers) == 2 for member in circle.members.values())
