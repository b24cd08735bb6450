"""Host names to addresses, without ever keeping the program from ending.

asyncio asks the resolver in its default executor, whose threads are waited
for at the end of the program: a resolver that does not answer would hold the
user's prompt for half a minute. A daemon thread per question does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading
from typing import Final

MAX_ASKING: Final = 64
"""Questions at a time, those included that nobody waits for any more: a peer may ask for names (`forward`)."""

_THREAD: Final = "resolve"


def is_address(host: str) -> bool:
    """Whether ``host`` is an IP address already."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def resolve(host: str, port: int = 0, *, kind: int = socket.SOCK_STREAM) -> list[tuple[int, str]]:
    """Return ``(family, address)`` pairs for a host, in the system's order of preference.

    Raises `OSError` (`socket.gaierror`) when the name is not known.
    """
    if is_address(host):
        version = ipaddress.ip_address(host).version
        return [(socket.AF_INET6 if version == 6 else socket.AF_INET, host)]
    if sum(thread.name == _THREAD for thread in threading.enumerate()) >= MAX_ASKING:
        raise OSError(errno.EAGAIN, "too many names are being looked up")
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[tuple[int, str]]] = loop.create_future()

    def settle(result: list[tuple[int, str]] | OSError) -> None:
        if not answer.done():
            if isinstance(result, OSError):
                answer.set_exception(result)
            else:
                answer.set_result(result)

    def ask() -> None:
        result: list[tuple[int, str]] | OSError
        try:
            found = socket.getaddrinfo(host, port, type=kind)
            result = list(dict.fromkeys((int(f), str(a[0])) for f, _, _, _, a in found))
        except (OSError, ValueError) as exc:
            result = exc if isinstance(exc, OSError) else socket.gaierror(socket.EAI_NONAME, "not a host name")
        with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile: nobody asks any more
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=ask, name=_THREAD, daemon=True).start()
    return await answer
