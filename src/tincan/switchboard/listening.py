"""Sockets to listen on: IPv4, IPv6 or both, and plain words when there is none to be had."""

from __future__ import annotations

import errno
import socket

from tincan.errors import UsageError, WorldError

_BACKLOG = 1024


class CannotListen(WorldError):
    """The system does not let us listen there: taken, forbidden, or not our address."""

    exit_code = 9


def listen(host: str, port: int) -> list[socket.socket]:
    """Return listening TCP sockets for every address of ``host``, all on one port.

    With port 0 the system chooses the port. ``::`` takes IPv4 as well where
    the system can. Raises `UsageError` or `CannotListen`.
    """
    if not 0 <= port <= 65_535:
        raise UsageError(f"There is no port {port}; ports go from 0 to 65535.")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as exc:
        raise UsageError(f"There is no address {host!r} to listen on.") from exc
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            # A name such as localhost has several addresses: the port that the
            # first one got is the port of all.
            wanted = port or (sockets[0].getsockname()[1] if sockets else 0)
            dual = family == socket.AF_INET6 and host == "::" and socket.has_dualstack_ipv6()
            sockets.append(
                socket.create_server(
                    (address[0], wanted, *address[2:]), family=family, backlog=_BACKLOG, dualstack_ipv6=dual
                )
            )
    except OSError as exc:
        for open_socket in sockets:
            open_socket.close()
        raise CannotListen(_sentence(host, port, exc)) from exc
    return sockets


def url_of(listening: socket.socket) -> str:
    """Return the ``ws://host:port`` of a listening socket."""
    host, port = listening.getsockname()[:2]
    return f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"


def _sentence(host: str, port: int, error: OSError) -> str:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    match error.errno:
        case errno.EADDRINUSE:
            return f"Something else already listens on {where}; choose another port with --listen."
        case errno.EACCES | errno.EPERM:
            return f"This user may not listen on {where}; choose a port above 1023 with --listen."
        case errno.EADDRNOTAVAIL:
            return f"This machine does not have the address of {where}; choose another one with --listen."
    return f"This machine cannot listen on {where}."
