"""Keeps one mapping: asks in all ways at once, lets the first win, renews it, and cleans up behind all of them.

Nothing in here knows a protocol or a socket; see `Mapper`. A router that
speaks several protocols may make one mapping of several requests, so whoever
comes second with the winner's own port is left alone until the end, and
after any other deletion the winner's mapping is asked for again at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Final

from tincan.nat.portmap.mapping import SHORTEST_PAUSE, Granted, Mapper, NoMapping, PortMapping, renewal

logger = logging.getLogger(__name__)

PATIENCE: Final = 30.0
"""Seconds for all that one way of asking does, were its own bounds to fail."""

GOODBYE: Final = 1.0
"""Seconds for deleting mappings at the end."""


async def keep(find: Callable[[], Sequence[Mapper]], found: Callable[[PortMapping], None]) -> None:
    """Have a mapping until cancelled; return when there is none to be had. Deletes it in either case.

    ``find`` gives the ways to ask, anew after a mapping was lost: the router may be another one by then.
    """
    while True:
        mappers = find()
        attempt = _Attempt(mappers, found)
        try:
            await attempt.run()
        finally:
            await _delete(mappers)
        if attempt.winner is None:
            said = "; ".join(dict.fromkeys(attempt.problems)) or "no router here"
            logger.info("no port mapping: %s", said)
            return
        logger.info("the port mapping was lost, asking again")
        await asyncio.sleep(SHORTEST_PAUSE)


class _Attempt:
    """All ways of asking at once, until the winner's mapping is lost or all have failed."""

    def __init__(self, mappers: Sequence[Mapper], found: Callable[[PortMapping], None]) -> None:
        self.winner: Mapper | None = None
        self.problems: list[str] = []
        self._mappers = mappers
        self._asking: dict[Mapper, asyncio.Task[None]] = {}
        self._found = found
        self._told: PortMapping | None = None
        self._disturbed = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._asking = {mapper: group.create_task(self._try(mapper)) for mapper in self._mappers}

    async def _try(self, mapper: Mapper) -> None:
        try:
            granted = await self._first(mapper)
        except (NoMapping, OSError) as exc:
            self.problems.append(f"{mapper.method}: {_plain(exc)}")
            if mapper.asked:  # a useless mapping, or one of which we did not hear
                await self._undo(mapper)
            return
        if self.winner is None:
            self.winner = mapper
            self._tell(mapper, granted)
            self._call_off()
            await self._renew(mapper, granted)
        elif self._told is not None and (granted.address, granted.port) != (self._told.address, self._told.port):
            await self._undo(mapper)

    async def _undo(self, mapper: Mapper) -> None:
        await _delete([mapper])
        self._disturbed.set()

    async def _first(self, mapper: Mapper) -> Granted:
        try:
            return await _map(mapper)
        finally:
            self._asking.pop(mapper)

    def _call_off(self) -> None:
        """Stop the others where they have not made anything yet; who has asked must hear what became of it."""
        for mapper, task in self._asking.items():
            if not mapper.asked:
                task.cancel()

    async def _renew(self, mapper: Mapper, granted: Granted) -> None:
        """Renew at half of the time, then at half of what is left; return when there is nothing left."""
        now = asyncio.get_running_loop().time
        ends = now() + granted.lifetime
        while True:
            await self._pause(renewal(ends - now()))
            try:
                granted = await _map(mapper)
            except (NoMapping, OSError) as exc:
                logger.debug("%s does not renew the port mapping: %s", mapper.method, _plain(exc))
                if now() >= ends:
                    return
            else:
                ends = now() + granted.lifetime
                self._tell(mapper, granted)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._disturbed.wait()
        self._disturbed.clear()

    def _tell(self, mapper: Mapper, granted: Granted) -> None:
        mapping = PortMapping(granted.address, granted.port, mapper.method)
        if mapping != self._told:
            self._told = mapping
            logger.info("port mapping by %s: %s port %d", mapping.method, mapping.address, mapping.port)
            self._found(mapping)


async def _map(mapper: Mapper) -> Granted:
    async with asyncio.timeout(PATIENCE):
        return await mapper.map()


async def _delete(mappers: Sequence[Mapper]) -> None:
    """Undo what was asked of all of them; what does not work in a second ends with its lease."""

    async def undo(mapper: Mapper) -> None:
        try:
            await mapper.unmap()
        except (NoMapping, OSError) as exc:
            logger.debug("%s does not delete the port mapping: %s", mapper.method, _plain(exc))

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GOODBYE), asyncio.TaskGroup() as group:
            for mapper in mappers:
                group.create_task(undo(mapper))


def _plain(exc: Exception) -> str:
    if isinstance(exc, NoMapping):
        return str(exc)
    return "no answer" if isinstance(exc, TimeoutError) else f"{getattr(exc, 'strerror', None) or exc}".lower()
