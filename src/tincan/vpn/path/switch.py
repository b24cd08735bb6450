"""The switch: which link a MAC address is behind, with ageing, and the limit on what goes to everybody.

A station that was heard on one link cannot turn up on another before it has
been silent for `AGE`, or its link is gone: so nobody takes the frames of
somebody else by using that one's address.
"""

from __future__ import annotations

import enum

AGE = 300.0
"""Seconds; the usual value of bridges (IEEE 802.1Q, table 8-8)."""

STATIONS = 256
"""Behind each link at most; a new one takes the place of the one silent for longest."""

FLOOD_RATE, FLOOD_BURST = 500.0, 1000.0
"""Frames to everybody that a link may bring in or take out, per second and at once."""


TELL_EVERY = 60.0
"""The other pump has a table of its own: it is told again this often of who is heard."""


class Lesson(enum.Enum):
    """What a source address has taught."""

    KNOWN = "known"
    NEWS = "news"
    """The other pump should hear of it."""
    FAKE = "fake"
    """It is behind another link."""


def group(mac: bytes) -> bool:
    """Say whether an address is a broadcast or multicast one."""
    return bool(mac[0] & 1)


class MacTable:
    """MAC addresses and the links they are behind; `tincan.vpn.path.routes.OWN` for our side of the tap."""

    def __init__(self) -> None:
        self._found: dict[bytes, tuple[int, float, float]] = {}
        """The link, when last heard, when last told."""
        self._behind: dict[int, dict[bytes, None]] = {}
        """By link, the one silent for longest first."""

    def learn(self, mac: bytes, link: int, now: float) -> Lesson:
        """Take note of a source address, unless it is another link's."""
        known = self._found.get(mac)
        told = now
        if known is not None:
            if known[0] != link and now - known[1] < AGE:
                return Lesson.FAKE
            del self._behind[known[0]][mac]
            told = now if known[0] != link or now - known[2] >= TELL_EVERY else known[2]
        behind = self._behind.setdefault(link, {})
        if len(behind) >= STATIONS:
            oldest = next(iter(behind))
            del behind[oldest], self._found[oldest]
        behind[mac] = None
        self._found[mac] = (link, now, told)
        return Lesson.NEWS if told == now else Lesson.KNOWN

    def find(self, mac: bytes, now: float) -> int | None:
        """Say which link an address is behind, None if that is not known (any more)."""
        known = self._found.get(mac)
        return known[0] if known is not None and now - known[1] < AGE else None

    def forget(self, link: int) -> None:
        """Forget everybody behind a link."""
        for mac in self._behind.pop(link, ()):
            del self._found[mac]


class Bucket:
    """A token bucket: so many per second, so many at once."""

    __slots__ = ("_burst", "_filled", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst, self._tokens = rate, burst, burst
        self._filled = 0.0

    def take(self, now: float) -> bool:
        """Say whether one more may pass."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._filled) * self._rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
