"""What a link lets in and out of its SRTP (RFC 3711, keyed by DTLS as in RFC 5764): part of `tincan.link.transports`.

libsrtp keeps a context for every source (SSRC) that an authenticated packet
named, for ever, and looks through them for each packet. So a peer gets
`MAX_SOURCES`, which are forgotten when nobody listens any more; each call has
a source of its own, so what is repeated then is of no call. While nobody
listens nothing is looked at.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import Any, Final

logger = logging.getLogger(__name__)

MAX_PACKET: Final = 1500
"""Bytes of a packet that is looked at, protected."""

MAX_SOURCES: Final = 64
"""Sources of one peer at a time; a call is one."""


def is_rtcp(packet: bytes) -> bool:
    """Whether it is RTCP and not RTP, as the two are told apart on one port (RFC 5761 section 4)."""
    return len(packet) > 1 and 192 <= packet[1] <= 223


class Incoming:
    """libsrtp's receiving session as aiortc's DTLS transport uses it, for packets of anybody on the network.

    ``refused``: libsrtp's own error, the one thing that aiortc expects besides a packet.
    """

    def __init__(self, session: Any, refused: type[Exception]) -> None:
        self._open = False
        self._session = session
        self._refused = refused
        self._sources: set[bytes] = set()

    @property
    def open(self) -> bool:
        """Whether somebody listens."""
        return self._open

    @open.setter
    def open(self, listened: bool) -> None:
        self._open = listened
        while not listened and self._sources:
            with contextlib.suppress(self._refused):
                self._session.remove_stream(int.from_bytes(self._sources.pop(), "big"))

    def unprotect(self, packet: bytes) -> bytes:
        """Return an RTP packet."""
        return self._take(packet, packet[8:12], self._session.unprotect)

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """Return an RTCP packet."""
        return self._take(packet, packet[4:8], self._session.unprotect_rtcp)

    def _take(self, packet: bytes, source: bytes, unprotect: Callable[[bytes], bytes]) -> bytes:
        if not self.open or len(packet) > MAX_PACKET:
            raise self._refused("nobody listens, or it is too long")
        known = source in self._sources
        if not known and len(self._sources) >= MAX_SOURCES:
            raise self._refused("too many sources")
        plain = unprotect(packet)
        if not known:
            self._sources.add(source)
        return plain


class SrtpMedia:
    """A link's `tincan.link.interface.Media`. ``transmit`` protects a packet and sends it, or raises."""

    def __init__(self, transmit: Callable[[bytes], None], stop: Callable[[], None]) -> None:
        self._transmit = transmit
        self._stop = stop
        self._closed = False

    def send(self, packet: bytes) -> None:
        """See `Media.send`."""
        if self._closed:
            return
        try:
            self._transmit(packet)
        except Exception as exc:  # of libsrtp, the socket or a relay: the sound of 20 ms, and no more, is lost
            logger.debug("a media packet was not sent: %r", exc)

    def close(self) -> None:
        """See `Media.close`."""
        if not self._closed:
            self._closed = True
            self._stop()
