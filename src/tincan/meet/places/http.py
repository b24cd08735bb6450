"""HTTP for the places that speak it: a session of aiohttp as we want it, and plain words for its failures.

aiohttp takes a third of a second to load, so it is loaded in a thread, and
only by who asks for a session. Names are resolved by `tincan.nat.resolve`, so
that a resolver which does not answer cannot hold up the end of the program;
proxies are those of the environment, as everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

from tincan.meet.urls import HTTP, place_url
from tincan.nat.resolve import resolve

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from aiohttp.abc import AbstractResolver

CONNECT_TIMEOUT: Final = 8.0
"""Seconds for name, TCP, proxy and TLS together."""


def base_url(text: str, what: str) -> str:
    """Return the URL that a user gives for ``what``, without its last slash; `UsageError` when it is none."""
    return place_url(text, what, HTTP).geturl()


def proxy_of(url: str) -> str | None:
    """Return the proxy that the environment (or the system) names for a URL."""
    parts = urllib.parse.urlsplit(url)
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxies = urllib.request.getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


@contextlib.asynccontextmanager
async def http_session() -> AsyncIterator[ClientSession]:
    """Yield a session without cookies and compression, which says nothing of this machine; closed at the end."""
    await asyncio.to_thread(__import__, "aiohttp")
    import aiohttp

    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=_resolver()),
        timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent",),
        # Nobody makes us unpack a bomb: what comes compressed in spite of this is not understood.
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    ) as session:
        yield session


async def read_bounded(response: ClientResponse, limit: int) -> bytes:
    """Return the body of an answer; raise `ValueError` when it is longer than ``limit``."""
    data = b""
    while chunk := await response.content.read(limit + 1 - len(data)):
        data += chunk
        if len(data) > limit:
            raise ValueError("too long an answer")
    return data


def explain(exc: Exception) -> tuple[str, bool] | None:
    """Say what is wrong with a server (after its name), and whether it is no use to try again.

    None for what is no failure of the network and its servers.
    """
    import aiohttp

    match exc:
        case TimeoutError():
            return "does not answer", False
        case aiohttp.ClientConnectorCertificateError():
            return "shows a certificate that is not valid for it", True
        case aiohttp.ClientSSLError():
            return "speaks no TLS that we understand; is it http:// instead of https://?", True
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            return "cannot be reached through the proxy of this machine's settings", False
        case aiohttp.ClientConnectorError():
            return f"cannot be reached ({_why(exc.os_error)})", False
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientPayloadError() | OSError():
            return "broke the connection", False
        case aiohttp.ClientError() | ValueError():
            return "says what makes no sense", False
    return None


def _resolver() -> AbstractResolver:
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Resolver(AbstractResolver):
        """Asks `tincan.nat.resolve`."""

        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            return [
                ResolveResult(
                    hostname=host, host=address, port=port, family=found, proto=0, flags=socket.AI_NUMERICHOST
                )
                for found, address in await resolve(host, port)
                if family in (socket.AF_UNSPEC, found)
            ]

        async def close(self) -> None:
            """Nothing is held."""

    return Resolver()


def _why(exc: OSError) -> str:
    system = os.strerror(exc.errno) if exc.errno and not isinstance(exc, socket.gaierror) else None
    text = system or exc.strerror or type(exc).__name__
    return text.lower() if text[:1].isupper() and not text[:2].isupper() else text
