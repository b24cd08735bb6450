"""URLs of places as users write them, checked before anything uses them. Pure."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping

from tincan.errors import UsageError

HTTP = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
WEBSOCKET = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
"""Which scheme is meant by which: a switchboard is known by either name of its protocol."""


def place_url(text: str, what: str, schemes: Mapping[str, str]) -> urllib.parse.SplitResult:
    """Return the URL that a user gives for ``what``, without its last slash; `UsageError` when it is none.

    ``schemes``: `HTTP` or `WEBSOCKET`. A bare host means TLS.
    """
    text = text.strip()
    secure = schemes["https"]
    if "://" not in text:
        text = f"{secure}://{text}"
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError:
        raise UsageError(f"{text!r} is not a URL of {what}.") from None
    scheme = schemes.get(parts.scheme)
    odd = "@" in parts.netloc or " " in text or not text.isprintable() or parts.query or parts.fragment
    if scheme is None or not parts.hostname or odd or port == 0:
        raise UsageError(f"{text!r} is not a URL of {what}; write {secure}://HOST[:PORT].")
    return parts._replace(scheme=scheme, path=parts.path.rstrip("/"), query="", fragment="")
