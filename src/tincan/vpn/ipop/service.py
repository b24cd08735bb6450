"""The sockets of the dialect: UDP on loopback, and who is listened to there."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tincan.errors import WorldError
from tincan.vpn.ipop.effects import Address
from tincan.vpn.ipop.engine import Engine
from tincan.vpn.ipop.overlay import Overlay
from tincan.vpn.ipop.senders import TABLES, Senders
from tincan.vpn.ipop.wire import MAX_DATAGRAM, Release
from tincan.vpn.module.interface import Module

PORT: Final = 5800
HOSTS: Final = ("127.0.0.1", "::1")

DANGERS: Final = (
    "The IPOP API is open to every program of this user and of root on this machine, without a password: they can",
    "take links down, get and put packets, and choose who is linked to. Every friend on XMPP may ask for a link.",
)
"""Said when it starts."""

_TAKEN: Final = (errno.EADDRINUSE, errno.EACCES)

logger = logging.getLogger(__name__)


async def serve(
    module: Module,
    overlay: Overlay,
    release: Release,
    *,
    port: int = PORT,
    say: Callable[[str], None],
    told: Callable[[str, str], None],
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve a release's API for a module until cancelled, or until the module ends.

    ``say`` gets lines for people, ``told`` the state of the login and its
    reason. Raises `WorldError` when the port is taken.
    """
    with _Sockets() as sockets:
        engine = Engine(module, overlay, release, send=sockets.send, say=say, told=told)
        for missing in sockets.open(port, engine.arrived):
            say(f"This machine has no {missing}, so controllers are served over IPv4 only.")
        for line in DANGERS:
            say(line)
        await engine.run(ready)


def users() -> set[int]:
    """Return who is listened to: root, who runs the module, and who started it by sudo."""
    known = {0, os.geteuid(), os.getuid()}
    by = os.environ.get("SUDO_UID", "")
    return known | ({int(by)} if by.isascii() and by.isdigit() else set())


class _Sockets:
    """One socket of each family."""

    def __init__(self) -> None:
        self._senders = Senders(users())
        self._sockets: dict[socket.AddressFamily, socket.socket] = {}
        self._stack = contextlib.ExitStack()
        self._arrived: Callable[[bytes, Address], None] = lambda data, source: None

    def __enter__(self) -> _Sockets:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def open(self, port: int, arrived: Callable[[bytes, Address], None]) -> list[str]:
        """Bind the sockets; return the addresses that this machine does not have."""
        self._arrived = arrived
        loop = asyncio.get_running_loop()
        missing = []
        for host in HOSTS:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                sock = self._stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
                sock.bind((host, port))
            except OSError as exc:
                if host == HOSTS[0] or exc.errno in _TAKEN:
                    raise WorldError(
                        f"UDP port {port} of {host} cannot be used ({exc.strerror}); "
                        "is another TinCan running? Choose a port with --ipop-port."
                    ) from exc
                missing.append(host)
                continue
            sock.setblocking(False)
            self._sockets[family] = sock
            loop.add_reader(sock, self._readable, sock)
            self._stack.callback(loop.remove_reader, sock)
        return missing

    def send(self, to: Address, datagram: bytes) -> None:
        """Send a datagram from the socket of its family."""
        sock = self._sockets.get(socket.AF_INET6 if ":" in to[0] else socket.AF_INET)
        if sock is not None:
            with contextlib.suppress(OSError):  # the controller does not keep up, or has gone: a datagram is lost
                sock.sendto(datagram, to)

    def _readable(self, sock: socket.socket) -> None:
        try:
            data, address = sock.recvfrom(MAX_DATAGRAM)
        except OSError:  # nothing there after all, or a controller's port that is closed
            return
        if self._listened_to(address[1]):
            self._arrived(data, (address[0], address[1]))

    def _listened_to(self, port: int) -> bool:
        now = asyncio.get_running_loop().time()
        known = self._senders.known(port, now)
        if known is None:
            known = self._senders.judge(port, _tables(), now)
            if not known:
                logger.warning("datagrams from port %d are passed over: it is another user's", port)
        return known


def _tables() -> list[str]:
    found = []
    for path in TABLES:
        with contextlib.suppress(OSError):
            found.append(Path(path).read_text(encoding="ascii", errors="replace"))
    return found
