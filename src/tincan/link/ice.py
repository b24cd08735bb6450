"""ICE for a link: the only module that knows aioice.

`IceAgent` is aioice's connection with what a quick and long-lived link needs
on top (RFC 8445, RFC 8838):

* host candidates are there at once; STUN and TURN servers, any number of
  them, are asked meanwhile and their candidates trickle in, so a server that
  never answers costs no time;
* a machine with nothing but loopback offers loopback;
* a direct pair is preferred to a relayed one that happens to answer first;
* consent (RFC 7675) is asked for every second (`tincan.link.consent`): that gives the
  round-trip time, and a peer that died is noticed in time;
* datagrams that nobody takes are dropped, not stored without bound;
* for a virtual network, packets share the port of the pair in use: either on
  a socket of their own (`IceAgent.packet_socket`), or through a relay.

It reaches into aioice 0.13 below its documented surface (`_protocols`,
`_nominated`, ...), which is why that version is fixed in pyproject.toml and
`tests/unit/link/test_adapters.py` fails when these move. That is also why the
file is long: nothing that touches aioice stands elsewhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import re
import socket
import struct
import sys
import time
import types
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, cast

from tincan.link.consent import CONSENT_INTERVAL, Consent
from tincan.link.description import Candidate
from tincan.link.interface import Path
from tincan.link.route import FIRST_OF_PACKETS, Route, path_between
from tincan.nat.addresses import Interface, host_addresses, interfaces
from tincan.nat.resolve import resolve
from tincan.nat.servers import IceServer


def _without_mdns() -> None:
    """Keep aioice from importing its mDNS resolver, and with it 40 ms of dnspython.

    Only browsers send ``.local`` candidates, and `usable_remote` refuses
    names, so of that module only the test for such a name is ever called.
    """
    if "aioice" not in sys.modules and "aioice.mdns" not in sys.modules:
        stand_in = types.ModuleType("aioice.mdns")
        pattern = re.compile(r"^[a-z0-9-]+\.local$", re.IGNORECASE)
        stand_in.is_mdns_hostname = lambda name: pattern.match(name) is not None  # type: ignore[attr-defined]
        stand_in.MDnsProtocol = object  # type: ignore[attr-defined]
        sys.modules["aioice.mdns"] = stand_in


_without_mdns()

import aioice.ice  # noqa: E402 - after its mDNS module was kept out
from aioice import stun, turn  # noqa: E402
from aioice.candidate import candidate_foundation, candidate_priority  # noqa: E402

logger = logging.getLogger(__name__)

SERVER_TIMEOUT: Final = 6.0
"""Seconds after which a STUN or TURN server that has not answered is given up."""

KEEP_INTERVAL: Final = 15.0
"""Seconds between questions to STUN servers while the peer is waited for (RFC 8445 section 11, Tr)."""

FIRST_RETRANSMIT: Final = 0.1
"""Seconds before an unanswered STUN request is sent again (then doubling).

aioice's 0.5 s (RFC 8489) would be paid in full whenever the first check of a
hole punch meets a NAT that is not open yet; libwebrtc is as quick as this. A
path slower than that costs a few superfluous small packets.
"""

CHECKS_A_TICK: Final = 4
"""Connectivity checks started each 20 ms, aioice's pace for one."""

DIRECT_GRACE: Final = 0.6
"""Seconds that a working relayed pair waits for a direct one before it is nominated."""

CLOSE_TIMEOUT: Final = 0.5
"""Seconds for giving an allocation back to a TURN server, which forgets it anyway."""

MAX_UNREAD: Final = 4096
"""Datagrams kept while nobody reads; more are dropped, as a full socket buffer would do."""

MAX_UNSENT: Final = 256 * 1024
"""Bytes of packets that wait for a relay to take them; more are dropped."""

MAX_DATAGRAM: Final = 4096
"""Bytes in a datagram. The cans' own fit an Ethernet frame; whoever finds the port may send larger ones."""

_CHANNEL_DATA: Final = struct.Struct("!HH")
"""What comes before data on a TURN channel: its number and the length (RFC 8656, section 12.4)."""

TURN_OVERHEAD: Final = 64
"""Bytes around a datagram in a Data indication (RFC 8656, section 11.6), and some more."""

stun.RETRY_RTO = FIRST_RETRANSMIT


class _StunProtocol(aioice.ice.StunProtocol):
    """aioice's, which takes data from everybody who finds the port; here it must come from the peer.

    A forged alert among the first packets would end the DTLS handshake, an
    empty datagram any link, and both would pass for a sign of life. Where the
    peer is has been told in a sealed envelope, or proved by a check.
    """

    def connection_made(self, transport: Any) -> None:
        """Take small datagrams."""
        _expect_small(transport)
        super().connection_made(transport)

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Pass on STUN messages, and data of the peer."""
        if isinstance(data, bytes) and data and (self._is_peer(addr[0], addr[1]) or _is_stun(data)):
            super().datagram_received(data, addr)

    def _is_peer(self, host: str, port: int) -> bool:
        return any(c._network_host == host and c.port == port for c in self.receiver._remote_candidates)


def _expect_small(transport: Any) -> None:
    """Have asyncio make room for a datagram of `MAX_DATAGRAM`, not for 256 KiB, with each one that it reads.

    That room costs ten times what reading does. A larger datagram is cut, which is as good as dropped: it still
    is too large here, and no STUN any more. On Windows it would be an error.
    """
    if sys.platform != "win32" and hasattr(transport, "max_size"):
        transport.max_size = MAX_DATAGRAM + TURN_OVERHEAD + 1


def _is_stun(data: bytes) -> bool:
    """Whether aioice takes it for STUN; what it does not, it passes on as data, or raises at."""
    if data[0] > 3:  # RFC 7983
        return False
    try:
        stun.parse_message(data)
    except (ValueError, struct.error):
        return False
    return True


# aioice makes them by this name.
aioice.ice.StunProtocol = _StunProtocol  # type: ignore[misc]


class IceAgent(aioice.ice.Connection):
    """One ICE agent with one component. Call `gather_hosts`, then `begin`; trickle with `add_remote`.

    ``packets``: the ports are shared with those of a virtual network.
    ``on_packet`` gets those that came through ICE all the same, and
    ``on_route`` is called when another pair is in use.
    """

    def __init__(
        self,
        *,
        controlling: bool,
        relay_only: bool = False,
        found: Iterable[Interface] | None = None,
        packets: bool = False,
    ) -> None:
        super().__init__(ice_controlling=controlling, components=1)
        self.relay_only = relay_only
        self.on_candidate: Callable[[Candidate], None] = lambda candidate: None
        self.on_packet: Callable[[bytes], None] = lambda packet: None
        self.on_route: Callable[[], None] = lambda: None
        self._packets = packets
        self._interfaces = list(interfaces() if found is None else found)
        self._freshness = Consent()
        self._renewed: set[aioice.ice.CandidatePair] = set()
        self._told: set[tuple[str, int]] = set()
        self._ending: asyncio.Task[None] | None = None

    @property
    def only_loopback(self) -> bool:
        """Whether this machine has nothing but loopback."""
        return all(i.address.is_loopback for i in self._interfaces)

    def take_role(self, *, controlling: bool) -> None:
        """Be controlling or controlled after all; `RuntimeError` once there is somebody to check with."""
        if self._remote_candidates or self.remote_username is not None:
            raise RuntimeError("the ICE role is settled")
        self.ice_controlling = controlling

    # -- gathering ---------------------------------------------------------

    async def gather_hosts(self) -> None:
        """Open a socket on every address; its host candidates are told at once."""
        self._local_candidates_start = self._local_candidates_end = True
        if not self.relay_only:
            # One by one: aioice knows the sockets of one call only when all of them are open.
            for address in host_addresses(self._interfaces):
                if self._packets:
                    await self._gather_shared(address)
                    continue
                for candidate in await self.get_component_candidates(1, [address]):
                    self._add_local(candidate)

    async def _gather_shared(self, address: str) -> None:
        """Do what aioice's `get_component_candidates` does for a host, on a port that packets can share."""
        from tincan.link.shared import first_socket  # of use on Linux alone

        try:
            sock = first_socket(address)
        except OSError as exc:
            logger.info("no socket on one of our addresses: %s", exc)
            return
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, turn.UDP_SOCKET_BUFFER_SIZE)
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_datagram_endpoint(lambda: aioice.ice.StunProtocol(self), sock=sock)
        host, port = sock.getsockname()[:2]
        protocol.local_candidate = aioice.Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=1,
            transport="udp",
            priority=candidate_priority(1, "host"),
            host=host,
            port=port,
            type="host",
        )
        self._protocols.append(protocol)
        self._add_local(protocol.local_candidate)

    async def ask_server(self, server: IceServer) -> None:
        """Learn the candidates one server can give. Returns within `SERVER_TIMEOUT`, whatever happens.

        What the server said or did not say is logged; a link can still come
        about without it.
        """
        if server.kind == "stun" and self.relay_only:
            return
        try:
            async with asyncio.timeout(SERVER_TIMEOUT):
                if server.kind == "stun":
                    await self._ask_stun(server)
                else:
                    await self._ask_turn(server)
        except TimeoutError:
            logger.info("%s server did not answer in time", server.kind)
        except Exception as exc:
            # Whatever a server says must not end the program, and aioice fails in many ways at what is
            # not as it should be (an answer without an address is a KeyError, several are a group).
            logger.info("%s server is of no use: %r", server.kind, exc)

    async def keep_asking(self, servers: Collection[IceServer], interval: float = KEEP_INTERVAL) -> None:
        """Ask STUN servers again and again, until cancelled, so that what they said stays true.

        While nobody comes, a NAT forgets an idle port. A relay's allocation is
        refreshed by itself. ``servers`` may grow meanwhile.
        """
        while True:
            await asyncio.sleep(interval)
            await asyncio.gather(*(self.ask_server(server) for server in tuple(servers) if server.kind == "stun"))

    async def _ask_stun(self, server: IceServer) -> None:
        hosts = [p for p in self._protocols if p.local_candidate.type == "host"]
        addresses = await resolve(server.host, server.port)
        async with asyncio.TaskGroup() as group:
            for protocol in hosts:
                version = ipaddress.ip_address(protocol.local_candidate.host).version
                usable = [a for _, a in addresses if ipaddress.ip_address(a).version == version]
                # An IPv6 host candidate reaches as far as its reflexive one would (no NAT).
                if usable and version == 4:
                    group.create_task(self._reflexive(protocol, (usable[0], server.port)))

    async def _reflexive(self, protocol: aioice.ice.StunProtocol, server: tuple[str, int]) -> None:
        # LookupError: an answer without the address that was asked for (RFC 3489 servers).
        with contextlib.suppress(stun.TransactionError, OSError, LookupError):
            candidate, _ = await aioice.ice.server_reflexive_candidate(protocol, server)
            self._add_local(candidate)

    async def _ask_turn(self, server: IceServer) -> None:
        host = server.host
        if server.transport != "tls":  # TLS needs the name, to check the certificate against it
            addresses = await resolve(host, server.port)
            host = addresses[0][1]
        candidate, protocol = await aioice.ice.relayed_candidate(
            component=1,
            hide_related_address=True,
            protocol_factory=lambda: aioice.ice.StunProtocol(self),
            turn_server=(host, server.port),
            turn_username=server.username,
            turn_password=server.credential,
            turn_ssl=server.transport == "tls",
            turn_transport="udp" if server.transport == "udp" else "tcp",
        )
        if self._closing:
            await protocol.close()
            return
        if self._packets:
            from tincan.link.shared import enlarge

            transport: Any = protocol.transport
            outer = transport._TurnTransport__inner_protocol.transport
            _expect_small(outer)
            enlarge(outer.get_extra_info("socket"))
        self._protocols.append(protocol)
        for remote in self._remote_candidates:
            self._pair_remote_candidate(remote)
        self.sort_check_list()
        self._add_local(candidate)

    def _add_local(self, candidate: aioice.Candidate) -> None:
        address = (candidate.host, candidate.port)
        if address in self._told or self._closing:
            return
        if not 0 < candidate.port < 65536:  # a server says so; the peer would refuse all of us for it
            raise ValueError(f"port {candidate.port}")
        self._told.add(address)
        self._local_candidates.append(candidate)
        self.on_candidate(
            Candidate(candidate.type, candidate.host, candidate.port, candidate.foundation, candidate.priority)
        )

    # -- checks ------------------------------------------------------------

    async def add_remote(self, candidate: Candidate) -> None:
        """Take a candidate of the peer; checks towards it begin at once when `begin` runs."""
        await self.add_remote_candidate(
            aioice.Candidate(
                foundation=candidate.foundation,
                component=1,
                transport="udp",
                priority=candidate.priority,
                host=candidate.address,
                port=candidate.port,
                type=candidate.kind,
            )
        )

    async def end_of_remote(self) -> None:
        """Tell that the peer has no more candidates, so that checks may fail for good. Idempotent."""
        if not self._remote_candidates_end:
            await self.add_remote_candidate(None)

    async def begin(self, ufrag: str, pwd: str) -> None:
        """Run connectivity checks until a pair is nominated; `ConnectionError` when none can be."""
        self.remote_username, self.remote_password = ufrag, pwd
        await self.connect()
        if self._closing:  # meanwhile; aioice has begun to ask for consent again
            if self._query_consent_task is not None:
                self._query_consent_task.cancel()
            await self.close()
            raise ConnectionError("closed")
        self._freshness.heard(time.monotonic())

    def _check_periodic(self) -> bool:
        """Start checks as quickly as RFC 8445 section 14.2 allows: one each 5 ms, here four each 20 ms."""
        return all(super(IceAgent, self)._check_periodic() for _ in range(CHECKS_A_TICK))

    def check_start_task(self, pair: aioice.ice.CandidatePair) -> None:
        """Start a check; the pair counts as in progress from now, not from the task's first step."""
        if pair.task is None:
            self.check_state(pair, aioice.ice.CandidatePair.State.IN_PROGRESS)
        super().check_start_task(pair)

    def check_incoming(self, message: stun.Message, addr: tuple[str, int], protocol: aioice.ice.StunProtocol) -> None:
        """Answer a check of the peer with one of our own at once (RFC 8445 section 7.3.1.4).

        When our check of that pair is under way already, it has probably met
        a NAT that this check of the peer has now opened: it begins anew, where
        aioice would wait for its retransmission. Once for each pair: on a slow
        path the answer to the first one may well be on its way.
        """
        for pair in self._check_list:
            in_progress = pair.state is aioice.ice.CandidatePair.State.IN_PROGRESS and pair.task is not None
            if in_progress and pair.protocol is protocol and pair.remote_addr == addr and pair not in self._renewed:
                self._renewed.add(pair)
                assert pair.task is not None  # noqa: S101 - looked at above
                pair.task.cancel()
                pair.task = None
                self.check_start_task(pair)
                break
        super().check_incoming(message, addr, protocol)

    async def check_start(self, pair: aioice.ice.CandidatePair) -> None:
        """Check one pair (RFC 8445 section 7.2), as aioice does, but do not rush to a relay.

        A direct pair is nominated by the check itself, which saves a round
        trip. A relayed one is checked first, and nominated when no direct pair
        has worked `DIRECT_GRACE` after it did.
        """
        relayed = "relay" in (pair.local_candidate.type, pair.remote_candidate.type)
        if not self.ice_controlling or self.relay_only or not relayed:
            await super().check_start(pair)
            return
        assert self.remote_password is not None  # noqa: S101 - set by begin()
        key = self.remote_password.encode()
        self.check_state(pair, aioice.ice.CandidatePair.State.IN_PROGRESS)
        try:
            await pair.protocol.request(self.build_request(pair, False), pair.remote_addr, integrity_key=key)
            self._renewed.add(pair)  # it works: nothing may interrupt its grace
            await asyncio.sleep(DIRECT_GRACE)
        except stun.TransactionError:
            self.check_state(pair, aioice.ice.CandidatePair.State.FAILED)
            self.check_complete(pair)
            return
        await super().check_start(pair)

    def check_complete(self, pair: aioice.ice.CandidatePair) -> None:
        """Of the pairs that have been nominated use the best one (RFC 5245 section 8.1.1.2), not the last one.

        A relayed pair whose grace has just ended may be nominated beside a
        direct one: both ends must then come to the same.
        """
        before = self._nominated.get(1)
        super().check_complete(pair)
        if before is not None and self._rank(before) > self._rank(self._nominated[1]):
            self._nominated[1] = before
        if self._nominated.get(1) is not before:
            self.on_route()

    def _rank(self, pair: aioice.ice.CandidatePair) -> int:
        return aioice.ice.candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    # -- the link's life -----------------------------------------------------

    @property
    def round_trip(self) -> float | None:
        """The smoothed round-trip time in seconds, None before the first measure."""
        return self._freshness.round_trip

    async def query_consent(self) -> None:
        """Ask for consent every `CONSENT_INTERVAL`; close when the peer went silent."""
        took = 0.0
        while True:
            # Without an answer the next question follows at once: two of them fit into the limit.
            await asyncio.sleep(max(0.0, CONSENT_INTERVAL - took))
            pair = self._nominated.get(1)
            if pair is None:
                return
            took = await self._ask_consent(pair)
            if self._freshness.is_lost(time.monotonic()):
                logger.info("the peer went silent")
                self._query_consent_task = None
                await self.close()
                return

    async def _ask_consent(self, pair: aioice.ice.CandidatePair) -> float:
        """Ask once; return how long that took."""
        assert self.remote_password is not None  # noqa: S101 - set by begin()
        request = self.build_request(pair, False)
        asked = time.monotonic()
        try:
            # 0.1 + 0.2 + 0.4 + 0.8: a round trip of up to 1.5 s still counts.
            await pair.protocol.request(
                request, pair.remote_addr, integrity_key=self.remote_password.encode(), retransmissions=3
            )
        except stun.TransactionError:
            self._freshness.unanswered()
        else:
            self._freshness.answered(asked, time.monotonic())
        return time.monotonic() - asked

    def send_now(self, data: bytes) -> None:
        """Send a datagram without waiting for anything, as aioice's ``send`` does in effect; `ConnectionError`."""
        pair = self._nominated.get(1)
        if pair is None:
            raise ConnectionError("there is no path")
        pair.protocol.transport.sendto(data, pair.remote_addr)

    def data_received(self, data: bytes, component: int) -> None:
        """Keep a datagram for `recv`, unless too many wait already.

        Anybody may have sent it. aiortc ends the link at an empty one.
        """
        if not 0 < len(data) <= MAX_DATAGRAM:
            return
        if self._packets and data[0] >= FIRST_OF_PACKETS:
            self.on_packet(data)  # proves nothing until somebody has opened it
            return
        self._freshness.heard(time.monotonic())
        if self._queue.qsize() < MAX_UNREAD:
            super().data_received(data, component)

    # -- packets of a virtual network ------------------------------------------

    @property
    def route(self) -> Route | None:
        """The pair in use, as far as packets are concerned."""
        pair = self._nominated.get(1)
        if pair is None:
            return None
        local = pair.local_candidate
        host, port = pair.remote_addr
        return Route((local.host, local.port), (host, port), local.type == "relay")

    def packet_socket(self) -> socket.socket:
        """Open the socket for the packets of the pair in use, which is not relayed; the caller closes it.

        Datagrams that begin with `FIRST_OF_PACKETS` or more then come there, and no more to ``on_packet``.
        """
        from tincan.link.shared import second_socket

        route = self.route
        if route is None or route.relayed:
            raise ConnectionError("no direct pair is in use")
        return second_socket(*route.local)

    def send_packet(self, packet: bytes) -> None:
        """Send a packet on the pair in use, whatever it is; dropped where it cannot be."""
        pair = self._nominated.get(1)
        if pair is None:
            return
        transport: Any = pair.protocol.transport
        # A TURN transport keeps the one to its server for itself, and what waits there without bound.
        turned = getattr(transport, "_TurnTransport__inner_protocol", None)
        outer = transport if turned is None else turned.transport
        if outer.is_closing() or outer.get_write_buffer_size() >= MAX_UNSENT:
            return
        if turned is None or (channel := turned.peer_to_channel.get(pair.remote_addr)) is None:
            transport.sendto(packet, pair.remote_addr)
        else:  # at once, where aioice makes a task of each; consent checks keep the channel bound
            turned._send(_CHANNEL_DATA.pack(channel, len(packet)) + packet)

    async def close(self) -> None:
        """Close; whoever reads is told at once, whatever a TURN server does. Idempotent."""
        self._nominated.clear()
        self._queue.put_nowait(None)
        if self._ending is None or self._ending.done():
            # One at a time: aioice's futures are shared, and the timeout of one call would cancel another.
            self._ending = asyncio.create_task(self._end(), name="closing ICE")
        await asyncio.shield(self._ending)

    async def _end(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await super().close()
        except TimeoutError:
            logger.info("a TURN server does not take its allocation back")
            for protocol in self._protocols:
                protocol.transport.close()
            self._protocols.clear()

    @property
    def path(self) -> Path | None:
        """The route of the pair in use; None while there is none."""
        pair = self._nominated.get(1)
        if pair is None:
            return None
        local, remote = pair.local_candidate, pair.remote_candidate
        return path_between(local.type, remote.type, remote.host, self._interfaces)


async def mapped_addresses(servers: Iterable[IceServer], seconds: float) -> list[tuple[str, int]]:
    """Return what each STUN server that answers says it sees of one and the same IPv4 socket.

    Two servers that see different ports mean address-dependent mapping (RFC 4787 section 4.1).
    """
    loop = asyncio.get_running_loop()
    idle = aioice.ice.Connection(ice_controlling=False)
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: aioice.ice.StunProtocol(idle),
        local_addr=("0.0.0.0", 0),  # noqa: S104 - one socket for every way out
    )

    async def ask(server: IceServer) -> tuple[str, int] | None:
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        try:
            async with asyncio.timeout(seconds):
                addresses = [a for f, a in await resolve(server.host, server.port) if f == socket.AF_INET]
                response, _ = await protocol.request(request, (addresses[0], server.port))
            return cast(tuple[str, int], response.attributes["XOR-MAPPED-ADDRESS"])
        except (stun.TransactionError, TimeoutError, OSError, LookupError):
            return None

    try:
        answers = await asyncio.gather(*(ask(server) for server in servers))
    finally:
        transport.close()
    return [answer for answer in answers if answer is not None]


async def probe_turn(server: IceServer) -> tuple[str, int]:
    """Make and give back one TURN allocation; return its relayed address, for `tin-can doctor`."""
    addresses = await resolve(server.host, server.port)
    host = server.host if server.transport == "tls" else addresses[0][1]
    waiting = aioice.ice.Connection(ice_controlling=False)
    try:
        async with asyncio.timeout(SERVER_TIMEOUT):
            transport, protocol = await turn.create_turn_endpoint(
                lambda: aioice.ice.StunProtocol(waiting),
                server_addr=(host, server.port),
                username=server.username,
                password=server.credential,
                ssl=server.transport == "tls",
                transport="udp" if server.transport == "udp" else "tcp",
            )
    except (stun.TransactionError, LookupError, ValueError) as exc:
        raise OSError(str(exc) or "an answer that makes no sense") from exc
    address = cast(tuple[str, int], transport.get_extra_info("sockname"))
    await protocol.close()
    return address
