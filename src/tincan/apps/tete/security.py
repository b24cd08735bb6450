"""TLS as tete speaks it: who is client follows from the addresses, and the server's certificate proves nothing.

Which program is at the other end, and whether it has a phrase, is agreed on in
the TLS handshake itself (ALPN, RFC 7301): the client offers two names, and the
server knows two of the same three. tete offers and knows none, and where one
end has a phrase and the other has not, the third is what they have in common,
so both can say so at once.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import ssl
from dataclasses import dataclass, field
from typing import Final

from tincan.link.interface import Path, StreamBroken
from tincan.link.tls import HANDSHAKE_TIMEOUT, Certificate, KeyKind, TlsStream, fresh_certificate


class Peer(enum.Enum):
    """What is at the other end. The values are its names in ALPN; they are part of the protocol."""

    PROVES = "tin-can-tete-phrase"
    """tin-can, with a phrase as we have one."""
    PLAIN = "tin-can-tete"
    """tin-can, without a phrase as we are."""
    DIFFERS = "tin-can-tete-differs"
    """tin-can, and of the two of us just one has a phrase."""
    TETE = ""
    """No tin-can: tete, as it seems."""


@dataclass(frozen=True)
class Connection:
    """A TLS connection to the peer. ``sock`` is under ``stream``, and closes with it."""

    sock: socket.socket
    stream: TlsStream
    peer: Peer
    certificate: bytes = field(repr=False)
    """What the server has shown, DER."""


class Security:
    """How this end does TLS: its role, its certificate, and whether it has a phrase."""

    def __init__(self, *, client: bool, proves: bool) -> None:
        self.client = client
        self._certificate: Certificate | None = None if client else fresh_certificate(KeyKind.ED25519)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if client else ssl.PROTOCOL_TLS_SERVER)
        # tete takes either; the proof of a phrase is ours alone, and so is what TLS 1.3 leaves behind.
        self._context.minimum_version = ssl.TLSVersion.TLSv1_3 if proves else ssl.TLSVersion.TLSv1_2
        self._context.set_alpn_protocols([(Peer.PROVES if proves else Peer.PLAIN).value, Peer.DIFFERS.value])
        if self._certificate is None:
            self._context.check_hostname = False
            self._context.verify_mode = ssl.CERT_NONE
        else:
            self._context.num_tickets = 0  # a session is never resumed
            self._certificate.load(self._context)

    async def secure(self, sock: socket.socket, timeout: float = HANDSHAKE_TIMEOUT) -> Connection:
        """Do TLS on a connected socket, which is closed when that fails.

        Raises `OSError` (`ssl.SSLError` and `TimeoutError` among them).
        """
        stream = TlsStream(sock, self._context, server=not self.client, path=Path.DIRECT_TCP)
        try:
            async with asyncio.timeout(timeout):
                await stream.handshake()
        except StreamBroken as exc:
            await stream.close()
            raise ConnectionResetError("broken right after the handshake") from exc
        except BaseException:
            await stream.close()
            raise
        shown = self._certificate.der if self._certificate is not None else stream.peer_certificate
        return Connection(sock, stream, Peer(stream.protocol or ""), shown or b"")


UNAUTHENTICATED: Final = (
    "The peer is not authenticated: anybody on the path could be in the middle. Use --phrase on both ends."
)
