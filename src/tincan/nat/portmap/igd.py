"""UPnP with one router: read its description, call its service."""

from __future__ import annotations

import asyncio
import secrets
from typing import Final

from tincan.nat.portmap import http1, upnp
from tincan.nat.portmap.http1 import Url
from tincan.nat.portmap.mapping import Granted, NoMapping, Wanted, checked

PATIENCE: Final = 5.0
"""Seconds for one exchange by HTTP, however slowly the answer drips."""

OTHER_PORTS: Final = 2
"""Ports tried by chance where the wanted one is taken."""


class Igd:
    """One router, known by the location of its description."""

    def __init__(self, location: Url, wanted: Wanted, *, patience: float = PATIENCE) -> None:
        self._location = location
        self._wanted = wanted
        self._patience = patience
        self._service: upnp.Service | None = None
        self._port: int | None = None  # outside, once something was asked for and not refused

    @property
    def asked(self) -> bool:
        """Whether a mapping was asked for, and not refused."""
        return self._port is not None

    async def map(self) -> Granted:
        """Ask for the mapping, or renew it; raise `NoMapping` or `OSError`."""
        if self._service is not None:
            return await self._add(self._service)
        problem: Exception = NoMapping("it describes no WAN connection")
        for service in await self._describe():
            try:
                return await self._add(service)
            except (NoMapping, OSError) as exc:
                problem = exc
            if self.asked:  # there may be a mapping, to be deleted by the same service
                break
        raise problem

    async def unmap(self) -> None:
        """Delete the mapping; one try, unless it was interrupted."""
        if self._service is None or self._port is None:
            return
        try:
            await self._call(self._service, upnp.delete_mapping(self._service, self._wanted, self._port))
        except (NoMapping, OSError):
            self._port = None
            raise
        self._port = None

    async def _describe(self) -> list[upnp.Service]:
        status, body = await self._fetch(self._location, http1.request("GET", self._location), upnp.MAX_DESCRIPTION)
        if status != 200:
            raise NoMapping(f"its web server answers {status}")
        return upnp.parse_description(body, self._location)

    async def _add(self, service: upnp.Service) -> Granted:
        """Ask one service; a mapping without a usable address is not even asked for."""
        wanted = self._wanted
        texts = await self._call(service, upnp.external_address(service))
        address = texts.get("NewExternalIPAddress", "")
        checked(Granted(address, wanted.port, wanted.lease))
        first = self._port or wanted.port
        any_port = service.kind == upnp.ANY_PORT and self._port is None
        attempts = [(first, True)] * any_port + [(first, False)]
        attempts += [(49152 + secrets.randbelow(16384), False) for _ in range(OTHER_PORTS)]  # RFC 6335: dynamic ports
        problem: Exception = NoMapping("no port")
        for port, any_will_do in attempts:
            try:
                granted = await self._add_port(service, port, any_will_do)
            except upnp.Fault as fault:
                problem = fault
                if not any_will_do and fault.code not in upnp.PORT_TAKEN:
                    break
                continue
            return checked(Granted(address, granted, wanted.lease))
        raise problem

    async def _add_port(self, service: upnp.Service, port: int, any_port: bool) -> int:
        before, self._service, self._port = self._port, service, port  # so that `unmap` knows, whatever happens
        try:
            request = upnp.add_mapping(service, self._wanted, port, any_port=any_port)
            texts = await self._call(service, request)
        except upnp.Fault:
            self._port = before  # nothing was made
            raise
        if any_port:
            self._port = upnp.parse_port(texts.get("NewReservedPort")) or port
        return self._port or port

    async def _call(self, service: upnp.Service, request: bytes) -> dict[str, str]:
        status, body = await self._fetch(service.url, request, upnp.MAX_ANSWER)
        return upnp.parse_answer(status, body)

    async def _fetch(self, url: Url, request: bytes, limit: int) -> tuple[int, bytes]:
        """Send a request and return status and body; raise `NoMapping` or `OSError`, which includes being late."""
        answer = http1.Answer(limit)
        async with asyncio.timeout(self._patience):
            reader, writer = await asyncio.open_connection(
                url.host, url.port, limit=16 * 1024, local_addr=(self._wanted.local, 0)
            )
            try:
                writer.write(request)
                while data := await reader.read(8192):
                    if answer.receive(data):
                        break
                return answer.status, answer.end()
            finally:
                writer.transport.abort()  # the answer is all that was of interest
