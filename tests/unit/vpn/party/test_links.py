"""Presence and links between controllers: twins in virtual time, over lines that lose, repeat and reorder."""

from __future__ import annotations

import asyncio

import pytest

from tincan.vpn.party.states import PeerState, Policy
from unit.vpn.party.circles import Circle, Member, until
from virtualtime import in_virtual_time

THREE = ("alice", "bob", "carol")


@in_virtual_time
async def test_members_find_each_other_and_each_pair_makes_one_link() -> None:
    circle = Circle(delay=(0.01, 0.05))
    async with circle.running(*THREE):
        assert await circle.until_meshed(5) < 2
        await asyncio.sleep(100)
        assert [len(member.module.created) for member in circle.members.values()] == [2, 2, 2]
        pairs = [
            (member.uid, made.peer, made.controlling)
            for member in circle.members.values()
            for made in member.module.created
        ]
        assert all(controlling is (own < peer) for own, peer, controlling in pairs)


@pytest.mark.parametrize("seed", range(12))
def test_lost_repeated_and_reordered_messages(seed: int) -> None:
    @in_virtual_time
    async def test() -> None:
        circle = Circle(seed=seed, loss=0.3, repeats=0.2, delay=(0.0, 1.5))
        async with circle.running(*THREE, "dave"):
            await circle.until_meshed(240)
            made = [len(member.module.created) for member in circle.members.values()]
            await asyncio.sleep(600)
            assert circle.meshed(), "and it stays so"
            assert [len(member.module.created) for member in circle.members.values()] == made

    test()


@pytest.mark.parametrize("politely", [True, False])
def test_a_member_that_starts_anew(politely: bool) -> None:
    @in_virtual_time
    async def test() -> None:
        circle = Circle(loss=0.1, delay=(0.0, 0.3))
        async with circle.running(*THREE):
            await circle.until_meshed(60)
            await circle.stop("bob", politely=politely)
            if politely:
                await until(lambda: circle.state("alice", "bob") is PeerState.AWAY, 200)
            await circle.start("bob")
            await circle.until_meshed(120)

    test()


@in_virtual_time
async def test_one_who_goes_silent_is_away_after_a_while() -> None:
    circle = Circle()
    async with circle.running(*THREE):
        await circle.until_meshed(10)
        await circle.stop("bob", politely=False)
        await until(lambda: circle.state("alice", "bob") is PeerState.AWAY, 300)


@in_virtual_time
async def test_another_uplink_begins_links_anew_beside_those_in_use() -> None:
    circle = Circle(delay=(0.01, 0.1))
    async with circle.running(*THREE):
        await circle.until_meshed(10)
        for member in circle.members.values():
            await all_anew(circle, member)
        assert [len(member.module.created) for member in circle.members.values()] == [2, 2, 2]


async def all_anew(circle: Circle, member: Member) -> None:
    ends = {end.number: end.attempt.ours.ufrag for end in member.module.ends.values()}
    member.module.change_network()

    def anew() -> bool:
        now = {end.number: end.attempt.ours.ufrag for end in member.module.ends.values()}
        return now.keys() == ends.keys() and not now.items() & ends.items()

    await until(anew, 10)
    await until(lambda: all(news.state is PeerState.ONLINE for news in member.links.states().values()), 10)
    assert circle.meshed()


@pytest.mark.parametrize("seed", range(6))
def test_all_change_their_uplinks_at_once(seed: int) -> None:
    @in_virtual_time
    async def test() -> None:
        circle = Circle(seed=seed, loss=0.2, delay=(0.0, 0.5))
        async with circle.running(*THREE):
            await circle.until_meshed(100)
            for _ in range(3):
                for member in circle.members.values():
                    member.module.change_network()
                await asyncio.sleep(0.3)

            def settled() -> bool:
                states = [n.state for m in circle.members.values() for n in m.links.states().values()]
                return circle.meshed() and set(states) == {PeerState.ONLINE}

            await until(settled, 240)

    test()


@in_virtual_time
async def test_a_restart_that_comes_to_nothing_leaves_the_link_alone() -> None:
    circle = Circle()
    async with circle.running("alice", "bob"):
        await circle.until_meshed(10)
        circle.room.loss = 1.0
        for member in circle.members.values():
            member.module.change_network()
        await asyncio.sleep(200)
        assert circle.meshed()
        circle.room.loss = 0.0
        circle.members["alice"].module.change_network()
        await until(lambda: circle.state("alice", "bob") is PeerState.ONLINE, 60)


@in_virtual_time
async def test_a_lost_link_is_made_again_when_there_is_a_path() -> None:
    circle = Circle()
    async with circle.running(*THREE):
        await circle.until_meshed(10)
        alice, bob = circle.members["alice"].module, circle.members["bob"].module
        circle.network.cut(alice, bob)
        await asyncio.sleep(120)
        assert not circle.meshed()
        tries = len(alice.created)
        await asyncio.sleep(600)
        assert len(alice.created) - tries < 20, "not more often than once in a while"
        circle.network.mend(alice, bob)
        await circle.until_meshed(120)


@in_virtual_time
async def test_who_is_no_member_any_more_loses_his_links_at_once() -> None:
    circle = Circle()
    async with circle.running(*THREE):
        await circle.until_meshed(10)
        alice, bob = circle.members["alice"], circle.members["bob"]
        alice.links.set_peers({circle.members["carol"].uid: ("100.64.0.9",)})
        await until(lambda: bob.uid not in alice.online() and alice.uid not in bob.online(), 1)
        await asyncio.sleep(300)
        assert alice.online() == {circle.members["carol"].uid}
        assert bob.uid not in alice.module.peers or alice.module.peers[bob.uid] == ()


@in_virtual_time
async def test_in_a_large_group_a_packet_makes_the_link() -> None:
    circle = Circle(policy=Policy(on_demand_above=2, idle=300))
    async with circle.running(*THREE, "dave"):
        await asyncio.sleep(30)
        assert not any(member.online() for member in circle.members.values())
        for one, other in (("alice", "bob"), ("bob", "alice"), ("dave", "carol"), ("carol", "dave")):
            assert await on_demand(circle.members[one], circle.members[other]) < 1
            await until(lambda: not any(member.online() for member in circle.members.values()), 1000)


@in_virtual_time
async def test_when_a_large_group_gets_small_all_get_links() -> None:
    circle = Circle(policy=Policy(on_demand_above=2))
    async with circle.running(*THREE, "dave"):
        await asyncio.sleep(30)
        await circle.stop("dave", politely=True)
        await circle.until_meshed(100)


async def on_demand(sender: Member, receiver: Member) -> float:
    """Have a packet want a link; return how long that took."""
    for _ in range(5):
        sender.module.want("100.64.0.7", peer=receiver.uid)
    took = await until(lambda: receiver.uid in sender.online(), 5)
    assert len(sender.module.ends) == len(receiver.module.ends) == 1
    return took


@in_virtual_time
async def test_not_too_many_links_are_set_up_at_a_time() -> None:
    names = [f"m{n}" for n in range(20)]
    circle = Circle(policy=Policy(setups=3))
    circle.network.delay = 2.0
    async with circle.running(*names):
        most = 0
        while not circle.meshed():
            busy = (PeerState.MAKING, PeerState.OFFERING, PeerState.CONNECTING)
            for member in circle.members.values():
                ours = [u for u, n in member.links.states().items() if member.uid < u and n.state in busy]
                most = max(most, len(ours))
            await asyncio.sleep(0.1)
        assert most <= 3


@in_virtual_time
async def test_the_line_sees_nothing_but_padded_letters() -> None:
    circle = Circle()
    async with circle.running(*THREE):
        await circle.until_meshed(10)
        seen = b"".join(message for _, message in circle.room.passed)
        for member in circle.members.values():
            public = member.keys.public
            assert not any(
                word in seen for word in (public.sign, public.box, public.uid.encode(), b"ufrag", b"hello")
            )
        assert {len(message) for _, message in circle.room.passed} <= {512, 1024, 2048, 4096}
