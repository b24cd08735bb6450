"""One stream's TCP path: candidates out, candidates in, and the first connection that proves itself.

Each end offers the addresses of its port (`tincan.link.tcp`): those of this
machine, what STUN servers see it at over TCP, and what the home router maps
(`tincan.nat.portmap`). All pairs are tried at once. A connection counts only
after its proof (`tincan.link.proof`), and then TLS with pinned certificates
runs on it; strangers are dropped without a word and hold nobody up.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from tincan.errors import AuthenticationFailed, NoPath
from tincan.link.description import LOWEST_PORT
from tincan.link.interface import Path, StreamBroken
from tincan.link.lanes import MAX_ADDRESSES, Offer
from tincan.link.proof import NONCE, Proof, State, punch_key
from tincan.link.tcp import PAUSE, Address, Port, drop
from tincan.link.tls import Pin, TlsStream, fresh_certificate, secure
from tincan.meet.mailbox import Side
from tincan.nat.addresses import host_addresses, interfaces, on_lan, usable_remote
from tincan.nat.servers import IceServer
from tincan.tasks import plain_errors

logger = logging.getLogger(__name__)

FROM_OUTSIDE: Final = 6
"""Places among the addresses that are kept for what servers and the router tell."""

MAX_TRIES: Final = 4
"""Connections made to one address in all: what answers there may be somebody else's service."""

MAX_STRANGERS: Final = 32
"""Connections that have proven nothing yet; one more, and the oldest is dropped."""


@dataclass(frozen=True)
class Patience:
    """How many seconds things may take."""

    tapping: float = 12.0
    """From the peer's offer, in which the tapping can looks for a connection."""

    attaching: float = 25.0
    """The attaching can waits longer: when the other one has found a path, this one must not have given it up."""

    proof: float = 3.0
    """In which a connection must prove itself."""

    nomination: float = 4.0
    """That TLS may take on one proven connection before the tapping can turns to the next."""

    writing: float = 0.2
    """That whoever has much to write waits for the path: a channel costs both sides far more processor time."""


@dataclass(frozen=True)
class Punching:
    """How streams of a link may look for a TCP path."""

    servers: tuple[IceServer, ...] = ()
    """Asked by STUN over TCP what address the port has outside."""

    port_mapping: bool = True
    """Ask the home router for a mapping."""

    rng: random.Random = field(default_factory=secrets.SystemRandom, repr=False)
    patience: Patience = Patience()


class Punch:
    """One attempt. Send its offer, then `connect` with the peer's; `close` in any case."""

    def __init__(self, side: Side, settings: Punching, found: Callable[[Address], None]) -> None:
        """``found`` hears of addresses after those of the offer. Raises `OSError` when there is no port to be had."""
        self._side = side
        self._settings = settings
        self._tell = found
        self._here = interfaces()
        self._loopback = all(i.address.is_loopback for i in self._here)
        self._nonce = secrets.token_bytes(NONCE)
        self._certificate = fresh_certificate()
        self._port = Port()  # the last thing that can fail
        mine = host_addresses(self._here)[: MAX_ADDRESSES - FROM_OUTSIDE]
        self._mine: list[Address] = [(address, self._port.number) for address in mine]
        self._theirs: set[Address] = set()
        self._tries: dict[Address, int] = {}
        self._strangers: dict[asyncio.Task[None], None] = {}
        self._proven: asyncio.Queue[tuple[socket.socket, Path]] = asyncio.Queue(MAX_STRANGERS)
        self._secured: list[TlsStream] = []
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._key = b""

    @property
    def offer(self) -> Offer:
        """What the peer needs."""
        return Offer(self._nonce, self._certificate.der, list(self._mine))

    @property
    def patience(self) -> float:
        """Seconds that `connect` may take."""
        return self._settings.patience.tapping if self._side is Side.TAP else self._settings.patience.attaching

    async def ask_servers(self) -> None:
        """Ask servers for the address of the port outside, and keep it true, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for server in self._settings.servers:
                group.create_task(self._port.mapped(server, self._found))
            await asyncio.Event().wait()

    async def keep_mapping(self) -> None:
        """Have the router map the port, if it can, until cancelled."""
        if self._settings.port_mapping and not self._loopback:
            from tincan.nat.portmap import mapped_port

            async with mapped_port(self._port.number, lambda mapping: self._found((mapping.address, mapping.port))):
                await asyncio.Event().wait()

    def _found(self, address: Address) -> None:
        if address not in self._mine and len(self._mine) < MAX_ADDRESSES:
            self._mine.append(address)
            self._tell(address)

    async def connect(self, offer: Offer) -> TlsStream:
        """Return a TLS stream to whoever made the offer; raise `NoPath` when none comes about in time.

        Addresses given to `add` meanwhile are tried too.
        """
        nonces = (self._nonce, offer.nonce) if self._side is Side.TAP else (offer.nonce, self._nonce)
        self._key = punch_key(*nonces)
        pin = Pin(self._certificate, offer.certificate)
        tapping = self._side is Side.TAP
        chosen = None
        try:
            async with asyncio.timeout(self.patience), self._trying():
                self.add(offer.addresses)
                found = await (self._nominate(pin) if tapping else self._be_nominated(pin))
            chosen = found
        except TimeoutError:
            raise NoPath("No TCP path to the peer was found.") from None
        finally:  # also when the time was over, or the caller went, while the others were being stopped
            for stream in self._secured:
                if stream is not chosen:
                    await stream.close()
        return chosen

    def add(self, addresses: Iterable[Address]) -> None:
        """Try these addresses of the peer too, as far as they may be tried."""
        for address in addresses:
            if (
                self._group is not None
                and address not in self._theirs
                and len(self._theirs) < MAX_ADDRESSES
                and address[1] >= LOWEST_PORT
                and usable_remote(address[0], loopback=self._loopback)
            ):
                self._theirs.add(address)
                self._spawn(self._port.keep_connecting(address, self._arrived, self._settings.rng))

    def close(self) -> None:
        """Give the port back. A stream that was returned goes on."""
        self._port.close()

    @contextlib.asynccontextmanager
    async def _trying(self) -> AsyncIterator[None]:
        """Let connections come about until it is left; those that were not taken are closed then."""
        try:
            with plain_errors():
                async with asyncio.TaskGroup() as group:
                    self._group = group
                    self._spawn(self._port.accept(self._arrived))
                    try:
                        yield
                    finally:
                        self._group = None
                        for task in self._tasks:
                            task.cancel()
        finally:
            while not self._proven.empty():
                self._proven.get_nowait()[0].close()

    def _spawn(self, work: Coroutine[Any, Any, None], sock: socket.socket | None = None) -> asyncio.Task[None] | None:
        """Begin some work, which owns ``sock``: it is closed also when the work never gets to begin."""
        if self._group is None:
            work.close()
            if sock is not None:
                sock.close()
            return None
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if sock is not None:
            task.add_done_callback(lambda done: sock.close() if done.cancelled() else None)
        return task

    # -- strangers, until they have proven themselves -----------------------------

    def _arrived(self, sock: socket.socket, connected: bool) -> None:
        # Those that this side made are bounded by the peer's addresses, and no flood of others may evict them.
        if not connected and len(self._strangers) >= MAX_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]  # now: until it has ended, it would be the oldest of others who come
            oldest.cancel()
        task = self._spawn(self._prove(sock, first=connected), sock)
        if task is not None and not connected:
            self._strangers[task] = None
            task.add_done_callback(lambda _: self._strangers.pop(task, None))

    async def _prove(self, sock: socket.socket, *, first: bool) -> None:
        proof = Proof(self._side, self._key, first=first)
        loop = asyncio.get_running_loop()
        address: Address | None = None
        try:
            address = sock.getpeername()[:2]
            # The peer may begin seconds later than its kernel accepts.
            async with asyncio.timeout(None if first else self._settings.patience.proof):
                await loop.sock_sendall(sock, proof.data_to_send())
                while proof.state is State.WAITING:
                    data = await loop.sock_recv(sock, proof.missing)
                    if not data:
                        raise ConnectionResetError("closed without a proof")
                    proof.receive(data)
                await loop.sock_sendall(sock, proof.data_to_send())
            if proof.state is State.STRANGER:
                raise ConnectionRefusedError("a wrong proof")
            remote = ipaddress.ip_address(address[0])
            self._proven.put_nowait((sock, Path.LAN if on_lan(remote, self._here) else Path.DIRECT_TCP))
        except (OSError, asyncio.QueueFull) as exc:
            logger.info("a connection was dropped: %s", exc)
            drop(sock)
            if first and address is not None:
                self._try_again(address)

    def _try_again(self, address: Address) -> None:
        """Connect to an address once more where the proof failed: the peer may not have begun, or been flooded."""
        self._tries[address] = self._tries.get(address, 1) + 1
        if self._tries[address] <= MAX_TRIES:
            self._spawn(self._later(address))

    async def _later(self, address: Address) -> None:
        await asyncio.sleep(PAUSE * self._settings.rng.uniform(0.5, 1.5))
        await self._port.keep_connecting(address, self._arrived, self._settings.rng)

    # -- TLS: the tapping can chooses, the attaching one takes part wherever it is asked to -----------

    async def _nominate(self, pin: Pin) -> TlsStream:
        while True:
            sock, path = await self._proven.get()
            with contextlib.suppress(OSError, AuthenticationFailed, StreamBroken):
                async with asyncio.timeout(self._settings.patience.nomination):
                    return await self._secure(sock, pin, path)

    async def _be_nominated(self, pin: Pin) -> TlsStream:
        ready: asyncio.Queue[TlsStream] = asyncio.Queue()

        async def take_part(sock: socket.socket, path: Path) -> None:
            with contextlib.suppress(OSError, AuthenticationFailed, StreamBroken):
                ready.put_nowait(await self._secure(sock, pin, path))

        async def take_part_everywhere() -> None:
            while True:
                sock, path = await self._proven.get()
                self._spawn(take_part(sock, path), sock)

        self._spawn(take_part_everywhere())
        return await ready.get()

    async def _secure(self, sock: socket.socket, pin: Pin, path: Path) -> TlsStream:
        stream = await secure(sock, pin, self._side, path)
        self._secured.append(stream)
        return stream
