"""STUN and TURN servers: their URLs (RFC 7064, RFC 7065), checked before anything uses them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from tincan.errors import UsageError

_URL = re.compile(
    r"(?P<scheme>stun|turns?):(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?"
    r"(\?transport=(?P<transport>udp|tcp))?"
)


@dataclass(frozen=True)
class IceServer:
    """A server that helps ICE. ``transport`` is how TURN itself is reached: udp, tcp or tls."""

    kind: str
    """``stun`` or ``turn``."""

    host: str
    port: int
    transport: str = "udp"
    username: str | None = None
    credential: str | None = field(default=None, repr=False)


def parse_server(url: str, username: str | None = None, credential: str | None = None) -> IceServer:
    """Read ``stun:HOST[:PORT]`` or ``turn[s]:HOST[:PORT][?transport=udp|tcp]``; `UsageError` otherwise."""
    match = _URL.fullmatch(url.strip())
    if match is None:
        raise UsageError(f"{url!r} is not a STUN or TURN URL; write stun:HOST[:PORT] or turn:HOST[:PORT].")
    scheme, transport = match["scheme"], match["transport"]
    port = int(match["port"]) if match["port"] else (5349 if scheme == "turns" else 3478)
    if not 0 < port < 65536:
        raise UsageError(f"{url!r} has a port outside 1 to 65535.")
    host = match["host"].strip("[]")
    if scheme == "stun":
        if transport:
            raise UsageError(f"{url!r}: a STUN URL has no transport (RFC 7064).")
        return IceServer("stun", host, port)
    if scheme == "turns":
        if transport == "udp":
            raise UsageError(f"{url!r}: TURN over DTLS is not supported; use turns: over TCP.")
        return IceServer("turn", host, port, "tls", username, credential)
    return IceServer("turn", host, port, transport or "udp", username, credential)
