"""From two addresses to one TLS connection: listen and connect at once, and agree on one of what comes about.

As tete does it: ten tries to connect, each of 3 s at most and a second apart,
from the port that also listens. What was accepted counts only when it comes
from the very address and port that the user named; all others are closed
without a word.

On most networks only one connection can come about, since both ends use the
same two addresses and ports (RFC 9293 section 3.5). A machine with several
addresses may get two. Then the TLS client decides: it tries one after the
other and stops at the first that TLS works on; the server takes part in all.
tete takes one and lets the other one lie, and this finds out which.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import logging
import os
import socket
import ssl
from typing import Any, Final

from tincan.apps.tete.security import Connection, Security
from tincan.apps.tete.settings import TeteSettings
from tincan.errors import DeviceMissing, NoPath
from tincan.link.tcp import CONNECT_TIMEOUT, Port
from tincan.link.tls import HANDSHAKE_TIMEOUT
from tincan.tasks import plain_errors

logger = logging.getLogger(__name__)

TRIES: Final = 10
PAUSE: Final = 1.0

NOMINATION: Final = 4.0
"""Seconds that the TLS client gives one connection before it turns to the next."""

MAX_CANDIDATES: Final = 8
"""Connections at a time; more than one or two only an attacker on the path makes."""


async def open_connection(
    settings: TeteSettings,
    security: Security,
    *,
    tries: int = TRIES,
    pause: float = PAUSE,
    nomination: float = NOMINATION,
) -> Connection:
    """Return the connection to the peer.

    Raises `NoPath` when none came about, `DeviceMissing` when the local port cannot be used.
    """
    try:
        with socket.socket(socket.AF_INET) as probe:  # two runs may share a port for listening and connecting
            if os.name != "nt":
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("0.0.0.0", settings.lport))  # noqa: S104 - as the port itself
        port = Port(settings.lport)
    except OSError as exc:
        raise DeviceMissing(
            f"Port {settings.lport} cannot be used here ({exc.strerror}); choose another one with -lport, "
            "and tell the peer, whose -rport it is."
        ) from exc
    with contextlib.closing(port):
        return await _Opening(settings, security, port, nomination).run(tries, pause)


class _Opening:
    def __init__(self, settings: TeteSettings, security: Security, port: Port, nomination: float) -> None:
        self._settings = settings
        self._security = security
        self._port = port
        self._patience = nomination if security.client else HANDSHAKE_TIMEOUT
        self._chosen: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self._turn = asyncio.Semaphore(1 if security.client else MAX_CANDIDATES)
        self._candidates: set[asyncio.Task[None]] = set()
        self._failure: ssl.SSLError | None = None

    async def run(self, tries: int, pause: float) -> Connection:
        try:
            with plain_errors():
                async with asyncio.TaskGroup() as group:
                    self._group = group
                    looking = [
                        group.create_task(self._port.accept(lambda sock, _: self._accepted(sock))),
                        group.create_task(self._try(tries, pause)),
                    ]
                    chosen = await self._chosen
                    for task in (*looking, *self._candidates):
                        task.cancel()
            return chosen
        except BaseException:
            if self._chosen.done() and not self._chosen.cancelled():
                await self._chosen.result().stream.close()
            raise

    async def _try(self, tries: int, pause: float) -> None:
        for number in range(1, tries + 1):
            try:
                sock = await self._connect()
            except OSError as exc:
                logger.info("try %d of %d: %s", number, tries, exc.strerror or exc or "no answer")
            else:
                logger.info("try %d of %d: connected", number, tries)
                candidate = self._take(sock)
                if candidate is not None:
                    await asyncio.wait([candidate])
            if number < tries:
                await asyncio.sleep(pause)
        while self._candidates:
            await asyncio.wait(self._candidates)
        raise NoPath(self._complaint())

    async def _connect(self) -> socket.socket:
        """Connect once, from the address that the peer expects where it is one of this machine's."""
        address = (str(self._settings.peer), self._settings.rport)
        sock = socket.socket(socket.AF_INET6 if self._settings.peer.version == 6 else socket.AF_INET)
        try:
            sock.setblocking(False)
            for name in ("SO_REUSEADDR", "SO_REUSEPORT"):
                if hasattr(socket, name):
                    sock.setsockopt(socket.SOL_SOCKET, getattr(socket, name), 1)
            sock.bind((str(self._settings.mine), self._settings.lport))
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await asyncio.get_running_loop().sock_connect(sock, address)
        except OSError as exc:
            sock.close()
            if exc.errno != errno.EADDRNOTAVAIL:
                raise
        except BaseException:
            sock.close()
            raise
        else:
            return sock
        return await self._port.connect(address)  # a router has that address

    def _accepted(self, sock: socket.socket) -> None:
        if self._expected(sock):
            logger.info("accepted a connection of the peer")
            self._take(sock)
        else:
            sock.close()

    def _take(self, sock: socket.socket) -> asyncio.Task[None] | None:
        """Have TLS tried on a connection with the peer, unless there are enough."""
        if self._chosen.done() or len(self._candidates) >= MAX_CANDIDATES:
            sock.close()
            return None
        task = self._group.create_task(self._secure(sock))
        self._candidates.add(task)
        task.add_done_callback(self._candidates.discard)
        # Also when it was cancelled before it began, and never saw its socket.
        task.add_done_callback(lambda done: sock.close() if done.cancelled() else None)
        return task

    def _expected(self, sock: socket.socket) -> bool:
        try:
            host, port = sock.getpeername()[:2]
        except OSError:
            return False  # gone already
        if ipaddress.ip_address(host) == self._settings.peer and port == self._settings.rport:
            return True
        logger.info("turned away %s port %d, which is not the peer", host, port)
        return False

    async def _secure(self, sock: socket.socket) -> None:
        async with self._turn:
            if self._chosen.done():
                sock.close()
                return
            try:
                connection = await self._security.secure(sock, self._patience)
            except OSError as exc:
                logger.info("TLS did not come about: %s", exc or "no answer")
                self._failure = exc if isinstance(exc, ssl.SSLError) else self._failure
                return
            if self._chosen.done():
                await connection.stream.close()
            else:
                self._chosen.set_result(connection)

    def _complaint(self) -> str:
        if self._failure is not None:
            return (
                "The peer was reached, but TLS does not work with it. "
                "Check that the addresses you give are the ones that the peer gives, the other way round."
            )
        return (
            "No connection to the peer came about. Start both ends within a few seconds of each other, "
            "and check both addresses and ports; -v tells more."
        )


def keep_alive(sock: socket.socket, seconds: int) -> None:
    """Have the kernel notice within four times this that the peer is gone, whether or not anything is being sent."""
    options: list[tuple[int, str, Any]] = [
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", seconds),
        (socket.IPPROTO_TCP, "TCP_KEEPALIVE", seconds),  # what macOS calls it
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", seconds),
        (socket.IPPROTO_TCP, "TCP_KEEPCNT", 3),
        # Keepalive does not count while something unacknowledged is on its way (RFC 5482).
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", 4 * seconds * 1000),
    ]
    with contextlib.suppress(OSError):  # macOS refuses it on a connection that is reset already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for level, name, value in options:
        if hasattr(socket, name):
            with contextlib.suppress(OSError):
                sock.setsockopt(level, getattr(socket, name), value)
