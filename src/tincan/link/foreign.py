"""Links to clients that others wrote: one session description each way, nothing trickles.

    async with foreign_link(offers=True, servers=servers) as dial:
        offer = await dial.describe()              # SDP with all candidates inside
        ...                                        # the dialect carries it, and brings the answer
        link = await dial.connect(read(answer))
        channel = await link.open_channel("chat")

The one who offers is ICE's controlling agent and, unless the answer says
otherwise, DTLS's server; as RFC 8842 has it for ``actpass`` and ``active``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from tincan.link.description import MAX_CANDIDATES, Candidate, acceptable
from tincan.link.sdp import SessionDescription, write
from tincan.meet.mailbox import Side
from tincan.nat.servers import IceServer
from tincan.tasks import settle

if TYPE_CHECKING:
    from tincan.link.webrtc import WebRtcLink

GATHER_LIMIT: Final = 3.0
"""Seconds that STUN and TURN servers get before the description goes out without them."""


@contextlib.asynccontextmanager
async def foreign_link(
    *, offers: bool, servers: tuple[IceServer, ...] = (), relay_only: bool = False
) -> AsyncIterator[ForeignDial]:
    """Yield a link to be; whatever has become of it is closed at the end."""
    await asyncio.to_thread(__import__, "tincan.link.webrtc")
    from tincan.link.webrtc import WebRtcLink

    # In our own dialect the tapping can makes the offer; here whoever comes first does.
    link = WebRtcLink(Side.TAP if offers else Side.ATTACH, relay_only=relay_only, control=False)
    try:
        yield ForeignDial(link, offers, servers)
    finally:
        await link.close()


class ForeignDial:
    """One use of `foreign_link`."""

    def __init__(self, link: WebRtcLink, offers: bool, servers: tuple[IceServer, ...]) -> None:
        self._link = link
        self._offers = offers
        self._servers = servers

    async def describe(self) -> str:
        """Return this side's session description with every candidate it could find in `GATHER_LIMIT`."""
        found: list[Candidate] = []
        await self._link.gather(found.append)
        asking = [asyncio.create_task(self._link.ask_server(server)) for server in self._servers]
        if asking:
            await asyncio.wait(asking, timeout=GATHER_LIMIT)
        for task in asking:
            await settle(task)
        description = self._link.description(tuple(found[:MAX_CANDIDATES]), complete=True)
        return write(description, "actpass" if self._offers else "active")

    async def connect(self, remote: SessionDescription) -> WebRtcLink:
        """Connect to the one whose description this is; see `WebRtcLink.connect`."""
        loopback = self._link.ice.only_loopback
        for candidate in acceptable(remote.description.candidates, loopback=loopback):
            await self._link.ice.add_remote(candidate)
        await self._link.ice.end_of_remote()
        # The answering side chose its DTLS role; who offered takes the other one.
        begins = remote.setup == "passive" if self._offers else True
        await self._link.connect(remote.description, begins_dtls=begins)
        return self._link
