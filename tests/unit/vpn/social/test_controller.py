"""The controller: links to friends who are there and to nobody else, as the book has it, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tincan.errors import UsageError
from tincan.identity import Identity
from tincan.vpn.module.memory import MemoryModule, MemoryNetwork
from tincan.vpn.module.methods import Server
from tincan.vpn.party.keys import Keys
from tincan.vpn.party.line import MemoryRoom, PartyLine
from tincan.vpn.party.sealed import SealedLine
from tincan.vpn.social.controller import FriendNews, Moved, Social, SocialEvent, SocialSettings, Up
from tincan.vpn.social.friends import MemoryShelf
from tincan.vpn.social.letters import CIRCLES, letters, secret_of
from tincan.vpn.social.ranges import ip6_of
from unit.vpn.social.people import person
from virtualtime import in_virtual_time

NO_ROUTES = "Iface\tDestination\n"
QUIET = SocialSettings(names=False)


class House:
    """Somebody's machine."""

    def __init__(self, world: World, name: str, identity: Identity) -> None:
        self.world = world
        self.name = name
        self.identity = identity
        self.shelf = MemoryShelf()
        self.module: MemoryModule = world.network.module(name)
        self.told: list[SocialEvent] = []
        self.routes = NO_ROUTES
        self.hurried = 0
        self.task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def open_line(self) -> AsyncIterator[PartyLine]:
        line = self.world.room.line()
        try:
            yield line
        finally:
            await line.close()

    def servers(self) -> tuple[Server, ...]:
        return (Server("stun:192.0.2.9:3478"),)

    def hurry(self) -> None:
        self.hurried += 1

    def befriend(self, other: House) -> None:
        for one, two in ((self, other), (other, self)):
            one.add(two)

    def add(self, other: House) -> None:
        self.shelf.change(lambda book: book.with_friend(other.identity.public, other.name))

    def start(self, settings: SocialSettings = QUIET) -> None:
        social = Social(self.module, self.identity, self, self.told.append, settings, self.shelf, lambda: self.routes)
        self.task = self.world.group.create_task(social.run())

    async def stop(self) -> None:
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait([self.task])

    def linked(self) -> set[str]:
        uids = {end.peer for end in self.module.ends.values() if end.state.value == "online"}
        return {house.name for house in self.world.houses if house.identity.public.uid in uids}

    def news(self) -> list[tuple[str, str]]:
        return [(event.name, event.state.value) for event in self.told if isinstance(event, FriendNews)]


class World:
    """Everybody."""

    def __init__(self, group: asyncio.TaskGroup, loss: float = 0.0) -> None:
        self.group = group
        self.network = MemoryNetwork()
        self.room = MemoryRoom(random.Random(3), loss=loss, delay=(0.01, 0.2))
        self.houses: list[House] = []

    def house(self, name: str) -> House:
        made = House(self, name, person(len(self.houses) + 1))
        self.houses.append(made)
        return made


@contextlib.asynccontextmanager
async def world(loss: float = 0.0) -> AsyncIterator[World]:
    async with asyncio.TaskGroup() as group:
        made = World(group, loss)
        try:
            yield made
        finally:
            for house in made.houses:
                if house.task is not None:
                    house.task.cancel()


async def until(condition: object, within: float = 60.0) -> None:
    async with asyncio.timeout(within):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.05)


@in_virtual_time
async def test_two_friends_are_linked() -> None:
    async with world() as made:
        alice, bob = made.house("alice"), made.house("bob")
        alice.befriend(bob)
        alice.start()
        bob.start()
        await until(lambda: alice.linked() == {"bob"} and bob.linked() == {"alice"})
        assert alice.module.addresses.ip4 == "172.31.0.100/16"
        assert alice.module.addresses.ip6 == f"{ip6_of(alice.identity.public)}/64"
        uid = bob.identity.public.uid
        assert (alice.module.translation.own, alice.module.translation.peers) == (
            "172.31.0.100",
            {uid: "172.31.0.101"},
        )
        assert alice.module.peers == {uid: ("172.31.0.101", str(ip6_of(bob.identity.public)))}
        [up] = [event for event in alice.told if isinstance(event, Up)]
        assert (up.tap, str(up.ip4), str(up.network)) == ("memory0", "172.31.0.100", "172.31.0.0/16")
        assert alice.news()[-1] == ("bob", "online")
        assert alice.module.created[0].servers == alice.servers()


@in_virtual_time
async def test_friends_of_friends_are_strangers() -> None:
    """Bob is everybody's friend; Alice and Carol know nothing of each other, nor does who carries the letters."""
    async with world(loss=0.1) as made:
        alice, bob, carol = (made.house(name) for name in ("alice", "bob", "carol"))
        alice.befriend(bob)
        bob.befriend(carol)
        for house in made.houses:
            house.start()
        await until(lambda: bob.linked() == {"alice", "carol"})
        await asyncio.sleep(60)
        assert (alice.linked(), carol.linked()) == ({"bob"}, {"bob"})
        public = [key for h in made.houses for key in (h.identity.public.signing, h.identity.public.agreeing)]
        for topic, message in made.room.passed:
            for secret in (*public, b"alice", b"bob", b"192.0.2.1", b"172.31"):
                assert secret not in message
                assert secret.hex() not in topic
        assert len({topic for topic, _ in made.room.passed}) in (2, 4)


@in_virtual_time
async def test_a_friendship_of_one_side_is_none() -> None:
    async with world() as made:
        alice, mallory = made.house("alice"), made.house("mallory")
        mallory.add(alice)
        alice.start()
        mallory.start()
        await asyncio.sleep(120)
        assert (alice.linked(), mallory.linked()) == (set(), set())
        assert alice.module.created == []


@in_virtual_time
async def test_who_is_removed_loses_the_link_and_who_is_added_gets_one() -> None:
    async with world() as made:
        alice, bob, carol = (made.house(name) for name in ("alice", "bob", "carol"))
        alice.befriend(bob)
        for house in made.houses:
            house.start()
        await until(lambda: alice.linked() == {"bob"})
        alice.befriend(carol)
        await until(lambda: alice.linked() == {"bob", "carol"}, 10)
        alice.shelf.change(lambda book: (book.without("bob"), None))
        await until(lambda: alice.linked() == {"carol"}, 3)
        await asyncio.sleep(200)
        assert (alice.linked(), bob.linked(), carol.linked()) == ({"carol"}, set(), {"alice"})
        assert alice.module.translation.peers == {carol.identity.public.uid: "172.31.0.102"}
        assert alice.module.peers[carol.identity.public.uid][0] == "172.31.0.102"
        assert ("bob", "away") in alice.news()


@in_virtual_time
async def test_a_new_name_changes_no_link() -> None:
    async with world() as made:
        alice, bob = made.house("alice"), made.house("bob")
        alice.befriend(bob)
        alice.start()
        bob.start()
        await until(lambda: alice.linked() == {"bob"})
        links = set(alice.module.ends)
        alice.shelf.change(lambda book: (book.renamed("bob", "robert"), None))
        await asyncio.sleep(5)
        assert set(alice.module.ends) == links
        assert alice.linked() == {"bob"}


def routes(*networks: str) -> str:
    lines = ["Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask"]
    for text in networks:
        base, mask = (
            int.from_bytes(address.packed, "little")
            for address in (IPv4Network(text).network_address, IPv4Network(text).netmask)
        )
        lines.append(f"eth0\t{base:08X}\t00000000\t0001\t0\t0\t0\t{mask:08X}")
    return "\n".join(lines)


@in_virtual_time
async def test_the_range_moves_where_the_machine_uses_it() -> None:
    async with world() as made:
        alice, bob = made.house("alice"), made.house("bob")
        alice.befriend(bob)
        alice.routes = routes("172.31.4.0/24")
        alice.start()
        bob.start()
        await until(lambda: alice.linked() == {"bob"})
        assert alice.module.addresses.ip4 == "172.30.0.100/16"
        assert set(alice.module.translation.peers.values()) == {"172.30.0.101"}
        assert bob.module.addresses.ip4 == "172.31.0.100/16"
        assert [event for event in alice.told if isinstance(event, Moved)] == [
            Moved(IPv4Network("172.31.0.0/16"), IPv4Network("172.30.0.0/16"))
        ]
        # It stays there, and moves again while the network is up.
        alice.routes = routes("172.30.0.0/16")
        alice.module.change_network()
        await until(lambda: alice.module.addresses.ip4 == "172.31.0.100/16", 5)
        assert alice.hurried == 1
        await until(lambda: alice.linked() == {"bob"})
        assert alice.shelf.read().range == "172.31.0.0/16"


@in_virtual_time
async def test_a_chosen_range_stays() -> None:
    async with world() as made:
        alice = made.house("alice")
        alice.start(SocialSettings(IPv4Network("10.77.0.0/24"), names=False))
        await until(lambda: alice.module.addresses.ip4 == "10.77.0.100/24", 5)
        await alice.stop()
        alice.start()
        await asyncio.sleep(5)
        assert alice.module.addresses.ip4 == "10.77.0.100/24"


async def test_a_chosen_range_that_is_taken_is_refused() -> None:
    made = World.__new__(World)
    made.network, made.room, made.houses = MemoryNetwork(), MemoryRoom(), []
    alice = made.house("alice")
    alice.routes = routes("10.0.0.0/8")
    settings = SocialSettings(IPv4Network("10.77.0.0/24"), names=False)
    social = Social(
        alice.module, alice.identity, alice, alice.told.append, settings, alice.shelf, lambda: alice.routes
    )
    with pytest.raises(UsageError, match="--range"):
        await social.run()
    assert alice.shelf.read().range == "172.31.0.0/16"


@in_virtual_time
async def test_who_leaves_says_so() -> None:
    async with world() as made:
        alice, bob = made.house("alice"), made.house("bob")
        alice.befriend(bob)
        alice.start()
        bob.start()
        await until(lambda: alice.linked() == {"bob"})
        await bob.stop()
        await until(lambda: alice.news()[-1] == ("bob", "away"), 5)


@in_virtual_time
async def test_a_damaged_book_changes_nothing_while_the_network_is_up(tmp_path: Path) -> None:
    async with world() as made:
        alice, bob = made.house("alice"), made.house("bob")
        alice.befriend(bob)
        alice.start()
        bob.start()
        await until(lambda: alice.linked() == {"bob"})

        def damaged() -> object:
            raise UsageError("friends.json is damaged.")

        alice.shelf.read = damaged  # type: ignore[method-assign, assignment]
        await asyncio.sleep(10)
        assert alice.linked() == {"bob"}
        assert len([event for event in alice.told if "damaged" in str(event)]) == 1


def test_two_friends_have_one_secret_and_every_two_another() -> None:
    a, b, c = person(1), person(2), person(3)
    assert secret_of(a, b.public) == secret_of(b, a.public)
    assert len({secret_of(a, b.public), secret_of(a, c.public), secret_of(b, c.public)}) == 3


@in_virtual_time
async def test_many_friends_take_several_lines() -> None:
    async with world() as made:
        alice = made.house("alice")
        many = [person(number) for number in range(2, 2 + 2 * CIRCLES + 5)]
        heard: list[tuple[str, bytes]] = []
        last = many[-1]
        async with (
            letters(alice.identity, alice.open_line, lambda uid, payload: None) as ours,
            letters(last, alice.open_line, lambda uid, payload: heard.append((uid, payload))) as theirs,
        ):
            await ours.set_friends(friend.public for friend in many)
            await theirs.set_friends([alice.identity.public])
            await ours.say(None, b"to all")
            await ours.say(last.public.uid, b"to one")
            await until(lambda: len(heard) == 2, 5)
            assert {payload for _, payload in heard} == {b"to all", b"to one"}
            assert {uid for uid, _ in heard} == {alice.identity.public.uid}
            await ours.set_friends([])
            await ours.say(None, b"to nobody")
            await asyncio.sleep(5)
            assert len(heard) == 2


@in_virtual_time
async def test_a_stolen_agreement_key_does_not_speak_for_its_owner() -> None:
    """Mallory reads what Alice writes to Bob then; what he writes himself has to be signed by Bob."""
    async with world() as made:
        alice = made.house("alice")
        bob, mallory = person(8), person(9)
        heard: list[bytes] = []
        async with letters(alice.identity, alice.open_line, lambda uid, payload: heard.append(payload)) as hers:
            await hers.set_friends([bob.public])
            for signer in (mallory, bob):
                keys = Keys(signer.signing.private_bytes_raw(), bob.agreeing.private_bytes_raw())
                sealed = SealedLine(made.room.line(), keys)
                await sealed.set_circles({"alice": secret_of(bob, alice.identity.public)})
                await sealed.say("alice", b"bob" if signer is bob else b"mallory")
            await asyncio.sleep(5)
            assert heard == [b"bob"]


@in_virtual_time
async def test_letters_that_are_repeated_or_changed_are_not_heard() -> None:
    """What whoever carries letters can do: nothing but lose them."""
    async with world() as made:
        alice = made.house("alice")
        bob = person(8)
        heard: list[bytes] = []
        async with (
            letters(alice.identity, alice.open_line, lambda uid, payload: heard.append(payload)) as hers,
            letters(bob, alice.open_line, lambda uid, payload: None) as his,
        ):
            await hers.set_friends([bob.public])
            await his.set_friends([alice.identity.public])
            await his.say(None, b"once")
            await until(lambda: heard == [b"once"], 5)
            [(topic, message)] = made.room.passed
            for changed in (message, message[:-1], bytes([message[0] ^ 1]) + message[1:], message + b"\0", b""):
                made.room.carry(None, topic, changed)
            await asyncio.sleep(5)
            assert heard == [b"once"]
