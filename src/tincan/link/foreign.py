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
from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Final

from tincan.errors import NoPath
from tincan.link.description import MAX_CANDIDATES, Candidate, Description, acceptable
from tincan.link.interface import ChannelClosed
from tincan.link.sdp import SessionDescription, write
from tincan.meet.mailbox import Side
from tincan.nat.servers import IceServer
from tincan.tasks import settle

if TYPE_CHECKING:
    from tincan.link.datachannel import WebRtcChannel
    from tincan.link.webrtc import WebRtcLink

GATHER_LIMIT: Final = 3.0
"""Seconds that STUN and TURN servers get before the description goes out without them."""

CHANNEL_TIMEOUT: Final = 10.0
"""Seconds for the channel to be open on both sides once there is a link."""

PUNCH_INTERVAL: Final = 5.0
"""Seconds between requests to the peer's own addresses meanwhile. They open our NAT for the peer's checks;
whoever gets them refuses them, since they are not checks: only their way out matters."""

MAX_KEPT: Final = 8
"""Addresses of the peer that get these."""


@contextlib.asynccontextmanager
async def foreign_link(
    *, offers: bool, servers: tuple[IceServer, ...] = (), relay_only: bool = False, patience: float | None = None
) -> AsyncIterator[ForeignDial]:
    """Yield a link to be; whatever has become of it is closed at the end.

    ``patience``: seconds to go on looking for a path. For the one whose answer
    a person carries: the other side looks for one only when it has arrived.
    """
    await asyncio.to_thread(__import__, "tincan.link.webrtc")
    from tincan.link.webrtc import ICE_TIMEOUT, WebRtcLink

    # In our own dialect the tapping can makes the offer; here whoever comes first does.
    link = WebRtcLink(
        Side.TAP if offers else Side.ATTACH, relay_only=relay_only, control=False, ice_timeout=patience or ICE_TIMEOUT
    )
    try:
        yield ForeignDial(link, offers, servers, patient=patience is not None)
    finally:
        await link.close()


class ForeignDial:
    """One use of `foreign_link`."""

    def __init__(self, link: WebRtcLink, offers: bool, servers: tuple[IceServer, ...], *, patient: bool) -> None:
        self._link = link
        self._offers = offers
        self._servers = servers
        self._patient = patient

    async def describe(self) -> str:
        """Return this side's session description with every candidate it could find in `GATHER_LIMIT`."""
        return write(await self.gather(), "actpass" if self._offers else "active")

    async def gather(self) -> Description:
        """Return the same as `describe`, for a dialect that has a form of its own for it."""
        found: list[Candidate] = []
        await self._link.gather(found.append)
        asking = [asyncio.create_task(self._link.ask_server(server)) for server in self._servers]
        if asking:
            await asyncio.wait(asking, timeout=GATHER_LIMIT)
        for task in asking:
            await settle(task)
        return self._link.description(tuple(found[:MAX_CANDIDATES]), complete=True)

    @contextlib.asynccontextmanager
    async def reachable(self, interval: float | None = None) -> AsyncIterator[None]:
        """Keep the NATs open meanwhile, so that the candidates that were described stay true."""
        keeping = self._link.ice.keep_asking(self._servers, *([] if interval is None else [interval]))
        async with _beside(keeping):
            yield

    async def connect(self, remote: SessionDescription) -> WebRtcLink:
        """Connect to the one whose description this is; see `WebRtcLink.connect`."""
        loopback = self._link.ice.only_loopback
        candidates = acceptable(remote.description.candidates, loopback=loopback)
        for candidate in candidates:
            await self._link.ice.add_remote(candidate)
        # The answering side chose its DTLS role; who offered takes the other one.
        begins = remote.setup == "passive" if self._offers else True
        # No end of candidates is told: the other side may begin its checks many
        # seconds later (when it has read the answer), and until ICE's own timeout
        # one of them revives a pair that we had given up.
        async with contextlib.AsyncExitStack() as stack:
            if self._patient:
                towards = tuple(IceServer("stun", c.address, c.port) for c in candidates[:MAX_KEPT])
                await stack.enter_async_context(self.reachable())
                await stack.enter_async_context(_beside(self._link.ice.keep_asking(towards, PUNCH_INTERVAL)))
            await self._link.connect(remote.description, begins_dtls=begins)
        return self._link

    async def open(self, label: str, *, reliable: bool = True) -> WebRtcChannel:
        """Open the dialect's channel on the link that `connect` made; `NoPath` when the other side takes none."""
        with _in_time():
            async with asyncio.timeout(CHANNEL_TIMEOUT):
                return await self._link.open_channel(label, reliable=reliable)

    async def accept(self, *labels: str) -> WebRtcChannel:
        """Return the channel of one of these labels that the other side opens; `NoPath` when it opens none."""
        with _in_time():
            async with asyncio.timeout(CHANNEL_TIMEOUT):
                while True:
                    channel = await self._link.accept_channel()
                    if channel.label in labels:
                        return channel
                    await channel.close()


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise NoPath("The other side is there, but opens no channel to talk on; it may be another program.") from None
    except ChannelClosed:
        raise NoPath("The other side hung up before the string was tied. Try again.") from None


@contextlib.asynccontextmanager
async def _beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        await settle(task)
