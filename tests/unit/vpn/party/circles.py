"""Controllers in virtual time: Links on modules in memory, letters over a room that loses some."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from tincan.errors import ProtocolError
from tincan.vpn.module.memory import MemoryModule, MemoryNetwork
from tincan.vpn.party.keys import Keys, PublicKeys
from tincan.vpn.party.line import MemoryRoom
from tincan.vpn.party.links import Links
from tincan.vpn.party.messages import Message, decode, encode
from tincan.vpn.party.sealed import SealedLine
from tincan.vpn.party.states import PeerNews, PeerState, Policy

SECRET = bytes(range(32))
EPOCH = 1_800_000_000.0


@dataclass
class Member:
    """One controller of a test."""

    name: str
    keys: Keys
    module: MemoryModule
    links: Links
    sealed: SealedLine
    news: list[PeerNews] = field(default_factory=list)
    task: asyncio.Task[None] | None = None

    @property
    def uid(self) -> str:
        return self.keys.public.uid

    def online(self) -> set[str]:
        return {uid for uid, news in self.links.states().items() if news.standing}


class Circle:
    """Some members who all know each other."""

    def __init__(self, *, seed: int = 7, policy: Policy | None = None, **room: object) -> None:
        self.chance = random.Random(seed)
        self.room = MemoryRoom(random.Random(seed), **room)  # type: ignore[arg-type]
        self.network = MemoryNetwork()
        self.policy = policy or Policy()
        self.members: dict[str, Member] = {}
        self.known: dict[str, PublicKeys] = {}
        self.identities: dict[str, Keys] = {}
        self._group: asyncio.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def running(self, *names: str) -> AsyncIterator[Circle]:
        async with asyncio.TaskGroup() as group:
            self._group = group
            for name in names:
                self.identify(name)
            for name in names:
                await self.start(name)
            try:
                yield self
            finally:
                for member in self.members.values():
                    if member.task is not None:
                        member.task.cancel()

    def identify(self, name: str) -> Keys:
        if name not in self.identities:
            keys = Keys(self.chance.randbytes(32), self.chance.randbytes(32))
            self.identities[name] = keys
            self.known[keys.public.uid] = keys.public
            for member in self.members.values():
                self.introduce(member)
        return self.identities[name]

    def introduce(self, member: Member) -> None:
        member.links.set_peers({uid: (f"100.64.0.{n}",) for n, uid in enumerate(self.known) if uid != member.uid})

    async def start(self, name: str) -> Member:
        """Start a member's controller, or start it anew with another module and session."""
        keys = self.identify(name)
        module = self.network.module(name)
        sealed = SealedLine(
            self.room.line(),
            keys,
            clock=lambda: EPOCH + asyncio.get_running_loop().time(),
            random=self.chance.randbytes,
        )

        async def say(to: str | None, message: Message) -> None:
            await sealed.say("c", encode(message), None if to is None else self.known[to])

        news: list[PeerNews] = []
        links = Links(
            module,
            keys.public.uid,
            self.chance.randbytes(8),
            say,
            news.append,
            policy=self.policy,
            chance=random.Random(self.chance.random()),
        )
        member = Member(name, keys, module, links, sealed, news)
        self.members[name] = member
        self.introduce(member)
        await sealed.set_circles({"c": SECRET})
        assert self._group is not None
        member.task = self._group.create_task(self._run(member))
        return member

    async def stop(self, name: str, *, politely: bool) -> None:
        member = self.members.pop(name)
        if politely:
            await member.links.leave()
        assert member.task is not None
        member.task.cancel()
        await asyncio.wait([member.task])
        member.module.stop()

    async def _run(self, member: Member) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(member.links.run())
            group.create_task(self._hear(member))

    async def _hear(self, member: Member) -> None:
        uids = {keys.sign: uid for uid, keys in self.known.items()}
        while True:
            letter = await member.sealed.hear()
            uids.update({keys.sign: uid for uid, keys in self.known.items()})
            with contextlib.suppress(ProtocolError):
                member.links.heard(uids[letter.sender], decode(letter.payload))

    def meshed(self) -> bool:
        """Whether everybody has a link to everybody."""
        uids = {member.uid for member in self.members.values()}
        return all(member.online() == uids - {member.uid} for member in self.members.values())

    async def until_meshed(self, within: float) -> float:
        return await until(self.meshed, within)

    def state(self, name: str, other: str) -> PeerState:
        return self.members[name].links.states()[self.identities[other].public.uid].state


async def until(condition: object, within: float) -> float:
    """Wait for a condition; return how many seconds that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not condition():  # type: ignore[operator]
        assert loop.time() - began < within, "it did not come about"
        await asyncio.sleep(0.05)
    return loop.time() - began
