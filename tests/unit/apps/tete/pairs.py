"""Two ends on one machine: TLS over a pair of sockets, and sources and sinks in memory."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator

from tincan.apps.tete.security import Connection, Peer, Security
from tincan.link.interface import Path
from tincan.link.tls import TlsStream, fresh_certificate


class Words:
    """A source of what `say` is given, until `end`."""

    def __init__(self, *words: bytes, ends: bool = False) -> None:
        self._waiting: asyncio.Queue[bytes] = asyncio.Queue()
        self._rest = b""
        for word in words:
            self.say(word)
        if ends:
            self.end()

    def say(self, word: bytes) -> None:
        self._waiting.put_nowait(word)

    def end(self) -> None:
        self._waiting.put_nowait(b"")

    async def read_into(self, buffer: memoryview) -> int:
        data = self._rest or await self._waiting.get()
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        self._rest = data[count:]
        return count

    def close(self) -> None:
        pass


class Ear:
    """A sink that can be waited for."""

    def __init__(self) -> None:
        self.heard = b""
        self.closed = False
        self._changed = asyncio.Event()

    async def write(self, data: memoryview) -> None:
        self.heard += data
        self._changed.set()

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    async def wait(self, wanted: bytes | None) -> None:
        """Wait until this has been heard, or for the end."""
        async with asyncio.timeout(120):
            while not (self.closed if wanted is None else self.heard == wanted):
                self._changed.clear()
                await self._changed.wait()


def connected_sockets() -> tuple[socket.socket, socket.socket]:
    """Return two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for sock in (near, far):
        sock.setblocking(False)
    return near, far


async def secured(client: Security, server: Security) -> tuple[Connection, Connection]:
    """Return both ends of one TLS connection."""
    near, far = connected_sockets()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(client.secure(near))
        second = group.create_task(server.secure(far))
    return first.result(), second.result()


@contextlib.asynccontextmanager
async def pair(*, proves: tuple[bool, bool] = (False, False)) -> AsyncIterator[tuple[Connection, Connection]]:
    """Both ends of one TLS connection, the client first; ``proves``: who has a phrase."""
    ends = await secured(Security(client=True, proves=proves[0]), Security(client=False, proves=proves[1]))
    try:
        yield ends
    finally:
        for end in ends:
            await end.stream.close()


async def foreign(
    sock: socket.socket, *, client: bool, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Connection:
    """Return a TLS end as another program has it, which names no protocol."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if client else ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = version
    if client:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        fresh_certificate().load(context)
    stream = TlsStream(sock, context, server=not client, path=Path.DIRECT_TCP)
    await stream.handshake()
    return Connection(sock, stream, Peer.TETE, b"")


async def with_foreign(
    *, client: bool, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> tuple[Connection, Connection]:
    """Return our end, which is or is not the client, and the other program's."""
    near, far = connected_sockets()
    async with asyncio.TaskGroup() as group:
        ours = group.create_task(Security(client=client, proves=False).secure(near))
        other = group.create_task(foreign(far, client=not client, version=version))
    return ours.result(), other.result()
