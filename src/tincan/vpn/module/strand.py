"""One try of a link: sockets, ICE, DTLS, the hello. A link that is restarted gets another strand.

A strand is made, `gather` opens its sockets, `connect` and `add` bring what the
peer told, and `run` does everything until the end. It knows nothing of the
data plane: whoever owns it is called when it is up, when its route changes and
when the peer says something.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from tincan.errors import NoPath, ProtocolError
from tincan.link.description import MAX_CANDIDATES, acceptable
from tincan.link.description import Candidate as IceCandidate
from tincan.link.interface import ChannelClosed, CloseReason
from tincan.link.transports import Certificate
from tincan.link.webrtc import WebRtcLink
from tincan.meet.mailbox import Side
from tincan.nat.addresses import Interface
from tincan.nat.servers import IceServer
from tincan.tasks import plain_errors
from tincan.vpn.module.hello import (
    MESSAGE,
    Allowance,
    Hello,
    agree,
    read_hello,
    write_hello,
)
from tincan.vpn.module.methods import MAX_MESSAGE, Candidate, Description
from tincan.vpn.path.plane import SECRET_LENGTH, Cipher, LinkKeys, LinkTransport, RelayedTransport, UdpTransport

logger = logging.getLogger(__name__)

HELLO_TIMEOUT: Final = 10.0
"""Seconds for the peer's hello, once the link stands."""

MAX_UNSENT: Final = 64
"""Messages of the controller that wait to be sent; one more is refused."""


@dataclass(frozen=True)
class Wanted:
    """How a strand is to be made."""

    controlling: bool
    servers: tuple[IceServer, ...]
    relay_only: bool
    certificate: Certificate
    interfaces: tuple[Interface, ...]
    hello: Hello


@dataclass(frozen=True)
class Told:
    """Whom a strand tells what. Only ``up`` may raise, `NoPath`, and is waited for before messages are read."""

    candidates: Callable[[tuple[Candidate, ...], bool], None]
    up: Callable[[LinkKeys], Awaitable[None]]
    route: Callable[[], None]
    message: Callable[[bytes], None]
    packet: Callable[[bytes], None]


class Strand:
    """One try of a link."""

    def __init__(self, wanted: Wanted, told: Told) -> None:
        self.wanted = wanted
        self._told = told
        self.link = WebRtcLink(
            Side.TAP if wanted.controlling else Side.ATTACH,
            relay_only=wanted.relay_only,
            certificate=wanted.certificate,
            packets=True,
            found=wanted.interfaces,
        )
        self._found: list[IceCandidate] = []
        self._news = asyncio.Event()
        self._asked = asyncio.Event()
        self._remote: asyncio.Future[Description] = asyncio.get_running_loop().create_future()
        self._batches: asyncio.Queue[tuple[Iterable[Candidate], bool]] = asyncio.Queue(MAX_CANDIDATES)
        self._room = MAX_CANDIDATES
        self._outbox: asyncio.Queue[bytes] = asyncio.Queue(MAX_UNSENT)

    # -- before it runs --------------------------------------------------------------

    async def gather(self) -> Description:
        """Open the sockets; return this end's description with the candidates that are there at once."""
        self.link.ice.on_packet = self._told.packet
        await self.link.gather(self._take_local)
        self._described = len(self._found)
        complete = not self.wanted.servers
        return Description.of(self.link.description(tuple(self._found), complete=complete))

    @property
    def ufrag(self) -> str:
        """What candidates are told apart by, of this strand and of others."""
        return self.link.ice.local_username

    # -- what the controller brings ----------------------------------------------------

    @property
    def is_connected(self) -> bool:
        """Whether the peer's description has come."""
        return self._remote.done()

    def connect(self, remote: Description) -> None:
        """Take the peer's description; once."""
        self._remote.set_result(remote)
        self.add(remote.candidates, remote.complete)

    def add(self, candidates: Iterable[Candidate], complete: bool, ufrag: str | None = None) -> bool:
        """Take candidates of the peer; those beyond `MAX_CANDIDATES` in all are passed over, and those of another's.

        Returns whether they were of this strand.
        """
        if ufrag is not None and not (self._remote.done() and self._remote.result().ufrag == ufrag):
            return False
        taken = tuple(candidates)[: self._room]
        self._room -= len(taken)
        if taken or complete:
            with contextlib.suppress(asyncio.QueueFull):  # it was complete already
                self._batches.put_nowait((taken, complete))
        return True

    def send(self, data: bytes) -> bool:
        """Send a message to the other controller; False where too many wait already."""
        try:
            self._outbox.put_nowait(MESSAGE + data)
        except asyncio.QueueFull:
            return False
        return True

    # -- its life --------------------------------------------------------------------

    async def run(self) -> CloseReason:
        """Ask servers, connect, and keep the link until it ends; return why it did.

        Raises `NoPath`, `AuthenticationFailed` or `ProtocolError` where it
        did not come up.
        """
        with plain_errors():
            async with asyncio.TaskGroup() as group:
                beside = [group.create_task(work) for work in (self._ask_servers(), self._trickle(), self._feed())]
                beside.append(group.create_task(self.link.ice.keep_asking(self.wanted.servers)))
                try:
                    remote = await self._remote
                    beside[-1].cancel()
                    await self.link.connect(remote.ice())
                    await self._greet()
                    beside += [group.create_task(self._write()), group.create_task(self._read())]
                    return await self.link.wait_closed()
                finally:
                    for task in beside:
                        task.cancel()

    async def close(self) -> None:
        """Take everything down; the peer is told."""
        try:
            await self.link.close()
        except Exception:  # of one link; the others go on
            logger.exception("a link did not end well")

    def transport(self) -> LinkTransport:
        """Return where packets go on the pair in use; `NoPath` where there is none or no socket for them."""
        route = self.link.ice.route
        if route is None:
            raise NoPath("The path broke before packets could use it.")
        if route.relayed:
            return RelayedTransport(self.link.ice.send_packet)
        try:
            return UdpTransport(self.link.ice.packet_socket(), route.remote)
        except OSError as exc:
            raise NoPath(f"The port of the link could not be shared with its packets ({exc}).") from exc

    async def _greet(self) -> None:
        control = self.link.control
        try:
            async with asyncio.timeout(HELLO_TIMEOUT):
                await control.send(write_hello(self.wanted.hello))
                theirs = read_hello(await control.receive())
        except TimeoutError:
            raise ProtocolError("The other end of the link said nothing.") from None
        except ChannelClosed:
            raise NoPath("The path broke before the link was up.") from None
        cipher = Cipher(agree(self.wanted.hello, theirs))
        if self.link.ended:  # its hello can be read after its goodbye has come
            raise NoPath("The path broke before the link was up.")
        exported = self.link.export(2 * SECRET_LENGTH)
        await self._told.up(keys_of(exported, client=self.link.is_dtls_client, cipher=cipher))
        self.link.ice.on_route = self._told.route
        self._told.route()  # another pair may have been nominated meanwhile

    async def _write(self) -> None:
        with contextlib.suppress(ChannelClosed):
            while True:
                await self.link.control.send(await self._outbox.get())

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ChannelClosed):
            allowance = Allowance(loop.time())
            while True:
                message = await self.link.control.receive()
                if message[:1] == MESSAGE and len(message) <= 1 + MAX_MESSAGE:
                    # A peer may not flood the controller's events: it is let wait, by SCTP.
                    await asyncio.sleep(allowance.take(loop.time()))
                    self._told.message(message[1:])

    # -- candidates --------------------------------------------------------------------

    def _take_local(self, candidate: IceCandidate) -> None:
        if len(self._found) < MAX_CANDIDATES:
            self._found.append(candidate)
            self._news.set()

    async def _ask_servers(self) -> None:
        async with asyncio.TaskGroup() as group:
            for server in self.wanted.servers:
                group.create_task(self.link.ask_server(server))
        self._asked.set()
        self._news.set()

    async def _trickle(self) -> None:
        """Tell candidates that were found after the description, and that there are no more."""
        told = self._described
        complete = not self.wanted.servers
        while not complete:
            await self._news.wait()
            self._news.clear()
            complete = self._asked.is_set()
            fresh = self._found[told:]
            told += len(fresh)
            if fresh or complete:
                self._told.candidates(tuple(map(Candidate.of, fresh)), complete)

    async def _feed(self) -> None:
        """Give the peer's candidates to ICE."""
        complete = False
        while not complete:
            candidates, complete = await self._batches.get()
            usable = acceptable((c.ice() for c in candidates), loopback=self.link.ice.only_loopback)
            for candidate in usable:
                await self.link.ice.add_remote(candidate)
        await self._asked.wait()  # until our own servers have answered, the last pair has not been tried
        await self.link.ice.end_of_remote()


def keys_of(exported: bytes, *, client: bool, cipher: Cipher) -> LinkKeys:
    """Split keying material into the secrets of the two directions: that of DTLS's client comes first."""
    first, second = exported[:SECRET_LENGTH], exported[SECRET_LENGTH:]
    return LinkKeys(first, second, cipher) if client else LinkKeys(second, first, cipher)
