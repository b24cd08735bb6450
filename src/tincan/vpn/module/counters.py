"""What the data plane counts for a strand, added up for a link and written for controllers."""

from __future__ import annotations

from typing import Final

from tincan.vpn.module.methods import Statistics
from tincan.vpn.path.plane import LinkStatistics

COUNTERS: Final = (
    "packets_in",
    "packets_out",
    "bytes_in",
    "bytes_out",
    "invalid",
    "replayed",
    "spoofed",
    "filtered",
    "storm",
    "too_big",
    "unsent",
)


def add(before: LinkStatistics, now: LinkStatistics | None) -> LinkStatistics:
    """Add counters up; what is no counter is the newer one's."""
    if now is None:
        return before
    counters = {name: getattr(before, name) + getattr(now, name) for name in COUNTERS}
    return LinkStatistics(**counters, heard=now.heard, mtu=now.mtu, epoch=now.epoch)


def as_told(counted: LinkStatistics, now: float) -> Statistics:
    """Write counters as controllers get them."""
    heard = None if counted.heard is None else max(0.0, now - counted.heard)
    return Statistics(**{name: getattr(counted, name) for name in COUNTERS}, mtu=counted.mtu, heard=heard)
