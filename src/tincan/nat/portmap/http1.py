"""The little of HTTP/1.1 that UPnP needs, as a core: URLs, a request's bytes, and an answer as it comes in.

An HTTP library takes longer to load than all of this takes to run. No
redirects, no names, no keeping of connections, and a bound on everything.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from tincan.nat.portmap.mapping import NoMapping

MAX_HEAD: Final = 8 * 1024
"""Bytes of status line and headers, and of the framing of a chunked body."""

_URL: Final = re.compile(r"http://([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?::([0-9]{1,5}))?(/[!-~]{0,1000})?", re.IGNORECASE)
_PATH: Final = re.compile(r"[!-~]{1,1000}")
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: .*)?")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,7})[ \t]*(?:;.*)?")


@dataclass(frozen=True)
class Url:
    """An http URL of a machine on the local network; ``path`` includes the query."""

    host: str
    port: int
    path: str


def parse_url(text: str) -> Url | None:
    """Read a URL; None unless it is plain http to an IPv4 address, without user, blanks or line ends."""
    match = _URL.fullmatch(text)
    if match is None:
        return None
    try:
        host = str(ipaddress.IPv4Address(match[1]))
    except ValueError:
        return None
    port = int(match[2] or 80)
    return Url(host, port, match[3] or "/") if 0 < port < 65536 else None


def relative(base: Url, text: str) -> Url | None:
    """Read a URL that may be relative to another; None unless it leads to the same machine."""
    if "://" in text:
        url = parse_url(text)
        return url if url is not None and url.host == base.host else None
    if text.startswith("//") or not _PATH.fullmatch(text):
        return None
    folder = base.path.partition("?")[0].rpartition("/")[0]
    return Url(base.host, base.port, text if text.startswith("/") else f"{folder}/{text}")


def request(method: str, url: Url, headers: dict[str, str] | None = None, body: bytes = b"") -> bytes:
    """Return a whole request."""
    lines = [f"{method} {url.path} HTTP/1.1", f"Host: {url.host}:{url.port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def parse_headers(lines: list[bytes]) -> dict[str, str]:
    """Read header lines, names in lower case; a name that comes twice counts as it came first."""
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.decode("latin-1").partition(":")
        if colon:
            headers.setdefault(name.strip().lower(), value.strip())
    return headers


class Answer:
    """An answer as it comes in. Feed `receive` until it says True, or the connection ends, then `end`.

    Both raise `NoMapping` for what is no HTTP, or too large.
    """

    def __init__(self, limit: int) -> None:
        self.status = 0
        self._limit = limit
        self._data = bytearray()
        self._framing = 0  # bytes of head and of chunks' sizes
        self._body = bytearray()
        self._headers: dict[str, str] | None = None
        self._left: int | None = None  # of the body or the chunk; None: until the connection ends
        self._chunked = False

    def receive(self, data: bytes) -> bool:
        """Take what came; say whether the answer is complete."""
        self._data += data
        if self._headers is None and not self._take_head():
            return False
        if self._chunked:
            return self._take_chunks()
        self._take_body()
        return self._left == 0

    def end(self) -> bytes:
        """Return the body, all having come that comes."""
        if self._headers is None or self._left:
            raise NoMapping("its web server hung up early")
        return bytes(self._body)

    def _take_head(self) -> bool:
        while True:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            if len(head) > MAX_HEAD:
                raise NoMapping("its web server talks too much")
            if not found:
                return False
            first, *lines = bytes(head).split(b"\r\n")
            match = _STATUS.fullmatch(first)
            if match is None:
                raise NoMapping("its web server speaks no HTTP")
            self.status = int(match[1])
            self._framing += len(head)
            self._data = rest
            if self.status >= 200:  # not "100 Continue", which nobody asked for
                break
            if self._framing > MAX_HEAD:
                raise NoMapping("its web server talks too much")
        self._headers = parse_headers(lines)
        self._chunked = self._headers.get("transfer-encoding", "").lower() == "chunked"
        length = self._headers.get("content-length")
        if self._chunked:
            self._left = 1  # until the last chunk
        elif length is not None:
            if not (length.isascii() and length.isdigit() and len(length) < 10):
                raise NoMapping("its web server speaks no HTTP")
            self._left = int(length)
        self._check(self._left or 0)
        return True

    def _take_body(self) -> None:
        part = self._data if self._left is None else self._data[: self._left]
        self._check(len(part))
        self._body += part
        if self._left is not None:
            self._left -= len(part)
        self._data.clear()

    def _take_chunks(self) -> bool:
        while True:
            line, found, rest = self._data.partition(b"\r\n")
            match = _CHUNK.fullmatch(line)
            if not found and len(line) <= 1024:
                return False
            if match is None or not found:
                raise NoMapping("its web server speaks no HTTP")
            size = int(match[1], 16)
            if size == 0:
                self._left = 0  # what may follow the last chunk is of no interest
                return True
            self._check(size)
            if len(rest) < size + 2:
                return False
            self._framing += len(line) + 4
            if rest[size : size + 2] != b"\r\n" or self._framing > 2 * MAX_HEAD:
                raise NoMapping("its web server speaks no HTTP")
            self._body += rest[:size]
            self._data = rest[size + 2 :]

    def _check(self, more: int) -> None:
        if len(self._body) + more > self._limit:
            raise NoMapping("its web server talks too much")
