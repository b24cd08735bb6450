"""Two real modules in one process: real ICE and DTLS over this machine, data planes that carry nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tincan.vpn.module.events import CandidatesFound, Event, LinkChanged
from tincan.vpn.module.interface import Module
from tincan.vpn.module.local import LocalModule, open_module
from tincan.vpn.module.states import State
from tincan.vpn.path.memory import MemoryPlane

WITHIN = 120.0
"""Seconds for anything; a loaded machine is slow."""

E = TypeVar("E", bound=Event)


@dataclass
class Ear:
    """Hears all events of a module, and finds them again."""

    events: AsyncIterator[Event]
    heard: list[Event] = field(default_factory=list)

    async def until(self, kind: type[E], **fields: Any) -> E:
        """Wait for the next event like this."""
        async with asyncio.timeout(WITHIN):
            async for event in self.events:
                self.heard.append(event)
                if isinstance(event, kind) and all(getattr(event, k) == v for k, v in fields.items()):
                    return event
        raise AssertionError(f"the module ended; heard were {self.heard}")


@dataclass
class End:
    """A module, its data planes and its events."""

    module: LocalModule
    planes: list[MemoryPlane]
    ear: Ear

    @property
    def plane(self) -> MemoryPlane:
        """The data plane that there is now."""
        return self.planes[-1]


@contextlib.asynccontextmanager
async def end() -> AsyncIterator[End]:
    """Make a module on a false data plane."""
    planes: list[MemoryPlane] = []

    def opened(settings: Any) -> MemoryPlane:
        planes.append(MemoryPlane(settings))
        return planes[-1]

    async with open_module(opened) as module, module.events() as events:
        yield End(module, planes, Ear(events))


@contextlib.asynccontextmanager
async def both() -> AsyncIterator[tuple[End, End]]:
    """Make two."""
    async with end() as alice, end() as bob:
        yield alice, bob


async def tie(a: Module, b: Module) -> tuple[int, int]:
    """Begin a link between two modules; return its number at each."""
    ours, theirs = await a.create_link("bob", controlling=True), await b.create_link("alice", controlling=False)
    await a.connect_link(ours.link, theirs.description)
    await b.connect_link(theirs.link, ours.description)
    return ours.link, theirs.link


async def again(a: Module, b: Module, numbers: tuple[int, int]) -> None:
    """Restart a link at both ends."""
    ours, theirs = await a.restart_link(numbers[0]), await b.restart_link(numbers[1])
    await a.connect_link(numbers[0], theirs.description)
    await b.connect_link(numbers[1], ours.description)


async def online(*ends: End) -> None:
    """Wait until each has said that its link is online."""
    for one in ends:
        await one.ear.until(LinkChanged, state=State.ONLINE)


async def candidates(one: End) -> CandidatesFound:
    """Wait for the next candidates."""
    return await one.ear.until(CandidatesFound)
