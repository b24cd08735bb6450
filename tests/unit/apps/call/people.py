"""Two people in a conversation with calls: real protocol, real Opus, devices and a link that are only numbers."""

from __future__ import annotations

import asyncio
import contextlib
from array import array
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TypeVar

from tincan.apps.call.desk import CallDesk
from tincan.apps.call.interface import Calls, Switch
from tincan.apps.chat import PeerHello
from tincan.apps.conversation import ConversationEvent, LinkConversation
from tincan.audio.devices import Devices
from tincan.audio.memory import ONE_OF_EACH, MemorySound
from tincan.audio.pcm import Pcm
from tincan.link.dial import Connected, Tell
from tincan.link.interface import Link
from tincan.link.memory import MemoryLink
from tincan.tasks import settle

PATIENCE = 120.0
T = TypeVar("T")

WORDS: Pcm = array("h", [6000 if n // 60 % 2 else -6000 for n in range(48_000 * 20)])
"""Twenty seconds of a loud tone of 400 Hz."""


class CountingSound(MemorySound):
    """Devices that tell how often they were opened."""

    def __init__(self, there: Devices = ONE_OF_EACH) -> None:
        super().__init__(there)
        self.opened = 0

    async def run(self, *arguments: object) -> None:  # type: ignore[override]
        self.opened += 1
        await super().run(*arguments)  # type: ignore[arg-type]


class Person:
    """Somebody who reads every event as it comes."""

    def __init__(
        self,
        name: str,
        link: MemoryLink,
        *,
        voice: bool = True,
        talks: bool = False,
        switches: dict[Switch, bool] | None = None,
        there: Devices = ONE_OF_EACH,
    ) -> None:
        self.link = link
        self.sound = CountingSound(there)
        self.told: list[ConversationEvent] = []
        make = partial(CallDesk, make_sound=lambda: self.sound, switches=switches)
        self.conversation = LinkConversation(self._tie, name=name, calls=make if voice else None, talks=talks)

    @contextlib.asynccontextmanager
    async def _tie(self, tell: Tell) -> AsyncIterator[Link]:
        tell(Connected("lan", "memory"))
        try:
            yield self.link
        finally:
            await self.link.close()

    @property
    def calls(self) -> Calls:
        calls = self.conversation.calls
        assert calls is not None
        return calls

    async def read(self) -> None:
        async for event in self.conversation.events():
            self.told.append(event)

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.01)

    async def sees(self, kind: type[T], count: int = 1) -> T:
        """Wait until so many events of a kind were told; return the last of them."""
        await self.until(lambda: sum(isinstance(event, kind) for event in self.told) >= count)
        return [event for event in self.told if isinstance(event, kind)][-1]

    @property
    def hears(self) -> bool:
        """Whether the loudspeaker has given something loud in the last tenth of a second."""
        return any(max(piece) > 3000 for piece in list(self.sound.played)[-10:])


@contextlib.asynccontextmanager
async def two_people(
    ada: dict[str, object] | None = None, bob: dict[str, object] | None = None
) -> AsyncIterator[tuple[Person, Person]]:
    """Ada and Bob, who have greeted each other; nothing of them is left at the end."""
    before = asyncio.all_tasks()
    links = MemoryLink.pair()
    people = Person("Ada", links[0], **(ada or {})), Person("Bob", links[1], **(bob or {}))  # type: ignore[arg-type]
    async with people[0].conversation, people[1].conversation:
        reading = [asyncio.create_task(person.read()) for person in people]
        for person in people:
            await person.sees(PeerHello)
        yield people
        await settle(*reading)
    async with asyncio.timeout(PATIENCE):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)
