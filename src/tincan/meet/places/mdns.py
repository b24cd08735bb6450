"""mDNS announcing and asking, the only module that knows zeroconf."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Final

from zeroconf import Error as ZeroconfError
from zeroconf import InterfaceChoice, IPVersion, NonUniqueNameException, NotRunningException
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from tincan.nat.addresses import interfaces

SERVICE: Final = "_tin-can._tcp.local."
FIRST_PAUSE: Final = 0.4
"""Seconds from an answer that led nowhere to the next: a door is announced a bit longer than it is open."""

MAX_ADDRESSES: Final = 16
"""Addresses tried of one answer; an answer is anybody's."""


@contextlib.asynccontextmanager
async def announcing(tag: str, port: int) -> AsyncIterator[None]:
    """Announce that the can with this tag listens on a port; `OSError` where multicast is refused."""
    async with _zeroconf() as zeroconf:
        outward = [i.address for i in interfaces() if not i.address.is_loopback]
        addresses = outward or [i.address for i in interfaces()]
        info = AsyncServiceInfo(
            SERVICE,
            f"{tag}.{SERVICE}",
            port=port,
            addresses=[a.packed for a in addresses],
            server=f"{tag}.local.",
        )
        try:
            # Asking first whether the name is taken costs 0.7 s, and only our own string code gives it.
            await (await zeroconf.async_register_service(info, cooperating_responders=True))
        except (NonUniqueNameException, ZeroconfError) as exc:
            raise OSError(str(exc) or "the name is taken") from exc
        yield


@contextlib.asynccontextmanager
async def asking(tag: str, seconds: float) -> AsyncIterator[AsyncIterator[tuple[list[str], int]]]:
    """Ask for the can with this tag until it answers, again and again; `OSError` as above.

    An answer is asked for ``seconds`` long; between two answers there is at most that time.
    """
    async with _zeroconf() as zeroconf:

        async def answers() -> AsyncIterator[tuple[list[str], int]]:
            pause = FIRST_PAUSE
            while True:
                info = AsyncServiceInfo(SERVICE, f"{tag}.{SERVICE}")
                if await info.async_request(zeroconf.zeroconf, seconds * 1000) and info.port:
                    yield info.parsed_scoped_addresses()[:MAX_ADDRESSES], info.port
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, seconds)

        yield answers()


@contextlib.asynccontextmanager
async def _zeroconf() -> AsyncIterator[AsyncZeroconf]:
    zeroconf = _open()
    # Closed while it is still starting, zeroconf forgets its sockets, so the start is always waited for.
    starting = asyncio.ensure_future(zeroconf.zeroconf.async_wait_for_start())
    try:
        await asyncio.shield(starting)
        yield zeroconf
    except NotRunningException as exc:
        raise OSError("mDNS does not start") from exc
    finally:
        # A second cancellation must not interrupt it: the sockets would stay open.
        await asyncio.shield(asyncio.ensure_future(_close(zeroconf, starting)))


async def _close(zeroconf: AsyncZeroconf, starting: asyncio.Future[None]) -> None:
    with contextlib.suppress(NotRunningException):
        await starting
    await zeroconf.async_close()


def _open() -> AsyncZeroconf:
    """Open mDNS sockets on every interface, IPv6 too where the machine has it."""
    versions = [IPVersion.All, IPVersion.V4Only] if socket.has_ipv6 else [IPVersion.V4Only]
    for version in versions:
        try:
            return AsyncZeroconf(interfaces=InterfaceChoice.All, ip_version=version)
        except OSError as exc:
            refused = exc
    raise refused
