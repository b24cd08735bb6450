"""Names by both ways at once, while a network is up."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from tincan.errors import DeviceMissing
from tincan.vpn.names.dns import Zone
from tincan.vpn.names.hosts import HOSTS, HostsBlock
from tincan.vpn.names.responder import Responder, responding

logger = logging.getLogger(__name__)

Address = IPv4Address | IPv6Address


class Naming:
    """The names of one process's networks."""

    def __init__(self, hosts: HostsBlock | None, responder: Responder | None, tell: Callable[[str], None]) -> None:
        self._hosts = hosts
        self._responder = responder
        self._tell = tell

    def set(self, names: Mapping[str, Iterable[Address]]) -> None:
        """Know these names, such as ``bob.can``, from now on, and no others."""
        known = {name: tuple(addresses) for name, addresses in names.items()}
        if self._responder is not None:
            self._responder.zone = Zone(known)
        if self._hosts is not None:
            try:
                self._hosts.set((str(address), name) for name, addresses in known.items() for address in addresses)
            except DeviceMissing as exc:
                self._hosts = None
                self._tell(str(exc))


@contextlib.asynccontextmanager
async def naming(own: Address, tell: Callable[[str], None], *, hosts: Path | None = HOSTS) -> AsyncIterator[Naming]:
    """Name members while this lasts: in a hosts file (None: in none), and by DNS at one's own virtual address.

    What does not work on this machine is told, in a sentence, and done without.
    """
    async with contextlib.AsyncExitStack() as stack:
        responder = None
        try:
            responder = await stack.enter_async_context(responding(own))
        except DeviceMissing as exc:
            logger.info("%s", exc)
            tell(str(exc))
        block = HostsBlock(hosts) if hosts is not None else None
        try:
            yield Naming(block, responder, tell)
        finally:
            if block is not None:
                with contextlib.suppress(DeviceMissing):  # was told when it was to be written
                    block.remove()
