"""PCP and NAT-PMP: one datagram to the router, one back."""

from __future__ import annotations

import dataclasses
import secrets

from tincan.nat.portmap import natpmp, pcp, retry
from tincan.nat.portmap.datagrams import ask
from tincan.nat.portmap.mapping import Granted, Method, NoMapping, Refused, Wanted, checked


class PcpMapper:
    """Asks by PCP. One nonce for the mapping's whole life: it is what makes it ours (RFC 6887, 11.2)."""

    method: Method = "pcp"

    def __init__(self, router: str, wanted: Wanted, *, port: int = pcp.PORT) -> None:
        self.asked = False
        self._router = (router, port)
        self._wanted = wanted
        self._nonce = secrets.token_bytes(pcp.NONCE_BYTES)
        self._granted: Granted | None = None

    async def map(self) -> Granted:
        """Ask for the mapping, or renew it."""
        self.asked = True
        waits = retry.pcp_schedule(secrets.randbelow(1000) / 1000)
        answer = await self._exchange(self._wanted, waits)
        if isinstance(answer, Refused):
            self.asked = self._granted is not None
            raise NoMapping(answer.reason)
        self._granted = answer
        return checked(answer)

    async def unmap(self) -> None:
        """Ask for a lease of nothing; one try, unless it was interrupted."""
        if not self.asked:
            return
        waits = retry.GOODBYE if self._granted else retry.UNHEARD
        try:
            await self._exchange(dataclasses.replace(self._wanted, lease=0), waits)
        except (NoMapping, OSError):
            self.asked = False
            raise
        self.asked = False

    async def _exchange(self, wanted: Wanted, waits: tuple[float, ...]) -> Granted | Refused:
        return await ask(
            wanted.local,
            self._router,
            pcp.map_request(wanted, self._nonce, self._granted),
            lambda data: pcp.parse_answer(data, wanted, self._nonce),
            waits,
        )


class NatPmpMapper:
    """Asks by NAT-PMP: first for the address, since a mapping without a usable one is of no use."""

    method: Method = "nat-pmp"

    def __init__(self, router: str, wanted: Wanted, *, port: int = natpmp.PORT) -> None:
        self.asked = False
        self._router = (router, port)
        self._wanted = wanted
        self._external = wanted.port

    async def map(self) -> Granted:
        """Ask for the mapping, or renew it."""
        wanted = self._wanted
        request = natpmp.address_request()
        address: str | Refused = await ask(wanted.local, self._router, request, natpmp.parse_address, retry.NAT_PMP)
        if isinstance(address, Refused):
            raise NoMapping(address.reason)
        checked(Granted(address, wanted.port, wanted.lease))
        self.asked = True
        mapped = await self._exchange(wanted, self._external, retry.NAT_PMP)
        if isinstance(mapped, Refused):
            self.asked = False
            raise NoMapping(mapped.reason)
        self._external = mapped.port
        return checked(Granted(address, mapped.port, mapped.lifetime))

    async def unmap(self) -> None:
        """Ask for a lease of nothing; no port is suggested then (RFC 6886, 3.4)."""
        if not self.asked:
            return
        try:
            await self._exchange(dataclasses.replace(self._wanted, lease=0), 0, retry.GOODBYE)
        except (NoMapping, OSError):
            self.asked = False
            raise
        self.asked = False

    async def _exchange(self, wanted: Wanted, suggested: int, waits: tuple[float, ...]) -> natpmp.Mapped | Refused:
        return await ask(
            wanted.local,
            self._router,
            natpmp.map_request(wanted, suggested),
            lambda data: natpmp.parse_mapped(data, wanted),
            waits,
        )
