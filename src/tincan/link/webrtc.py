"""The link over WebRTC: the only module that knows aiortc.

A link is ICE (`tincan.link.ice`), DTLS with the fingerprint from the sealed
envelope, and SCTP with data channels (RFC 8831), made of aiortc's transport
objects. Its RTCPeerConnection is not used: there is no session description
to parse from a peer, and text needs neither the audio and video codecs that it
loads nor their time to load (`_transports`).

aiortc 1.16 is driven below its documented surface in a few places, named in
`_Sctp` and `_Ice`; that version is fixed in pyproject.toml, and
`tests/unit/link/test_webrtc.py` fails when they move.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from tincan.errors import AuthenticationFailed, NoPath
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
from tincan.meet.mailbox import Side
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

SCTP_PORT: Final = 5000
SEND_BUFFER: Final = 256 * 1024
"""Bytes a channel takes before `send` waits."""

RECEIVE_BUFFER: Final = 1024 * 1024
"""Bytes of unread messages before the link stops reading (the peer's window then closes)."""

MAX_CHANNELS: Final = 64
"""Channels of one link; a peer that opens more is refused."""


class _Ice:
    """What aiortc's DTLS transport asks of its ICE transport: three names of RTCIceTransport."""

    def __init__(self, agent: IceAgent) -> None:
        self._recv = agent.recv
        self._send = agent.send
        self.role = "controlling" if agent.ice_controlling else "controlled"


class _Sctp(RTCSctpTransport):
    """aiortc's SCTP, which also tells when all is acknowledged and waits for a slow reader."""

    def __init__(self, transport: RTCDtlsTransport, room: Callable[[], Any]) -> None:
        super().__init__(transport, SCTP_PORT)
        self.idle = asyncio.Event()
        self.idle.set()
        self.broken = False
        self._room = room

    async def _handle_data(self, data: bytes) -> None:
        try:
            await super()._handle_data(data)
        except ConnectionError:
            raise
        except Exception as exc:
            # aiortc asserts on, or fails to unpack, some packets that a peer should not send.
            self.broken = True
            logger.info("the peer broke SCTP: %r", exc)
            raise ConnectionError("the peer broke SCTP") from exc

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        opens = pp_id == _sctp.WEBRTC_DCEP and data[:1] == bytes([_sctp.DATA_CHANNEL_OPEN])
        # aiortc asserts on the first of these and keeps any number of the second.
        if opens and (stream_id in self._data_channels or len(self._data_channels) >= MAX_CHANNELS):
            self.broken = True
            raise ConnectionError("the peer opened a channel that it may not open")
        await super()._receive(stream_id, pp_id, data)
        await self._room()

    async def _receive_sack_chunk(self, chunk: Any) -> None:
        await super()._receive_sack_chunk(chunk)
        if not (self._sent_queue or self._outbound_queue or self._data_channel_queue):
            self.idle.set()

    def _data_channel_send(self, channel: RTCDataChannel, data: bytes | str) -> None:
        self.idle.clear()
        super()._data_channel_send(channel, data)

    def _set_state(self, state: Any) -> None:
        super()._set_state(state)
        if state is self.State.CLOSED:
            self.idle.set()


class WebRtcChannel:
    """A data channel as a `tincan.link.interface.Channel`."""

    def __init__(self, link: WebRtcLink, channel: RTCDataChannel) -> None:
        self._link = link
        self._channel = channel
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._unread = 0
        self._lower = asyncio.Event()
        channel.bufferedAmountLowThreshold = SEND_BUFFER // 2
        channel.on("message", self._take)
        channel.on("bufferedamountlow", self._lower.set)
        channel.on("close", self._end)

    @property
    def label(self) -> str:
        """See `Channel.label`."""
        return self._channel.label

    @property
    def unread(self) -> int:
        """Bytes received that nobody took yet."""
        return self._unread

    async def send(self, message: bytes) -> None:
        """See `Channel.send`."""
        if len(message) > MAX_CHANNEL_MESSAGE:
            raise ValueError("message too long for a channel")
        while self._channel.readyState == "open" and self._channel.bufferedAmount > SEND_BUFFER:
            self._lower.clear()
            await self._lower.wait()
        if self._channel.readyState != "open":
            raise ChannelClosed("The link has ended.")
        self._channel.send(message)

    async def receive(self) -> bytes:
        """See `Channel.receive`."""
        message = await self._inbox.get()
        if message is None:
            self._inbox.put_nowait(None)
            raise ChannelClosed("The link has ended.")
        self._unread -= len(message)
        self._link.made_room()
        return message

    async def drain(self) -> None:
        """See `Channel.drain`."""
        await self._link.drain()

    async def close(self) -> None:
        """See `Channel.close`."""
        if self._channel.readyState == "open":
            await self._link.drain()
        self._channel.close()

    def _take(self, message: bytes | str) -> None:
        data = message.encode() if isinstance(message, str) else message
        self._unread += len(data)
        self._inbox.put_nowait(data)

    def _end(self) -> None:
        self._inbox.put_nowait(None)
        self._lower.set()


class WebRtcLink:
    """One connection to one peer. `gather`, `description`, then `connect`; see `Link` for the rest."""

    def __init__(self, side: Side, *, relay_only: bool = False) -> None:
        # The tapping can makes the offer, so it controls (RFC 8445 section 6.1.1).
        self.ice = IceAgent(controlling=side is Side.TAP, relay_only=relay_only)
        self._certificate = _dtls.RTCCertificate.generateCertificate()
        self._dtls = RTCDtlsTransport(_Ice(self.ice), [self._certificate])  # type: ignore[arg-type]
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._sctp = _Sctp(self._dtls, self._roomy.wait)
        self._channels: list[WebRtcChannel] = []
        self._accepted: asyncio.Queue[WebRtcChannel | None] = asyncio.Queue()
        self._closed = asyncio.Event()
        self._closing = False
        self._reason: CloseReason | None = None
        self._path = Path.DIRECT_UDP
        self._control = self._channel(CONTROL_LABEL, negotiated=0)
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

    def description(self, candidates: tuple[Candidate, ...], *, complete: bool) -> Description:
        """Return this side's offer or answer with the candidates known so far."""
        digest = next(f for f in self._certificate.getFingerprints() if f.algorithm == "sha-256")
        return Description(
            ufrag=self.ice.local_username,
            pwd=self.ice.local_password,
            fingerprint=bytes.fromhex(digest.value.replace(":", "")),
            candidates=candidates,
            complete=complete,
        )

    async def connect(self, remote: Description) -> None:
        """Connect to the peer that sent ``remote``; its candidates are added by the caller.

        Raises `NoPath` when no candidate pair works, `AuthenticationFailed`
        when whoever answers there has another certificate than the one in the
        sealed envelope.
        """
        await self._find_path(remote)
        logger.info("path found: %s", self._path.value)
        try:
            async with asyncio.timeout(DTLS_TIMEOUT):
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
            async with asyncio.timeout(ICE_TIMEOUT):
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
        channel = self._control._channel
        if channel.readyState != "open":
            opened = asyncio.Event()
            channel.on("open", opened.set)
            await opened.wait()

    # -- Link ------------------------------------------------------------------

    @property
    def control(self) -> WebRtcChannel:
        """See `Link.control`."""
        return self._control

    @property
    def status(self) -> LinkStatus:
        """See `Link.status`."""
        self._path = self.ice.path or self._path
        return LinkStatus(self._path, self.ice.round_trip)

    async def open_channel(self, label: str) -> WebRtcChannel:
        """See `Link.open_channel`."""
        if self._closed.is_set():
            raise ChannelClosed("The link has ended.")
        channel = self._channel(label)
        opened = asyncio.Event()
        inner = channel._channel
        inner.on("open", opened.set)
        inner.on("close", opened.set)
        if inner.readyState == "connecting":
            await opened.wait()
        return channel

    async def accept_channel(self) -> WebRtcChannel:
        """See `Link.accept_channel`."""
        channel = await self._accepted.get()
        if channel is None:
            self._accepted.put_nowait(None)
            raise ChannelClosed("The link has ended.")
        return channel

    async def wait_closed(self) -> CloseReason:
        """See `Link.wait_closed`."""
        await self._closed.wait()
        return self._reason or CloseReason.LOST

    async def close(self) -> None:
        """See `Link.close`."""
        if self._closing:
            return
        self._closing = True
        self._finish(CloseReason.LOCAL)
        with contextlib.suppress(ConnectionError):
            await self._sctp.stop()
        with contextlib.suppress(ConnectionError):
            await self._dtls.stop()
        await self.ice.close()

    # -- inside ------------------------------------------------------------------

    async def drain(self) -> None:
        """Wait until the peer has acknowledged everything sent, or the link has ended."""
        if not self._closed.is_set():
            await self._sctp.idle.wait()

    def made_room(self) -> None:
        """Tell that somebody took a message, so reading may go on."""
        if sum(channel.unread for channel in self._channels) <= RECEIVE_BUFFER:
            self._roomy.set()

    def _channel(self, label: str, *, negotiated: int | None = None) -> WebRtcChannel:
        parameters = _datachannel.RTCDataChannelParameters(
            label=label, negotiated=negotiated is not None, id=negotiated
        )
        return self._adopt(RTCDataChannel(self._sctp, parameters))

    def _adopt(self, inner: RTCDataChannel) -> WebRtcChannel:
        channel = WebRtcChannel(self, inner)
        inner.on("message", self._count)
        self._channels.append(channel)
        inner.on("close", lambda: self._channels.remove(channel))
        return channel

    def _count(self, _: object) -> None:
        if sum(channel.unread for channel in self._channels) > RECEIVE_BUFFER:
            self._roomy.clear()

    def _accept(self, inner: RTCDataChannel) -> None:
        self._accepted.put_nowait(self._adopt(inner))

    def _dtls_changed(self) -> None:
        if self._dtls.state in ("closed", "failed"):
            # aioice's connection is closed by its own consent check only when the
            # peer went silent; an orderly end comes by DTLS while it is still open.
            if self._sctp.broken:
                self._finish(CloseReason.BROKEN)
            else:
                self._finish(CloseReason.LOST if self.ice.path is None else CloseReason.PEER)

    def _finish(self, reason: CloseReason) -> None:
        if self._reason is None:
            self._reason = reason
            self._closed.set()
            self._roomy.set()
            self._accepted.put_nowait(None)
            logger.info("link closed: %s", reason.value)
