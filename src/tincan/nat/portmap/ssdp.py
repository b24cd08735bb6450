"""SSDP: how a router with UPnP is found (UPnP Device Architecture 1.1, section 1.3), and where it may point us.

Anybody on the network can answer a search. An answer counts only if it points
to the machine that sent it, and `Router.may_be` says that this is a router.
"""

from __future__ import annotations

from typing import Final

from tincan.nat.portmap.http1 import Url, parse_headers, parse_url

GROUP: Final = "239.255.255.250"
PORT: Final = 1900
TARGETS: Final = (
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:device:InternetGatewayDevice:2",
)
"""What is searched for; a version 2 answers to 1 as well, where it follows the rules."""

_LARGEST: Final = 4096


def search(target: str, host: str = GROUP) -> bytes:
    """Return a search; to the group, or to one router (1.3.2: then without MX, answered at once)."""
    lines = ["M-SEARCH * HTTP/1.1", f"HOST: {host}:{PORT}", 'MAN: "ssdp:discover"', f"ST: {target}"]
    if host == GROUP:
        lines.insert(3, "MX: 1")  # answers come within that second
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def parse_found(data: bytes, source: str) -> Url | None:
    """Return where the description of the router at ``source`` is; None for what is no such answer."""
    if len(data) > _LARGEST:
        return None
    first, *lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
    if not first.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
        return None
    headers = parse_headers(lines)
    if headers.get("st") not in TARGETS:
        return None
    url = parse_url(headers.get("location", ""))
    return url if url is not None and url.host == source else None
