"""The link over WebRTC: the only module that knows aiortc.

A link is ICE (`tincan.link.ice`), DTLS with the fingerprint from the sealed
envelope, and SCTP with data channels (RFC 8831), made of aiortc's transport
objects. Its RTCPeerConnection is not used: there is no session description
to parse from a peer, and text needs neither the audio and video codecs that it
loads nor their time to load (`_transports`).

aiortc 1.16 is driven below its documented surface in a few places, named in
`_Sctp`, `_Dtls` and `_Ice`; that version is fixed in pyproject.toml, and
`tests/unit/link/test_webrtc.py` fails when they move.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import sys
import types
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

from tincan.errors import AuthenticationFailed, NoPath, UsageError
from tincan.link.description import Candidate, Description
from tincan.link.ice import IceAgent
from tincan.link.interface import (
    CONTROL_LABEL,
    MAX_CHANNEL_MESSAGE,
    ChannelClosed,
    CloseReason,
    LinkStatus,
    Path,
)
from tincan.link.srtp import Incoming, SrtpMedia, is_rtcp
from tincan.meet.mailbox import Side
from tincan.nat.addresses import Interface
from tincan.nat.servers import IceServer


def _transports() -> None:
    """Load aiortc's transports without its package's ``__init__``, which loads PyAV and all codecs.

    A bare package stands in for ``aiortc``, so that its modules can be
    imported one by one, and a bare module for ``av``, of which the RTP
    module wants one name for an annotation. Both are taken away again, so a
    later ``import aiortc`` (calls) gets the real ones. It saves about half of
    the start of a text chat (`make bench-connect` prints it).
    """
    if "aiortc" in sys.modules:
        return
    spec = importlib.util.find_spec("aiortc")
    if spec is None or spec.submodule_search_locations is None:
        raise ImportError("aiortc is not installed")
    package = types.ModuleType("aiortc")
    package.__path__ = list(spec.submodule_search_locations)
    codecs = types.ModuleType("av")
    codecs.AudioFrame = object  # type: ignore[attr-defined]
    stands_in = "av" not in sys.modules
    sys.modules["aiortc"] = package
    if stands_in:
        sys.modules["av"] = codecs
    try:
        for name in ("rtcdtlstransport", "rtcdatachannel", "rtcsctptransport"):
            importlib.import_module(f"aiortc.{name}")
    finally:
        del sys.modules["aiortc"]
        if stands_in:
            del sys.modules["av"]


_transports()
_dtls: Any = sys.modules["aiortc.rtcdtlstransport"]
_sctp: Any = sys.modules["aiortc.rtcsctptransport"]
_datachannel: Any = sys.modules["aiortc.rtcdatachannel"]

if TYPE_CHECKING:
    from aiortc.rtcdatachannel import RTCDataChannel
    from aiortc.rtcdtlstransport import RTCDtlsTransport
    from aiortc.rtcsctptransport import RTCSctpTransport
else:
    RTCDataChannel = _datachannel.RTCDataChannel
    RTCDtlsTransport = _dtls.RTCDtlsTransport
    RTCSctpTransport = _sctp.RTCSctpTransport

logger = logging.getLogger(__name__)

ICE_TIMEOUT: Final = 20.0
"""Seconds for the connectivity checks, from the moment the peer's description is there."""

DTLS_TIMEOUT: Final = 10.0
"""Seconds for DTLS and SCTP together; both are two round trips."""

LINGER: Final = 1.0
"""Seconds that `close` waits for the peer to acknowledge what was sent before."""

SCTP_PORT: Final = 5000
SEND_BUFFER: Final = 256 * 1024
"""Bytes a channel takes before `send` waits."""

RECEIVE_BUFFER: Final = 1024 * 1024
"""Bytes of unread messages before the link takes no more data (the peer's window then closes)."""

MAX_HELD: Final = 4096
"""Data chunks, of 1,200 bytes, kept while there is no room; more are dropped, and sent again by the peer."""

MAX_UNFINISHED: Final = 16 * 1024 * 1024
"""Bytes of messages that are not complete yet. aiortc's sender is bounded by its congestion window alone."""

MAX_MISORDERED: Final = 16 * 1024
"""Chunks that arrived before one that is missing."""

MAX_PIECES: Final = 1024
"""Pieces of one message: four times what the longest one needs. aiortc walks over them with each new one."""

MESSAGE_COST: Final = 64
"""Bytes that an unread message counts besides its own: empty ones take room too."""

MAX_CHANNELS: Final = 64
"""Channels that the peer may have open, or opened and not accepted yet; one more ends the link."""

MAX_LABEL: Final = 255

OWN_CHANNELS: Final = MAX_CHANNELS - 8
"""Channels that this side may have open: fewer, since the peer learns later that one was closed."""


EXPORTER_LABEL: Final = b"EXPORTER-tin-can-packets"
"""RFC 5705 section 4: what the keys of packets are exported under. Not registered, and ours by its name."""

BINDING_LABEL: Final = b"EXPORTER-tin-can-binding"
"""The same for `Link.binding`."""

DTLS_1_2: Final = 0xFEFD


class Certificate(_dtls.RTCCertificate):  # type: ignore[misc]
    """Who one end of a link is: a key pair of its own, self-signed. `Certificate.make` makes one.

    Links may share one; each speaks DTLS 1.2 or newer (RFC 8827 section 6.5).
    """

    @classmethod
    def make(cls) -> Certificate:
        """Generate one (ECDSA on P-256)."""
        made: Certificate = cls.generateCertificate()
        return made

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the certificate: its fingerprint."""
        value: str = next(f.value for f in self.getFingerprints() if f.algorithm == "sha-256")
        return bytes.fromhex(value.replace(":", ""))

    def _create_ssl_context(self, srtp_profiles: Any) -> Any:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_min_proto_version(DTLS_1_2)
        return context


class _Ice:
    """What aiortc's DTLS transport asks of its ICE transport: three names of RTCIceTransport."""

    def __init__(self, agent: IceAgent) -> None:
        self._recv = agent.recv
        self._send = agent.send
        self.take_role(controlling=agent.ice_controlling)

    def take_role(self, *, controlling: bool) -> None:
        """Take the role from which, unless told otherwise, the DTLS role follows."""
        self.role = "controlling" if controlling else "controlled"


class _Dtls(RTCDtlsTransport):
    """aiortc's DTLS, which hands out received RTP and RTCP as bytes, and sends ours.

    aiortc's own receivers, with their jitter buffer and codecs, are not used.
    """

    def __init__(self, transport: _Ice, certificate: Any) -> None:
        super().__init__(transport, [certificate])  # type: ignore[arg-type]
        self.hear: Callable[[bytes], None] | None = None

    def listen(self, hear: Callable[[bytes], None] | None) -> None:
        """Hand packets to this from now on; None: look at none."""
        self.hear = hear
        if isinstance(self._rx_srtp, Incoming):
            self._rx_srtp.open = hear is not None

    def protect(self, packet: bytes) -> bytes:
        """Return a packet of ours as it goes over the network."""
        if self._tx_srtp is None or self.state != "connected":
            raise ConnectionError("there is no SRTP")
        return bytes(self._tx_srtp.protect_rtcp(packet) if is_rtcp(packet) else self._tx_srtp.protect(packet))

    def _setup_srtp(self) -> None:
        super()._setup_srtp()
        if self._rx_srtp is not None:
            self._rx_srtp = Incoming(self._rx_srtp, _dtls.pylibsrtp.Error)  # type: ignore[assignment]
            self.listen(self.hear)

    async def _handle_rtp_data(self, data: bytes, arrival_time_ms: int) -> None:
        if self.hear is not None:
            self.hear(data)

    async def _handle_rtcp_data(self, data: bytes) -> None:
        if self.hear is not None:
            self.hear(data)


class _Sctp(RTCSctpTransport):
    """aiortc's SCTP, which also tells when all is acknowledged, waits for a slow reader, and bounds its memory.

    ``full`` says whether there is no room for more data, ``may_open`` whether
    the peer may open another channel; ``ended`` is called at the end.
    """

    def __init__(
        self,
        transport: RTCDtlsTransport,
        *,
        full: Callable[[], bool],
        may_open: Callable[[], bool],
        ended: Callable[[], None],
    ) -> None:
        super().__init__(transport, SCTP_PORT)
        self.settled = asyncio.Event()
        """Set once the association stands, or never will."""
        self.idle = asyncio.Event()
        self.idle.set()
        self.broken = False
        self.aborted = False
        self._over = False
        self._full = full
        self._may_open = may_open
        self._ended = ended
        self._held: dict[int, Any] = {}

    async def take_held(self) -> None:
        """Take the data that waited for room, as far as there is room now."""
        with contextlib.suppress(ConnectionError):
            await self._take_held()

    async def _take_held(self) -> None:
        async with self._breaking():
            while self._held and not self._full() and not self._over:
                await self._take_data(self._held.pop(next(iter(self._held))))
            if self._sack_needed and not self._over:
                await self._send_sack()

    def end(self) -> None:
        """End without a word to the peer."""
        self._set_state(self.State.CLOSED)

    @contextlib.asynccontextmanager
    async def _breaking(self) -> AsyncIterator[None]:
        """End the association when the peer sends what aiortc asserts on, or fails to unpack."""
        try:
            yield
        except ConnectionError:
            raise
        except Exception as exc:
            logger.info("the peer broke SCTP: %r", exc)
            self.broken = True
            with contextlib.suppress(Exception):  # the peer may be told; this is over in any case
                await self._abort()
            self.end()
            raise ConnectionError("the peer broke SCTP") from exc

    async def _handle_data(self, data: bytes) -> None:
        if not self._over:  # else the peer could set up another association
            async with self._breaking():
                await super()._handle_data(data)

    async def _receive_chunk(self, chunk: Any) -> None:
        self.aborted = self.aborted or isinstance(chunk, _sctp.AbortChunk)
        await super()._receive_chunk(chunk)

    async def _receive_data_chunk(self, chunk: Any) -> None:
        if not self._full():
            await self._take_data(chunk)
        elif len(self._held) < MAX_HELD:
            self._held[chunk.tsn] = chunk  # not acknowledged, so the peer's window closes

    async def _take_data(self, chunk: Any) -> None:
        await super()._receive_data_chunk(chunk)
        pieces = sum(len(stream.reassembly) for stream in self._inbound_streams.values())
        # Where nothing is missing there is one message at most that is not complete.
        endless = pieces - len(self._sack_misordered) > MAX_PIECES
        if endless or self._advertised_rwnd < -MAX_UNFINISHED or len(self._sack_misordered) > MAX_MISORDERED:
            raise ValueError("the peer sends messages without end")
        if len(self._inbound_streams) > 4 * MAX_CHANNELS:
            raise ValueError("the peer uses too many streams")

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        opens = pp_id == _sctp.WEBRTC_DCEP and data[:1] == bytes([_sctp.DATA_CHANNEL_OPEN])
        if opens and not self._may_open():
            raise ValueError("the peer opens too many channels")
        await super()._receive(stream_id, pp_id, data)

    async def _receive_sack_chunk(self, chunk: Any) -> None:
        # aiortc counts through every gap: a packet full of gaps where nothing was sent would take it seconds.
        sent = (self._local_tsn - 1 - chunk.cumulative_tsn) % 2**32
        if sent >= 2**31 or sum(max(0, last - first + 1) for first, last in chunk.gaps) > sent:
            raise ValueError("the peer acknowledges what was never sent")
        await super()._receive_sack_chunk(chunk)
        if not (self._sent_queue or self._outbound_queue or self._data_channel_queue):
            self.idle.set()

    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        self.idle.clear()
        super()._data_channel_send(channel, data)

    def _set_state(self, state: Any) -> None:
        super()._set_state(state)
        if state in (self.State.ESTABLISHED, self.State.CLOSED):
            self.settled.set()
        if state is self.State.CLOSED and not self._over:
            self._over = True
            self._held.clear()
            self.idle.set()
            self._ended()


class WebRtcChannel:
    """A data channel as a `tincan.link.interface.Channel`."""

    def __init__(self, link: WebRtcLink, channel: RTCDataChannel) -> None:
        self._link = link
        self._channel = channel
        self._inbox: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self._unread = 0
        self._left = False
        self._ended = False
        self._lower = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once the channel is open, or never will be."""
        channel.bufferedAmountLowThreshold = SEND_BUFFER // 2
        channel.on("message", self._take)
        channel.on("bufferedamountlow", self._lower.set)
        channel.on("open", self.settled.set)
        channel.on("close", self.end)

    @property
    def label(self) -> str:
        """See `Channel.label`."""
        return self._channel.label

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return self._channel.readyState == "open" and not self._link.ended

    async def send(self, message: bytes | str) -> None:
        """See `Channel.send`. A text goes as a text message, which only other clients tell apart."""
        if len(message if isinstance(message, bytes) else message.encode()) > MAX_CHANNEL_MESSAGE:
            raise ValueError("message too long for a channel")
        while self.is_open and self._channel.bufferedAmount > SEND_BUFFER:
            self._lower.clear()
            await self._lower.wait()
        if not self.is_open:
            raise ChannelClosed("The link has ended.")
        self._channel.send(message)

    async def receive(self) -> bytes:
        """See `Channel.receive`."""
        message = await self.receive_message()
        return message.encode() if isinstance(message, str) else message

    async def receive_message(self) -> bytes | str:
        """Return the next message as it was sent, as text or as bytes; `ChannelClosed` after the last one."""
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise ChannelClosed("The link has ended.")
        if not self._left:
            cost = _cost(message)
            self._unread -= cost
            await self._link.made_room(cost)
        return message

    async def drain(self) -> None:
        """See `Channel.drain`."""
        await self._link.drain()

    async def close(self) -> None:
        """See `Channel.close`."""
        if not self._left:
            # Nobody may read what is here: it must not hold up the other channels.
            self._left = True
            await self._link.made_room(self._unread)
        try:
            if self.is_open:
                await self._link.drain()
        finally:
            self._channel.close()

    def end(self) -> None:
        """Tell everybody who waits that no more will come. Idempotent."""
        if not self._ended:
            self._ended = True
            self._inbox.put_nowait(None)
            self._lower.set()
            self.settled.set()

    def _take(self, message: bytes | str) -> None:
        if not self._left:
            cost = _cost(message)
            self._unread += cost
            self._link.took(cost)
            self._inbox.put_nowait(message)


def _cost(message: bytes | str) -> int:
    return len(message if isinstance(message, bytes) else message.encode()) + MESSAGE_COST


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
        self._ice = _Ice(self.ice)
        self._dtls = _Dtls(self._ice, self._certificate)
        self._ice_timeout = ice_timeout
        self._dtls_timeout = dtls_timeout
        self._sctp = _Sctp(
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
        self._ice.take_role(controlling=side is Side.TAP)

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
                    self._dtls._set_role("client" if begins_dtls else "server")
                await self._secure(remote.fingerprint)
                logger.info("DTLS done")
                await self._sctp.start(_sctp.RTCSctpCapabilities(maxMessageSize=2 * MAX_CHANNEL_MESSAGE), SCTP_PORT)
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
        value = ":".join(f"{byte:02X}" for byte in fingerprint)
        await self._dtls.start(
            _dtls.RTCDtlsParameters(fingerprints=[_dtls.RTCDtlsFingerprint(algorithm="sha-256", value=value)])
        )
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
        ssl = self._dtls._ssl
        if ssl is None or not self._dtls.encrypted:
            raise RuntimeError("DTLS is not connected")
        secret: bytes = ssl.export_keying_material(label, length)
        return secret

    @property
    def binding(self) -> bytes:
        """See `Link.binding`."""
        return self.export(32, BINDING_LABEL)

    @property
    def is_dtls_client(self) -> bool:
        """Whether this end began the DTLS handshake: it tells the two directions of `export` apart."""
        return bool(self._dtls._role == "client")

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
        parameters = _datachannel.RTCDataChannelParameters(
            label=label,
            negotiated=negotiated is not None,
            id=negotiated,
            ordered=reliable,
            maxRetransmits=None if reliable else 0,
        )
        return self._adopt(RTCDataChannel(self._sctp, parameters), self._ours)

    def _adopt(self, inner: RTCDataChannel, side: set[WebRtcChannel]) -> WebRtcChannel:
        channel = WebRtcChannel(self, inner)
        side.add(channel)
        inner.on("close", lambda: side.discard(channel))
        return channel

    def _accept(self, inner: RTCDataChannel) -> None:
        self._accepted.put_nowait(self._adopt(inner, self._theirs))

    def _dtls_changed(self) -> None:
        if self._dtls.state in ("closed", "failed"):
            ssl = self._dtls._ssl
            goodbye = ssl is not None and ssl.get_shutdown() & _dtls.SSL.RECEIVED_SHUTDOWN
            self._ended_by_peer(goodbye=bool(goodbye))

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
