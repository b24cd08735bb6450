"""aiortc's transports as a link uses them: DTLS (RFC 8827), SCTP and its data channels (RFC 8831).

The only module that knows aiortc. Its RTCPeerConnection is not used: there is
no session description to parse from a peer, and text needs neither the audio
and video codecs that it loads nor their time to load (`_load`).

aiortc 1.16 is driven below its documented surface here; that version is fixed
in pyproject.toml, and `tests/unit/link/test_adapters.py` fails when a name
has moved.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import sys
import types
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, Final

from tincan.link.ice import IceAgent
from tincan.link.interface import MAX_CHANNEL_MESSAGE
from tincan.link.sctp import MAX_HELD, Hostile, check_acknowledgement, check_unfinished
from tincan.link.srtp import Incoming, is_rtcp


def _load() -> None:
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


_load()
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

DataChannel = RTCDataChannel
"""aiortc's data channel, as it is: `tincan.link.datachannel` makes a `Channel` of it."""

logger = logging.getLogger(__name__)

SCTP_PORT: Final = 5000
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


class Dtls(RTCDtlsTransport):
    """aiortc's DTLS over an ICE agent, which hands out received RTP and RTCP as bytes, and protects ours.

    aiortc's own receivers, with their jitter buffer and codecs, are not used.
    """

    def __init__(self, agent: IceAgent, certificate: Certificate) -> None:
        self._below = _Ice(agent)
        super().__init__(self._below, [certificate])  # type: ignore[arg-type]
        self.hear: Callable[[bytes], None] | None = None

    # -- the handshake ---------------------------------------------------------

    def take_ice_role(self, *, controlling: bool) -> None:
        """Take the role in ICE that was not known yet: the one that is controlled begins the handshake."""
        self._below.take_role(controlling=controlling)

    def take_role(self, *, client: bool) -> None:
        """Be the one that begins the handshake, or not, whatever the role in ICE is."""
        self._set_role("client" if client else "server")

    async def shake_hands(self, fingerprint: bytes) -> None:
        """Connect to whoever has the certificate with this SHA-256.

        The state is "connected" then, or `encrypted` says whether somebody
        answered who has another one.
        """
        value = ":".join(f"{byte:02X}" for byte in fingerprint)
        await self.start(
            _dtls.RTCDtlsParameters(fingerprints=[_dtls.RTCDtlsFingerprint(algorithm="sha-256", value=value)])
        )

    @property
    def is_client(self) -> bool:
        """Whether this end began the handshake."""
        return bool(self._role == "client")

    @property
    def said_goodbye(self) -> bool:
        """Whether the peer has closed it in good order."""
        return self._ssl is not None and bool(self._ssl.get_shutdown() & _dtls.SSL.RECEIVED_SHUTDOWN)

    def export(self, label: bytes, length: int) -> bytes:
        """Return secret bytes that only the two ends have (RFC 5705); `RuntimeError` before the handshake."""
        if self._ssl is None or not self.encrypted:
            raise RuntimeError("DTLS is not connected")
        secret: bytes = self._ssl.export_keying_material(label, length)
        return secret

    # -- media -----------------------------------------------------------------

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


class Sctp(RTCSctpTransport):
    """aiortc's SCTP, which also tells when all is acknowledged, waits for a slow reader, and bounds its memory.

    ``full`` says whether there is no room for more data, ``may_open`` whether
    the peer may open another channel; ``ended`` is called at the end.
    """

    def __init__(
        self,
        transport: Dtls,
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

    async def associate(self) -> None:
        """Begin the association; `settled` says when there is one."""
        await self.start(_sctp.RTCSctpCapabilities(maxMessageSize=2 * MAX_CHANNEL_MESSAGE), SCTP_PORT)

    def open(self, label: str, *, negotiated: int | None, reliable: bool) -> DataChannel:
        """Open a channel; with a stream number ``negotiated`` the peer opens the same one itself."""
        parameters = _datachannel.RTCDataChannelParameters(
            label=label,
            negotiated=negotiated is not None,
            id=negotiated,
            ordered=reliable,
            maxRetransmits=None if reliable else 0,
        )
        return RTCDataChannel(self, parameters)

    async def take_held(self) -> None:
        """Take the data that waited for room, as far as there is room now."""
        with contextlib.suppress(ConnectionError):
            await self._take_held()

    def end(self) -> None:
        """End without a word to the peer."""
        self._set_state(self.State.CLOSED)

    async def _take_held(self) -> None:
        async with self._breaking():
            while self._held and not self._full() and not self._over:
                await self._take_data(self._held.pop(next(iter(self._held))))
            if self._sack_needed and not self._over:
                await self._send_sack()

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
        check_unfinished(
            pieces=sum(len(stream.reassembly) for stream in self._inbound_streams.values()),
            misordered=len(self._sack_misordered),
            window=self._advertised_rwnd,
            streams=len(self._inbound_streams),
        )

    async def _receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        opens = pp_id == _sctp.WEBRTC_DCEP and data[:1] == bytes([_sctp.DATA_CHANNEL_OPEN])
        if opens and not self._may_open():
            raise Hostile("the peer opens too many channels")
        await super()._receive(stream_id, pp_id, data)

    async def _receive_sack_chunk(self, chunk: Any) -> None:
        check_acknowledgement(last_sent=self._local_tsn - 1, cumulative=chunk.cumulative_tsn, gaps=chunk.gaps)
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
