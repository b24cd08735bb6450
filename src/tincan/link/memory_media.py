"""Media within one process, on a path with weather of its own: seeded loss, delay and jitter."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Weather:
    """What happens to the packets that one end sends; may be changed at any time. Delays are in seconds.

    Jitter comes on top of the delay, of each packet by itself, so packets may overtake one another.
    """

    loss: float = 0.0
    delay: float = 0.0
    jitter: float = 0.0
    rng: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - no secret
    alter: Callable[[bytes], bytes | None] | None = None
    """Given a packet, the one to deliver instead, or None to drop it."""


class MemoryMedia:
    """One end; see `tincan.link.interface.Media`."""

    def __init__(
        self, hear: Callable[[bytes], None], there: Callable[[], MemoryMedia | None], weather: Weather
    ) -> None:
        self._hear: Callable[[bytes], None] | None = hear
        self._there = there
        self._weather = weather

    def send(self, packet: bytes) -> None:
        """See `Media.send`."""
        weather = self._weather
        altered = packet if weather.alter is None else weather.alter(packet)
        there = self._there()
        if self._hear is None or there is None or altered is None or weather.rng.random() < weather.loss:
            return
        delay = weather.delay + weather.jitter * weather.rng.random()
        asyncio.get_running_loop().call_later(delay, there.arrive, altered)

    def arrive(self, packet: bytes) -> None:
        """Take a packet of the other end."""
        if self._hear is not None:
            self._hear(packet)

    def close(self) -> None:
        """See `Media.close`."""
        self._hear = None
