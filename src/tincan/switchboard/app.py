"""The switchboard as a server: one port with ``/v1``, ``/healthz`` and ``/metrics``.

Messages are pushed. Nothing is written to disk, there is no access log, and no
address, code, nameplate or token is logged at any level; what aiohttp has to
say goes through a filter that sees to that.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import cast

from aiohttp import web

from tincan.switchboard.gate import Gate
from tincan.switchboard.handlers import Switchboard
from tincan.switchboard.listening import listen, url_of
from tincan.switchboard.settings import SwitchboardSettings

__all__ = ["SwitchboardSettings", "run", "serve"]

_http_log = logging.getLogger(__name__ + ".http")
_websocket_log = logging.getLogger("aiohttp.websocket")

_FILE_LIMIT = 65_536
"""Open files wanted: a socket for each connection. Systems give 1,024 unless asked."""


async def serve(
    settings: SwitchboardSettings, *, ready: Callable[[str], None] | None = None, stop: asyncio.Event
) -> None:
    """Run a switchboard until ``stop`` is set, then stop gracefully within 5 s.

    ``ready`` is called with the URL (``ws://host:port``, the real port) once
    cans can connect. Raises `tincan.errors.UsageError` or
    `tincan.switchboard.listening.CannotListen`.
    """
    sockets = listen(settings.host, settings.port)
    switchboard = Switchboard(settings)
    runner = web.AppRunner(
        switchboard.application(),
        access_log=None,
        logger=_http_log,
        keepalive_timeout=15.0,
        lingering_time=0.0,
        shutdown_timeout=0.3,
    )
    await runner.setup()
    http = cast(web.Server, runner.server)  # there is one after setup
    limiter = None if settings.trust_forwarded else switchboard.limiter
    discreet = _WithoutDetails()
    for log in (_http_log, _websocket_log):
        log.addFilter(discreet)
    servers: list[asyncio.Server] = []
    try:
        for listening in sockets:
            servers.append(
                await asyncio.get_running_loop().create_server(
                    lambda: Gate(http, limiter, settings.handshake), sock=listening
                )
            )
        if ready is not None:
            ready(url_of(sockets[0]))
        await stop.wait()
    finally:
        for server in servers:
            server.close()
        await switchboard.stop()
        await runner.cleanup()
        for listening in sockets:
            listening.close()
        for log in (_http_log, _websocket_log):
            log.removeFilter(discreet)


def run(settings: SwitchboardSettings, on_ready: Callable[[str], None]) -> None:
    """Run a switchboard until SIGTERM or SIGINT, with uvloop where there is one.

    Raises what `serve` raises. Returns after a graceful stop.
    """
    _raise_file_limit()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_until_signal(settings, on_ready))


async def _until_signal(settings: SwitchboardSettings, on_ready: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:
            # Windows' loops have no signal handlers, but wake up for a plain one.
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop.set))
    await serve(settings, ready=on_ready, stop=stop)


class _WithoutDetails(logging.Filter):
    """Reduces what the HTTP library logs to the kind of the event: its texts quote addresses and requests."""

    def filter(self, record: logging.LogRecord) -> bool:
        kind = record.exc_info[0] if record.exc_info else None
        record.msg = "HTTP: " + (kind.__name__ if kind is not None else record.levelname.lower())
        record.args = ()
        record.exc_info = None
        return True


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # not for every system
    except ImportError:
        return None
    return uvloop.new_event_loop


def _raise_file_limit() -> None:
    try:
        import resource  # not on Windows
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILE_LIMIT if hard == resource.RLIM_INFINITY else min(_FILE_LIMIT, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
