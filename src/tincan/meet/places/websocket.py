"""A WebSocket to a switchboard: its name looked up by ourselves, and every way to fail as one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import types
from collections.abc import AsyncIterator
from socket import gaierror
from typing import Any, Final

from tincan.nat.resolve import resolve

CONNECT_TIMEOUT: Final = 8.0


class WebSocketTrouble(Exception):
    """It cannot be reached, or not talked to, now. The text follows the name of the place in a sentence."""


@contextlib.asynccontextmanager
async def websocket(url: str, *, max_size: int, max_queue: int) -> AsyncIterator[Any]:
    """Connect, and close at the end. Raises `WebSocketTrouble`, also for what goes wrong while it is used."""
    _without_metadata()
    _without_proxies()
    from websockets.asyncio.client import connect  # 55 ms that a LAN does not need
    from websockets.exceptions import InvalidHandshake, WebSocketException

    try:
        async with connect(
            url,
            open_timeout=CONNECT_TIMEOUT,
            close_timeout=0.5,
            max_size=max_size,
            max_queue=max_queue,
            compression=None,
            user_agent_header=None,
            **await _address(url),
        ) as socket:
            yield socket
    except (InvalidHandshake, ValueError) as exc:  # ValueError: sent elsewhere, which is not followed
        raise WebSocketTrouble(f"answered, but not as a switchboard does ({exc})") from exc
    except WebSocketException as exc:
        raise WebSocketTrouble("broke the connection") from exc
    except TimeoutError as exc:
        raise WebSocketTrouble("does not answer") from exc
    except OSError as exc:
        raise WebSocketTrouble(f"cannot be reached ({_why(exc)})") from exc


def _without_metadata() -> None:
    """Keep websockets from loading importlib.metadata, 15 ms, for the version number that it tells every server."""
    if "websockets.version" not in sys.modules:
        version = types.ModuleType("websockets.version")
        version.tag = version.version = version.commit = "0"  # type: ignore[attr-defined]
        sys.modules["websockets.version"] = version


def _without_proxies() -> None:
    """Keep websockets from loading urllib.request, 10 ms with the e-mail in it, to find that there is no proxy.

    Elsewhere than on macOS and Windows only the environment can name one.
    """
    named = any(
        value and name.lower().endswith("_proxy") for name, value in os.environ.items() if name.lower() != "no_proxy"
    )
    if not named and sys.platform not in ("darwin", "win32") and "websockets.proxy" not in sys.modules:
        proxy: Any = types.ModuleType("websockets.proxy")
        proxy.get_proxy = lambda uri: None
        proxy.__getattr__ = lambda name: None  # whatever else a version imports from there is for proxies only
        sys.modules["websockets.proxy"] = proxy


async def _address(url: str) -> dict[str, Any]:
    """Resolve the name ourselves (see `tincan.nat.resolve`), unless a proxy will do it."""
    from websockets.proxy import get_proxy
    from websockets.uri import parse_uri

    uri = parse_uri(url)
    if get_proxy(uri) is not None:
        return {}
    async with asyncio.timeout(CONNECT_TIMEOUT):
        addresses = await resolve(uri.host, uri.port)
    if len(addresses) > 1:
        return {"happy_eyeballs_delay": 0.25}  # several: let asyncio race them (the answer is cached now)
    return {"host": addresses[0][1], "port": uri.port}


def _why(exc: OSError) -> str:
    # asyncio puts "Connect call failed" and the address in place of what the system says.
    system = os.strerror(exc.errno) if exc.errno and not isinstance(exc, gaierror) else None
    text = system or exc.strerror or str(exc) or type(exc).__name__
    return text.lower() if text[:1].isupper() and not text[:2].isupper() else text
