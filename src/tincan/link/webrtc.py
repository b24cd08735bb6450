"""The link over WebRTC: ICE, DTLS with the fingerprint from the sealed envelope, SCTP with data channels.

`WebRtcLink` puts the three of them together, in this order, and has one end
and one reason for it whichever of them ends first. What each of them is made
of, and what a hostile peer can do to it, is theirs: `tincan.link.ice`,
`tincan.link.transports` (DTLS and SCTP), `tincan.link.datachannel`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Final

from tincan.errors import AuthenticationFailed, NoPath, UsageError
from tincan.link.datachannel import WebRtcChannel
from tincan.link.description import Candidate, Description
from tincan.link.ice import IceAgent
from tincan.link.interface import CONTROL_LABEL, ChannelClosed, CloseReason, LinkStatus, Path
from tincan.link.sctp import MAX_CHANNELS
from tincan.link.srtp import SrtpMedia
from tincan.link.transports import Certificate, DataChannel, Dtls, Sctp
from tincan.meet.mailbox import Side
from tincan.nat.addresses import Interface
from tincan.nat.servers import IceServer

logger = logging.getLogger(__name__)

ICE_TIMEOUT: Final = 20.0
"""Seconds for the connectivity checks, from the moment the peer's description is there."""

DTLS_TIMEOUT: Final = 10.0
"""Seconds for DTLS and SCTP together; both are two round trips."""

LINGER: Final = 1.0
"""Seconds that `close` waits for the peer to acknowledge what was sent before."""

RECEIVE_BUFFER: Final = 1024 * 1024
"""Bytes of unread messages before the link takes no more data (the peer's window then closes)."""

MAX_LABEL: Final = 255

OWN_CHANNELS: Final = MAX_CHANNELS - 8
"""Channels that this side may have open: fewer, since the peer learns later that one was closed."""

EXPORTER_LABEL: Final = b"EXPORTER-tin-can-packets"
"""RFC 5705 section 4: what the keys of packets are exported under. Not registered, and ours by its name."""

BINDING_LABEL: Final = b"EXPORTER-tin-can-binding"
"""The same for `Link.binding`."""


class WebRtcLink:
    """One connection to one peer. `gather`, `description`, then `connect`; see `Link` for the rest.

    ``side`` may be None at first: then `take_side` comes before `description`.
    ``certificate``: None makes one for this link. ``packets``: the link's
    ports are shared with a virtual network's packets (`IceAgent`), whose keys
    `export` gives. ``found``: the interfaces to use; None means all there are.
    """

    def __init__(
        self,
        side: Side | None,
        *,
        relay_only: bool = False,
        control: bool = True,
        ice_timeout: float = ICE_TIMEOUT,
        dtls_timeout: float = DTLS_TIMEOUT,
        certificate: Certificate | None = None,
        packets: bool = False,
        found: Iterable[Interface] | None = None,
    ) -> None:
        # The tapping can makes the offer, so it controls (RFC 8445 section 6.1.1).
        self.ice = IceAgent(controlling=side is Side.TAP, relay_only=relay_only, found=found, packets=packets)
        self._certificate = certificate or Certificate.make()
        self._dtls = Dtls(self.ice, self._certificate)
        self._ice_timeout = ice_timeout
        self._dtls_timeout = dtls_timeout
        self._sctp = Sctp(
            self._dtls,
            full=lambda: self._unread > RECEIVE_BUFFER,
            may_open=lambda: max(len(self._theirs), self._accepted.qsize()) < MAX_CHANNELS,
            ended=self._sctp_ended,
        )
        self._unread = 0
        self._ours: set[WebRtcChannel] = set()
        self._theirs: set[WebRtcChannel] = set()
        self._accepted: asyncio.Queue[WebRtcChannel | None] = asyncio.Queue()
        self._closed = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._reason: CloseReason | None = None
        self._path = Path.DIRECT_UDP
        # Clients that others wrote know nothing of a channel that is there from the start.
        self._control = self._open(CONTROL_LABEL, negotiated=0) if control else None
        self._sctp.on("datachannel", self._accept)
        self._dtls.on("statechange", self._dtls_changed)

    # -- making it -----------------------------------------------------------

    async def gather(self, on_candidate: Callable[[Candidate], None]) -> None:
        """Make the host candidates; each local candidate, now or later, is told to the callback."""
        self.ice.on_candidate = on_candidate
        await self.ice.gather_hosts()

    async def ask_server(self, server: IceServer) -> None:
        """Learn the candidates a STUN or TURN server gives. Never raises, ends in bounded time."""
        await self.ice.ask_server(server)

    def take_side(self, side: Side) -> None:
        """Take the side that was not known yet; before anybody is told how to reach us."""
        self.ice.take_role(controlling=side is Side.TAP)
        self._dtls.take_ice_role(controlling=side is Side.TAP)

    def description(self, candidates: tuple[Candidate, ...], *, complete: bool) -> Description:
        """Return this side's offer or answer with the candidates known so far."""
        return Description(
            ufrag=self.ice.local_username,
            pwd=self.ice.local_password,
            fingerprint=self._certificate.digest,
            candidates=candidates,
            complete=complete,
        )

    async def connect(self, remote: Description, *, begins_dtls: bool | None = None) -> None:
        """Connect to the peer that sent ``remote``; its candidates are added by the caller.

        ``begins_dtls``: whether this side is DTLS's client; by default the
        one that did not make the offer.
        Raises `NoPath` when no candidate pair works, `AuthenticationFailed`
        when whoever answers there has another certificate than the one in the
        sealed envelope.
        """
        await self._find_path(remote)
        logger.info("path found: %s", self._path.value)
        try:
            async with asyncio.timeout(self._dtls_timeout):
                if begins_dtls is not None:
                    self._dtls.take_role(client=begins_dtls)
                await self._secure(remote.fingerprint)
                logger.info("DTLS done")
                await self._sctp.associate()
                await self._opened()
                logger.info("SCTP done")
        except TimeoutError:
            raise NoPath("A path was found, but it went silent before the string was tied. Try again.") from None
        except ConnectionError as exc:
            raise NoPath("The path broke before the string was tied. Try again.") from exc

    async def _find_path(self, remote: Description) -> None:
        try:
            async with asyncio.timeout(self._ice_timeout):
                await self.ice.begin(remote.ufrag, remote.pwd)
        except (TimeoutError, ConnectionError):
            raise NoPath(
                "The two cans know each other, but no network path between them works. "
                "Use a TURN server (--turn, or a switchboard that offers one), or another network."
            ) from None
        self._path = self.ice.path or self._path

    async def _secure(self, fingerprint: bytes) -> None:
        await self._dtls.shake_hands(fingerprint)
        if self._dtls.state == "connected":
            return
        if self._dtls.encrypted:  # the handshake was finished, and the certificate was not the one promised
            raise AuthenticationFailed(
                "Whoever answered on the direct path is not the can that knows the phrase; the string was cut. "
                "Somebody is in the middle: try another network."
            )
        raise NoPath("A path was found, but the encrypted link could not be made on it. Try again.")

    async def _opened(self) -> None:
        await self._sctp.settled.wait()
        if self.ended:
            raise ConnectionError("the link has ended")

    # -- packets of a virtual network ------------------------------------------

    def export(self, length: int, label: bytes = EXPORTER_LABEL) -> bytes:
        """Return secret bytes that only the two ends of this link have (RFC 5705), others for each label."""
        return self._dtls.export(label, length)

    @property
    def binding(self) -> bytes:
        """See `Link.binding`."""
        return self.export(32, BINDING_LABEL)

    @property
    def is_dtls_client(self) -> bool:
        """Whether this end began the DTLS handshake: it tells the two directions of `export` apart."""
        return self._dtls.is_client

    # -- Link ------------------------------------------------------------------

    @property
    def control(self) -> WebRtcChannel:
        """See `Link.control`. Not for links to other clients, which have none."""
        if self._control is None:
            raise RuntimeError("this link has no control channel")
        return self._control

    @property
    def status(self) -> LinkStatus:
        """See `Link.status`."""
        self._path = self.ice.path or self._path
        return LinkStatus(self._path, self.ice.round_trip)

    async def open_channel(self, label: str, *, reliable: bool = True) -> WebRtcChannel:
        """See `Link.open_channel`. Not ``reliable``: unordered and never sent again (sound)."""
        if not label.isascii() or len(label) > MAX_LABEL:
            raise ValueError(f"a label has at most {MAX_LABEL} ASCII characters")
        if self.ended:
            raise ChannelClosed("The link has ended.")
        if len(self._ours) > OWN_CHANNELS:
            raise UsageError("Too many channels are open on this string.")
        channel = self._open(label, reliable=reliable)
        await channel.settled.wait()
        if not channel.is_open:
            raise ChannelClosed("The link has ended.")
        return channel

    async def accept_channel(self) -> WebRtcChannel:
        """See `Link.accept_channel`."""
        channel = await self._accepted.get()
        if channel is None:
            self._accepted.put_nowait(None)
            raise ChannelClosed("The link has ended.")
        return channel

    def media(self, hear: Callable[[bytes], None]) -> SrtpMedia:
        """See `Link.media`."""
        self._dtls.listen(hear)
        return SrtpMedia(
            lambda packet: self.ice.send_now(self._dtls.protect(packet)),
            lambda: self._dtls.listen(None) if self._dtls.hear is hear else None,
        )

    async def wait_closed(self) -> CloseReason:
        """See `Link.wait_closed`."""
        await self._closed.wait()
        return self._reason or CloseReason.LOST

    async def close(self) -> None:
        """See `Link.close`. Whoever calls it returns when all is closed; a cancelled call does not stop it."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(), name="closing the link")
        await asyncio.shield(self._ending)

    # -- inside ------------------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether nothing can be sent any more."""
        return self._closed.is_set()

    async def drain(self) -> None:
        """Wait until the peer has acknowledged everything sent, or the link has ended."""
        if not self.ended:
            await self._sctp.idle.wait()

    def took(self, count: int) -> None:
        """Count bytes that wait to be read."""
        self._unread += count

    async def made_room(self, count: int) -> None:
        """Count bytes that somebody took, or never will, and take what waited for room."""
        self._unread -= count
        await self._sctp.take_held()

    def _open(self, label: str, *, negotiated: int | None = None, reliable: bool = True) -> WebRtcChannel:
        return self._adopt(self._sctp.open(label, negotiated=negotiated, reliable=reliable), self._ours)

    def _adopt(self, inner: DataChannel, side: set[WebRtcChannel]) -> WebRtcChannel:
        channel = WebRtcChannel(self, inner)
        side.add(channel)
        inner.on("close", lambda: side.discard(channel))
        return channel

    def _accept(self, inner: DataChannel) -> None:
        self._accepted.put_nowait(self._adopt(inner, self._theirs))

    def _dtls_changed(self) -> None:
        if self._dtls.state in ("closed", "failed"):
            self._ended_by_peer(goodbye=self._dtls.said_goodbye)

    def _sctp_ended(self) -> None:
        self._ended_by_peer(goodbye=self._sctp.aborted)

    def _ended_by_peer(self, *, goodbye: bool) -> None:
        if self._sctp.broken:
            self._finish(CloseReason.BROKEN)
        else:
            self._finish(CloseReason.PEER if goodbye else CloseReason.LOST)
        self._sctp.end()
        self._end_channels()

    def _finish(self, reason: CloseReason) -> None:
        if self._reason is None:
            self._reason = reason
            self._closed.set()
            self._accepted.put_nowait(None)
            logger.info("link closed: %s", reason.value)

    def _end_channels(self) -> None:
        for channel in [*self._ours, *self._theirs]:
            channel.end()

    async def _end(self) -> None:
        self._finish(CloseReason.LOCAL)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._sctp.idle.wait()
        with contextlib.suppress(ConnectionError):
            await self._sctp.stop()
        with contextlib.suppress(ConnectionError):
            await self._dtls.stop()
        self._end_channels()
        await self.ice.close()
