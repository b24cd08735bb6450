"""A classic tin-can that somebody else wrote: WebRTC by aiortc's RTCPeerConnection, and DIALECT rules by hand.

It knows nothing of tin-can's code; what it does is written down in
docs/protocol.md section 4.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator

from aiortc import RTCConfiguration, RTCDataChannel, RTCPeerConnection, RTCSessionDescription

PATIENCE = 120.0


def pack(description: RTCSessionDescription) -> str:
    """Standard base64 without padding of the JSON."""
    text = json.dumps({"type": description.type, "sdp": description.sdp})
    return base64.b64encode(text.encode()).decode().rstrip("=")


def unpack(blob: str) -> RTCSessionDescription:
    assert "=" not in blob
    found = json.loads(base64.b64decode(blob + "=" * (-len(blob) % 4), validate=True))
    assert set(found) == {"type", "sdp"}
    assert "a=candidate:" in found["sdp"], "nothing trickles"
    return RTCSessionDescription(sdp=found["sdp"], type=found["type"])


class ClassicPeer:
    """One end: `offer` or `answer`, then `channel`, `heard` and `say`."""

    def __init__(self) -> None:
        self.connection = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.channel: RTCDataChannel | None = None
        self.packets: list[bytes] = []
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        self._opened = asyncio.Event()
        self.connection.on("datachannel", self._take)

    @classmethod
    @contextlib.asynccontextmanager
    async def there(cls) -> AsyncIterator[ClassicPeer]:
        peer = cls()
        try:
            yield peer
        finally:
            await peer.connection.close()

    async def offer(self, label: str) -> str:
        options = {"ordered": False, "maxRetransmits": 0} if label == "tin-can:voice" else {"ordered": True}
        self._take(self.connection.createDataChannel(label, **options))  # type: ignore[arg-type]
        await self.connection.setLocalDescription(await self.connection.createOffer())
        return pack(self.connection.localDescription)

    async def take_answer(self, blob: str) -> None:
        description = unpack(blob)
        assert description.type == "answer"
        await self.connection.setRemoteDescription(description)

    async def answer(self, blob: str) -> str:
        description = unpack(blob)
        assert description.type == "offer"
        await self.connection.setRemoteDescription(description)
        await self.connection.setLocalDescription(await self.connection.createAnswer())
        return pack(self.connection.localDescription)

    async def opened(self) -> RTCDataChannel:
        async with asyncio.timeout(PATIENCE):
            await self._opened.wait()
        assert self.channel is not None
        return self.channel

    async def say(self, message: str | bytes) -> None:
        (await self.opened()).send(message)

    async def heard(self) -> str | None:
        """Return the next text, or None at the end of the channel. What is no text goes into ``packets``."""
        async with asyncio.timeout(PATIENCE):
            return await self._heard.get()

    def _take(self, channel: RTCDataChannel) -> None:
        assert self.channel is None, "one channel only"
        self.channel = channel
        channel.on("message", self._sort)
        channel.on("close", lambda: self._heard.put_nowait(None))
        channel.on("open", self._opened.set)
        if channel.readyState == "open":
            self._opened.set()

    def _sort(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.packets.append(message)
        else:
            self._heard.put_nowait(message)
