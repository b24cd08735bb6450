"""UPnP: search for routers in our networks, and ask those that answer, one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Final

from tincan.nat.portmap import ssdp
from tincan.nat.portmap.datagrams import Inbox, endpoint
from tincan.nat.portmap.http1 import Url
from tincan.nat.portmap.igd import Igd
from tincan.nat.portmap.mapping import Granted, Method, NoMapping, Wanted
from tincan.nat.portmap.retry import Retries
from tincan.nat.portmap.routes import Router

SEARCH: Final = (1.0, 2.5)
"""Seconds after each of two searches; an answer may take one."""

MAX_DESCRIPTIONS: Final = 4
"""Descriptions read at most; who answers a search with a hundred is not listened to for longer."""


class UpnpMapper:
    """Asks by UPnP, the first router that answers the search and grants something."""

    method: Method = "upnp"

    def __init__(self, routers: Sequence[Router], wanted: Wanted) -> None:
        self._routers = routers
        self._wanted = wanted
        self._igd: Igd | None = None

    @property
    def asked(self) -> bool:
        """Whether a mapping was asked for, and not refused."""
        return self._igd is not None and self._igd.asked

    async def map(self) -> Granted:
        """Ask for the mapping, or renew it."""
        if self._igd is not None:
            return await self._igd.map()
        problem: Exception = NoMapping("no answer")
        async with _search(self._routers) as found:
            async for location, router in found:
                self._igd = Igd(location, dataclasses.replace(self._wanted, local=router.local))
                try:
                    return await self._igd.map()
                except (NoMapping, OSError) as exc:
                    problem = exc
                if self._igd.asked:  # it may have made a mapping, so it is the one to be asked to delete it
                    break
        raise problem

    async def unmap(self) -> None:
        """Delete the mapping."""
        if self._igd is not None:
            await self._igd.unmap()


@contextlib.asynccontextmanager
async def _search(routers: Sequence[Router]) -> AsyncIterator[AsyncIterator[tuple[Url, Router]]]:
    """Search in all these networks; yields an iterator of the descriptions found, which ends by itself."""
    loop = asyncio.get_running_loop()
    inbox = Inbox()
    sockets: list[tuple[Router, asyncio.DatagramTransport]] = []

    def send() -> None:
        for router, transport in sockets:
            for target in ssdp.TARGETS:
                # To the router itself too: some wireless networks swallow multicast.
                transport.sendto(ssdp.search(target), (ssdp.GROUP, ssdp.PORT))
                transport.sendto(ssdp.search(target, router.address), (router.address, ssdp.PORT))

    async def found() -> AsyncGenerator[tuple[Url, Router], None]:
        seen: set[Url] = set()
        retries = Retries(SEARCH, loop.time())
        while len(seen) < MAX_DESCRIPTIONS:
            if retries.take(loop.time()):
                send()
            deadline = retries.next_deadline(loop.time())
            if deadline is None and inbox.queue.empty():  # what came meanwhile is still looked at
                return
            try:
                async with asyncio.timeout_at(deadline):
                    answer = await inbox.queue.get()
            except TimeoutError:
                continue
            if isinstance(answer, OSError):
                continue
            data, source = answer
            router = next((router for router in routers if router.may_be(source)), None)
            url = ssdp.parse_found(data, source) if router is not None else None
            if url is not None and router is not None and url not in seen:
                seen.add(url)
                yield url, router

    async with contextlib.AsyncExitStack() as stack:
        for router in routers:
            with contextlib.suppress(OSError):  # an interface that went away; there may be others
                opening = endpoint(inbox, sock=_multicast_socket(router.local))
                sockets.append((router, await stack.enter_async_context(opening)))
        yield await stack.enter_async_context(contextlib.aclosing(found()))


def _multicast_socket(local: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(local))
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 2)  # UPnP Device Architecture 1.1, 1.1.1
        sock.setblocking(False)
        sock.bind((local, 0))
    except OSError:
        sock.close()
        raise
    return sock
