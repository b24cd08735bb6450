"""Sockets to listen on: TCP, UDP and Unix, and plain words when there is none to be had."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterable
from typing import Any, Final, cast

from tincan.apps.forward.addresses import EVERYWHERE, LOOPBACK, Address, HostPort, Transport, UnixPath
from tincan.errors import TinCanError, UsageError, WorldError
from tincan.nat.resolve import resolve

BACKLOG: Final = 1024
"""Connections that the system keeps until they are taken; a browser opens many at once."""

_Name = tuple[Any, ...]
"""An address as `socket` has it: host and port, for IPv6 two numbers more."""


class CannotListen(WorldError):
    """The system does not let us listen there."""


class MayNotListen(CannotListen):
    """This user may not listen there."""

    exit_code = 9


class NoSuchPlace(UsageError):
    """This machine has no such address or path."""


async def bind(at: Address, transport: Transport) -> list[socket.socket]:
    """Return sockets bound to every address of a place, all on one port; those of TCP and Unix listen.

    With port 0 the system chooses the port. Raises `CannotListen`,
    `MayNotListen` or `NoSuchPlace`.
    """
    try:
        if isinstance(at, UnixPath):
            return [_bind_unix(at.path)]
        return _bind_all(await _addresses(at), transport, quietly=at.host in (LOOPBACK, EVERYWHERE))
    except OSError as exc:
        raise _error(at, exc) from exc


def address_of(at: Address, sockets: list[socket.socket]) -> Address:
    """Return where these sockets listen: ``at``, with the port that the system has chosen."""
    return HostPort(at.host, sockets[0].getsockname()[1]) if isinstance(at, HostPort) else at


def remove_path(at: Address) -> None:
    """Remove the path of a Unix socket that was listened on."""
    if isinstance(at, UnixPath):
        with contextlib.suppress(OSError):
            os.unlink(at.path)


async def _addresses(at: HostPort) -> Iterable[tuple[socket.AddressFamily, _Name]]:
    """Return the addresses to bind to: without asking any resolver for the two hosts that everybody has."""
    if at.host in (LOOPBACK, EVERYWHERE):
        local = at.host == LOOPBACK
        return [
            (socket.AF_INET, ("127.0.0.1" if local else "0.0.0.0", at.port)),  # noqa: S104 - the user asked for it
            (socket.AF_INET6, ("::1" if local else "::", at.port, 0, 0)),
        ]
    try:
        addresses = [address for _, address in await resolve(at.host, at.port)]
        # Addresses alone are read without asking anybody, and with the zone that some of IPv6 have.
        found = [
            socket.getaddrinfo(a, at.port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST) for a in addresses
        ]
    except OSError as exc:
        raise NoSuchPlace(f"There is no address {at.host!r} to listen on.") from exc
    return [(family, cast(_Name, address)) for [(family, _, _, _, address)] in found]


def _bind_all(
    addresses: Iterable[tuple[socket.AddressFamily, _Name]], transport: Transport, *, quietly: bool
) -> list[socket.socket]:
    """``quietly``: the second address need not exist, as IPv6's on machines that have none."""
    sockets: list[socket.socket] = []
    try:
        for family, address in addresses:
            port = sockets[0].getsockname()[1] if sockets else address[1]
            try:
                sockets.append(_bind_one(family, (address[0], port, *address[2:]), transport))
            except OSError as exc:
                if not (sockets and quietly and (exc.errno != errno.EADDRINUSE or address[1] == 0)):
                    raise
    except OSError:
        for opened in sockets:
            opened.close()
        raise
    return sockets


def _bind_one(family: socket.AddressFamily, address: _Name, transport: Transport) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if transport is Transport.TCP and os.name == "posix":
            # Elsewhere it would let two programs take the same port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if transport is Transport.TCP:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _bind_unix(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise NoSuchPlace(f"This system has no Unix sockets to listen on at {path}.")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # only this user may connect, from the first moment
    try:
        sock.setblocking(False)
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def _error(at: Address, exc: OSError) -> TinCanError:
    match exc.errno:
        case errno.EADDRINUSE if isinstance(at, UnixPath):
            return CannotListen(f"{at} exists already; remove it if nothing listens there, or choose another path.")
        case errno.EADDRINUSE:
            return CannotListen(f"Something else already listens on {at}; choose another port, or 0 for any.")
        case errno.EACCES | errno.EPERM if isinstance(at, UnixPath):
            return MayNotListen(f"This user may not make the socket {at}; choose a path in an own directory.")
        case errno.EACCES | errno.EPERM:
            return MayNotListen(f"This user may not listen on {at}; choose a port above 1023.")
        case errno.EADDRNOTAVAIL:
            return NoSuchPlace(f"This machine does not have the address of {at}; choose another one.")
        case errno.ENOENT | errno.ENOTDIR:
            return NoSuchPlace(f"There is no directory for the socket {at}; make it first, or choose another path.")
    return CannotListen(f"This machine cannot listen on {at} ({exc.strerror or exc}).")
