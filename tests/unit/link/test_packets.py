"""Packets of a virtual network beside a link, on its port."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import aioice.turn
import pytest

from tincan.link.ice import MAX_DATAGRAM
from tincan.link.transports import DTLS_1_2, Certificate
from tincan.link.webrtc import WebRtcLink
from tincan.meet.mailbox import Side
from unit.link.contract import WITHIN
from unit.link.pairs import LOOPBACK, only_the_test_is_left

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="ports are shared so on Linux only")


@contextlib.asynccontextmanager
async def tied(certificate: Certificate | None = None) -> AsyncIterator[tuple[WebRtcLink, WebRtcLink]]:
    a, b = (WebRtcLink(s, packets=True, found=LOOPBACK, certificate=certificate) for s in (Side.TAP, Side.ATTACH))
    told: dict[WebRtcLink, list] = {a: [], b: []}
    try:
        async with asyncio.timeout(WITHIN):
            for link, found in told.items():
                await link.gather(found.append)
            descriptions = {link: link.description(tuple(found), complete=True) for link, found in told.items()}
            for link, other in ((a, b), (b, a)):
                for candidate in told[other]:
                    await link.ice.add_remote(candidate)
                await link.ice.end_of_remote()
            await asyncio.gather(a.connect(descriptions[b]), b.connect(descriptions[a]))
            yield a, b
    finally:
        await a.close()
        await b.close()
    await only_the_test_is_left()


async def test_packets_and_the_link_share_a_port() -> None:
    async with tied() as (a, b):
        route = a.ice.route
        assert route is not None
        assert not route.relayed
        with a.ice.packet_socket() as near, b.ice.packet_socket() as far:
            assert near.getsockname() == route.local
            assert far.getsockname() == route.remote
            near.sendto(b"\xc0packet", route.remote)
            loop = asyncio.get_running_loop()
            assert await loop.sock_recv(far, 100) == b"\xc0packet"
            await a.control.send(b"and the link as well")
            assert await b.control.receive() == b"and the link as well"


async def test_packets_without_a_socket_come_through_ice() -> None:
    async with tied() as (a, b):
        heard: asyncio.Queue[bytes] = asyncio.Queue()
        b.ice.on_packet = heard.put_nowait
        a.ice.send_packet(b"\xffthrough ICE")
        assert await heard.get() == b"\xffthrough ICE"
        # Nobody else's packets, and they prove no life.
        with socket.socket(type=socket.SOCK_DGRAM) as stranger:
            route = b.ice.route
            assert route is not None
            stranger.sendto(b"\xffstranger", route.local)
            a.ice.send_packet(b"\xfflast")
            assert await heard.get() == b"\xfflast"


async def test_secrets_are_exported_alike_and_only_once() -> None:
    certificate = Certificate.make()
    exported = []
    for _ in range(2):
        async with tied(certificate) as (a, b):
            assert a.export(64) == b.export(64)
            assert {a.is_dtls_client, b.is_dtls_client} == {True, False}
            exported.append(a.export(64))
    assert exported[0] != exported[1]
    assert len(certificate.digest) == 32


async def test_before_and_after_the_link_there_is_nothing() -> None:
    link = WebRtcLink(Side.TAP, packets=True, found=LOOPBACK)
    assert link.ice.route is None
    link.ice.send_packet(b"\xffnowhere")
    with pytest.raises(ConnectionError):
        link.ice.packet_socket()
    with pytest.raises(RuntimeError):
        link.export(64)
    await link.close()


async def test_another_pair_in_use_is_told() -> None:
    async with tied() as (a, _):
        told = []
        a.ice.on_route = lambda: told.append(a.ice.route)
        [pair] = a.ice._nominated.values()
        a.ice.check_complete(pair)
        assert told == []
        a.ice._nominated.clear()
        a.ice.check_complete(pair)
        assert told == [a.ice.route]


async def test_links_of_people_open_their_sockets_as_ever() -> None:
    link = WebRtcLink(Side.TAP)
    await link.gather(lambda candidate: None)
    for protocol in link.ice._protocols:
        sock = protocol.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT) == 0
        assert protocol.transport.max_size < 2 * MAX_DATAGRAM, "asyncio makes so much room for each datagram"
    await link.close()


def test_no_version_before_dtls_1_2(monkeypatch: pytest.MonkeyPatch) -> None:
    from OpenSSL import SSL

    asked = []
    monkeypatch.setattr(SSL.Context, "set_min_proto_version", lambda _, version: asked.append(version))
    Certificate.make()._create_ssl_context(sys.modules["aiortc.rtcdtlstransport"].SRTP_PROFILES)
    assert asked == [DTLS_1_2]


def test_what_a_relay_buffers_can_be_seen_and_its_channels_used() -> None:
    """`IceAgent.send_packet` looks at privates of aioice's."""
    assert hasattr(aioice.turn.TurnTransport(None), "_TurnTransport__inner_protocol")  # type: ignore[arg-type]
    for kind in (aioice.turn.TurnClientUdpProtocol, aioice.turn.TurnClientTcpProtocol):
        made = kind(("127.0.0.1", 9), username=None, password=None, lifetime=1, channel_refresh_time=1)
        assert made.peer_to_channel == {}
        assert callable(made._send)
