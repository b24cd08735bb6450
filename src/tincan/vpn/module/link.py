"""One link, as a controller knows it: data, and how it is told."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from tincan.link.route import Route
from tincan.vpn.module.counters import add, as_told
from tincan.vpn.module.events import LinkChanged
from tincan.vpn.module.methods import LinkState
from tincan.vpn.module.states import State
from tincan.vpn.module.strand import Strand, Wanted
from tincan.vpn.path.plane import LinkStatistics


@dataclass(eq=False)
class Running:
    """A strand at work. ``plane``: its number in the data plane."""

    strand: Strand
    plane: int
    task: asyncio.Task[None] | None = None
    route: Route | None = None
    """Where the data plane sends its packets."""


@dataclass
class Link:
    """One link, as controllers know it."""

    number: int
    peer: str
    wanted: Wanted
    state: State = State.NEW
    since: float = 0.0
    reason: str | None = None
    path: str | None = None
    used: Running | None = None
    """The strand that packets go by."""
    next: Running | None = None
    """The strand that is being made."""
    before: LinkStatistics = field(default_factory=LinkStatistics)
    """What earlier strands counted."""

    def changed(self) -> LinkChanged:
        """Return the event that says how it is now."""
        status = self.used.strand.link.status if self.used is not None else None
        self.path = status.path.value if status is not None else None
        rtt = status.rtt if status is not None else None
        return LinkChanged(self.number, self.peer, self.state, self.path, rtt, self.reason)

    def described(self, now: float, counted: dict[int, LinkStatistics] | None) -> LinkState:
        """Return how it is, for `state`; ``counted`` is what the data plane counts, if that is wanted."""
        used = self.used.strand.link if self.used is not None else None
        route = used.ice.route if used is not None else None
        counters = None
        if counted is not None:
            ours = counted.get(self.used.plane) if self.used is not None else None
            counters = as_told(add(self.before, ours), now)
        return LinkState(
            link=self.number,
            peer=self.peer,
            state=self.state,
            path=used.status.path.value if used is not None else None,
            rtt=used.status.rtt if used is not None else None,
            since=now - self.since,
            reason=self.reason,
            restarting=self.used is not None and self.next is not None,
            local=_address(route.local) if route is not None else None,
            remote=_address(route.remote) if route is not None else None,
            statistics=counters,
        )


def _address(address: tuple[str, int]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
