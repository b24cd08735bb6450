"""The other end of a module's link is hostile: it has the right certificate, and breaks every other rule."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from tincan.link.description import Candidate
from tincan.link.webrtc import WebRtcLink
from tincan.meet.mailbox import Side
from tincan.vpn.module.events import LinkChanged, MessageCame
from tincan.vpn.module.hello import BURST, MESSAGE, our_hello, write_hello
from tincan.vpn.module.methods import MAX_MESSAGE, Description
from tincan.vpn.module.states import State
from unit.link.pairs import only_the_test_is_left
from unit.vpn.module.modules import End, both, end, online, tie

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="virtual networks need Linux")

WITHIN = 120.0
GOOD = write_hello(our_hello("ip", fast_aes=True))


@contextlib.asynccontextmanager
async def attacked(alice: End, *more: Candidate) -> AsyncIterator[tuple[int, WebRtcLink]]:
    """Give a module a link to an attacker, who also names candidates that are none."""
    peer = WebRtcLink(Side.ATTACH)
    found = list(more)
    try:
        await peer.gather(found.append)
        made = await alice.module.create_link("mallory", controlling=True)
        description = peer.description(tuple(found), complete=True)
        await alice.module.connect_link(made.link, Description.of(description))
        remote = made.description.ice()
        for candidate in remote.candidates:
            await peer.ice.add_remote(candidate)
        await peer.ice.end_of_remote()
        await peer.connect(remote)
        yield made.link, peer
    finally:
        await peer.close()


@pytest.mark.parametrize(
    "first",
    [b"", b"hello", b"\x01", b"\x01" + b"[" * 20_000, b"\x01{}", MESSAGE + b"early", GOOD.replace(b"ip", b"xx")],
    ids=["empty", "words", "no JSON", "deep", "no fields", "a message", "another mode"],
)
async def test_a_wrong_hello_is_no_link(first: bytes) -> None:
    async with asyncio.timeout(WITHIN), end() as alice:
        async with attacked(alice) as (_, peer):
            await peer.control.send(first)
            event = await alice.ear.until(LinkChanged, state=State.FAILED)
            assert "does not speak as a TinCan module does" in (event.reason or "")
            assert not alice.plane.links
        # And the module goes on.
        assert await alice.module.trim_link(peer="mallory") == 1
    await only_the_test_is_left()


async def test_a_peer_that_leaves_while_its_hello_is_read() -> None:
    """There are no keys any more then; that is the end of one link, and not of the module."""
    async with asyncio.timeout(WITHIN), both() as (alice, bob):
        ours, _ = await tie(alice.module, bob.module)
        [link] = [link for link in alice.module._links if link.number == ours]
        assert link.next is not None
        victim = link.next.strand.link
        receive = victim.control.receive

        async def late() -> bytes:
            hello = await receive()
            await bob.module.trim_link(peer="alice")
            await victim.wait_closed()
            return hello

        victim.control.receive = late  # type: ignore[method-assign]
        await alice.ear.until(LinkChanged, state=State.FAILED)
        await tie(alice.module, bob.module)
        await online(alice)
    await only_the_test_is_left()


async def test_a_flood_of_messages_neither_stops_the_module_nor_costs_a_listener_its_place() -> None:
    async with asyncio.timeout(WITHIN), end() as alice, attacked(alice) as (number, peer):
        await peer.control.send(GOOD)
        await alice.ear.until(LinkChanged, state=State.ONLINE)

        async def flood() -> None:
            for message in (b"", b"\x07unknown", MESSAGE + bytes(MAX_MESSAGE + 1), b"\xff" * 1000):
                await peer.control.send(message)
            for count in range(20 * BURST):
                await peer.control.send(MESSAGE + str(count).encode())

        flooding = asyncio.create_task(flood())
        # Let nobody listen until the burst is there, and more would be if more were let through.
        async with alice.module.events() as others:
            for count in range(BURST + 10):
                event = await alice.ear.until(MessageCame)
                assert event == MessageCame(number, "mallory", str(count).encode())
            assert [state.state for state in await alice.module.state()] == [State.ONLINE]
            heard = await anext(others)
            assert isinstance(heard, MessageCame)
        flooding.cancel()
        await asyncio.wait([flooding])
        assert await alice.module.trim_link(number) == 1


async def test_no_check_is_sent_to_services_of_this_machine() -> None:
    """Candidates of the peer's name a service on loopback, a low port and a group; ICE never asks there."""
    with socket.socket(type=socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.setblocking(False)
        port = service.getsockname()[1]
        async with asyncio.timeout(WITHIN), end() as alice:
            bad = [("127.0.0.1", port), ("224.0.0.1", 5353), ("::ffff:127.0.0.1", port), ("192.0.2.1", 53)]
            candidates = [Candidate("host", a, p, str(n), 2**31 - 1 - n) for n, (a, p) in enumerate(bad)]
            async with attacked(alice, *candidates) as (_, peer):
                if peer.ice.only_loopback:
                    pytest.skip("this machine has nothing but loopback, which is then allowed")
                await peer.control.send(GOOD)
                await alice.ear.until(LinkChanged, state=State.ONLINE)
        with pytest.raises(BlockingIOError):
            service.recv(100)


async def test_candidates_without_end_are_passed_over() -> None:
    async with asyncio.timeout(WITHIN), both() as (alice, bob):
        ours, _ = await tie(alice.module, bob.module)
        for number in range(200):
            await alice.module.call(
                "add_candidates",
                link=ours,
                candidates=[
                    {"kind": "host", "address": "192.0.2.1", "port": 2000 + number, "foundation": "1", "priority": 1}
                ]
                * 40,
            )
        await online(alice, bob)


async def test_a_peer_that_vanishes_in_the_middle_of_it() -> None:
    async with asyncio.timeout(WITHIN), end() as alice:
        async with attacked(alice) as (_, peer):
            await peer.close()
            await alice.ear.until(LinkChanged, state=State.FAILED)
        async with attacked(alice) as (_, peer):
            await peer.control.send(GOOD)
            await alice.ear.until(LinkChanged, state=State.ONLINE)
            await peer.close()
            await alice.ear.until(LinkChanged, state=State.OFFLINE)
        assert not alice.plane.links
    await only_the_test_is_left()
