"""portmap: asks the home router for a port that leads to ours. Nobody waits for it, and it never fails loudly.

``keeper`` is the shell that has all routers asked at once and keeps what is
granted, ``ways`` lists whom to ask and how. The codecs are pure: ``pcp``
(RFC 6887), ``natpmp`` (RFC 6886), ``ssdp`` and ``upnp`` over ``http1`` and
``xmltree``; ``direct`` and ``igd`` drive them. IPv4 only: IPv6 needs no
mapping, and pinholes through its firewalls are not asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable

from tincan.nat.portmap.mapping import PortMapping, Transport

__all__ = ["PortMapping", "mapped_port"]

logger = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def mapped_port(
    port: int, found: Callable[[PortMapping], None], *, transport: Transport = "tcp"
) -> AsyncIterator[None]:
    """Have our port mapped while in the context, if a router does that.

    Returns at once. ``found`` is called in the running loop when there is a
    mapping, and again when its address or port changes. No router, no answer
    or a refusal is one line in the log. At the end the mapping is deleted,
    which takes a second at most.
    """
    task = asyncio.create_task(_keep(port, found, transport), name="port mapping")
    try:
        yield
    finally:
        task.cancel()
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            task.cancel()  # whoever asks twice does not want to wait for the deletion
            await asyncio.wait([task])
            raise
        if not task.cancelled() and (problem := task.exception()) is not None:
            logger.error("port mapping ended: %r", problem)


async def _keep(port: int, found: Callable[[PortMapping], None], transport: Transport) -> None:
    from tincan.nat.portmap.keeper import keep  # here, so that loading this package costs nothing
    from tincan.nat.portmap.ways import mappers

    await keep(lambda: mappers(port, transport), found)
