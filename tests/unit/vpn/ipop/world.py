"""Nodes of old networks in memory and virtual time: controllers, dialects, modules and an overlay between them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from interop.ipop_controllers import Controller
from tincan.vpn.ipop.engine import Engine
from tincan.vpn.ipop.overlay import MemoryServer
from tincan.vpn.ipop.wire import Release
from tincan.vpn.module.memory import MemoryNetwork


class Node:
    """A controller and its module."""

    def __init__(self, world: World, name: str, release: Release, controller: Any) -> None:
        self.name = name
        self.module = world.network.module(name)
        self.controller: Any = controller
        self.address = ("::1", 40000 + len(world.nodes))
        self.said: list[str] = []
        self.login: list[tuple[str, str]] = []
        self.engine = Engine(
            self.module,
            world.server.overlay(),
            release,
            send=self._came,
            say=self.said.append,
            told=lambda state, reason: self.login.append((state, reason)),
        )

    def _came(self, to: tuple[str, int], datagram: bytes) -> None:
        assert to == self.address
        self.give(self.controller.receive(datagram, asyncio.get_running_loop().time()))

    def give(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self.engine.arrived(datagram, self.address)

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            ready = asyncio.Event()
            group.create_task(self.engine.run(ready.set))
            await ready.wait()
            self.give(self.controller.start(loop.time()))
            while True:
                await asyncio.sleep(0.1)
                self.give(self.controller.tick(loop.time()))


class World:
    """All nodes of a test."""

    def __init__(self, delay: float = 0.1) -> None:
        self.network = MemoryNetwork(delay)
        self.server = MemoryServer()
        self.nodes: list[Node] = []

    def node(self, name: str, release: Release, controller: Controller) -> Node:
        self.nodes.append(Node(self, name, release, controller))
        return self.nodes[-1]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(node.run()) for node in self.nodes]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert [end for end in ends if not isinstance(end, asyncio.CancelledError)] == []


async def until(true: Callable[[], object], limit: float = 120) -> float:
    """Wait for a condition; return how long that took."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not true():
        assert loop.time() - began < limit, "it never came about"
        await asyncio.sleep(0.05)
    return loop.time() - began
