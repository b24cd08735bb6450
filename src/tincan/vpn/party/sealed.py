"""A party line with the seal in it: letters out, letters in, on the topics of the day."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from typing import Final

from tincan.vpn.party.keys import Keys, PublicKeys
from tincan.vpn.party.line import PartyLine
from tincan.vpn.party.seal import Letter, Letters

LOOK_EVERY: Final = 60.0
"""Seconds between looks at the calendar."""


class SealedLine:
    """Letters of some circles over a line. `run` keeps it on the right topics.

    ``tell_ahead`` hears, once for each, of senders whose letters are refused
    because their clocks are seconds ahead of ours.
    """

    def __init__(
        self,
        line: PartyLine,
        keys: Keys,
        *,
        clock: Callable[[], float] = time.time,
        random: Callable[[int], bytes] = os.urandom,
        tell_ahead: Callable[[bytes, float], None] = lambda sender, seconds: None,
    ) -> None:
        self._line = line
        self._letters = Letters(keys, random)
        self._clock = clock
        self._tell_ahead = tell_ahead
        self._told: set[bytes] = set()
        self._joined: frozenset[str] = frozenset()
        self._lock = asyncio.Lock()

    def know(self, circles: Mapping[str, bytes]) -> None:
        """See `Letters.set_circles`: from now on they can be written to. `run` joins their topics within a minute."""
        self._letters.set_circles(circles)

    async def set_circles(self, circles: Mapping[str, bytes]) -> None:
        """Know the circles, and join their topics."""
        self.know(circles)
        await self._follow()

    async def say(self, circle: str, payload: bytes, to: PublicKeys | None = None) -> None:
        """Send a letter to one, or to the whole circle."""
        topic, message = self._letters.seal(circle, payload, self._clock(), to)
        await self._line.send(topic, message)

    async def hear(self) -> Letter:
        """Return the next letter that is authentic and new; raises `tincan.vpn.party.line.LineClosed`."""
        while True:
            letter = self._letters.open(*await self._line.receive(), self._clock())
            if letter is not None:
                return letter
            for sender in self._letters.ahead.keys() - self._told:
                self._told.add(sender)
                self._tell_ahead(sender, self._letters.ahead[sender])

    async def run(self) -> None:
        """Follow the calendar until cancelled."""
        while True:
            await self._follow()
            await asyncio.sleep(LOOK_EVERY)

    async def _follow(self) -> None:
        async with self._lock:
            wanted = self._letters.topics(self._clock())
            for topic in sorted(wanted - self._joined):
                await self._line.join(topic)
            for topic in sorted(self._joined - wanted):
                await self._line.leave(topic)
            self._joined = wanted
