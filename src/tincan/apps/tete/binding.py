"""The proof of a phrase inside TLS, as bytes: what binds it to one TLS connection, and how its messages are framed.

The handshake runs under a channel identifier (RFC 5056) made of a hash of the
certificate that the TLS server has shown, as ``tls-server-end-point`` has it
(RFC 5929 section 4). Somebody in the middle has two TLS connections and can
show the client only a certificate whose key he has, so the two ends see
different ones and no confirmation tag that he relays verifies. RFC 5929 names
no hash for Ed25519; SHA-256 is meant here. ``tls-exporter`` (RFC 9266) would
need nothing of the certificate, but Python's ssl has no exporter before 3.13.

A message is its length in two bytes, big-endian, and itself.
"""

from __future__ import annotations

import hashlib
from typing import Final

from tincan.errors import ProtocolError
from tincan.meet.phrase import StringKeys

HEAD: Final = 2
MAX_MESSAGE: Final = 1024
"""Bytes in one message of the handshake; its envelopes are empty, so all have less than 200."""

_LABEL: Final = b"tin-can/1 tete "


def bound_keys(keys: StringKeys, certificate: bytes) -> StringKeys:
    """Return keys for the handshake that are good only where the TLS server has shown this certificate (DER)."""
    digest = hashlib.sha256(_LABEL + hashlib.sha256(certificate).digest()).hexdigest()
    return StringKeys(f"tete {digest}", keys.password)


def framed(message: bytes) -> bytes:
    """Return a message as it is sent."""
    return len(message).to_bytes(HEAD, "big") + message


def length_in(head: bytes) -> int:
    """Return the length that a head announces; raise `ProtocolError` when no message has it."""
    length = int.from_bytes(head, "big")
    if not 0 < length <= MAX_MESSAGE:
        raise ProtocolError("What came from the other end is no proof of a phrase.")
    return length
