"""UDP through the string: a flow for each source, and nothing that queues."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from tincan.apps.forward import ConnectionClosed, ConnectionOpened, NotForwarded
from tincan.apps.forward.datagrams import IDLE, MAX_FLOWS
from tincan.apps.forward.udp import MAX_EARLY, FlowEnd, UdpDoor
from unit.apps.forward.helpers import forwarding, plan
from virtualtime import in_virtual_time


class Socket(asyncio.DatagramProtocol):
    """A UDP socket for tests; ``answers``: it gives back what it gets, with its letters made capital."""

    def __init__(self, answers: bool = False) -> None:
        self.answers = answers
        self.got: asyncio.Queue[bytes] = asyncio.Queue()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.got.put_nowait(data)
        if self.answers:
            self.transport.sendto(data.upper(), addr)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])


@contextlib.asynccontextmanager
async def udp(answers: bool = False, remote: tuple[str, int] | None = None) -> AsyncIterator[Socket]:
    local = None if remote else ("127.0.0.1", 0)
    transport, sock = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Socket(answers), local_addr=local, remote_addr=remote
    )
    try:
        yield sock
    finally:
        transport.close()


async def test_questions_and_answers_of_several_sources() -> None:
    async with (
        udp(answers=True) as server,
        forwarding(plan([f"0:127.0.0.1:{server.port}/udp"]), plan(allow=[f"127.0.0.1:{server.port}"])) as (near, far),
    ):
        address = await near.listening()
        async with udp(remote=address) as one, udp(remote=address) as two:
            for number in range(5):
                one.transport.sendto(f"one {number}".encode())
                assert await one.got.get() == f"ONE {number}".encode()
                two.transport.sendto(f"two {number}".encode())
                assert await two.got.get() == f"TWO {number}".encode()
            one.transport.sendto(b"x" * 60_000)
            assert await one.got.get() == b"X" * 60_000
        assert sum(isinstance(event, ConnectionOpened) for event in far.told) == 2


async def test_a_door_for_udp_at_the_other_side() -> None:
    async with udp(answers=True) as server:
        wish = plan(remote=[f"0:127.0.0.1:{server.port}/udp"])
        async with (
            forwarding(wish, plan(allow_listen=["0"])) as (_, far),
            udp(remote=await far.listening()) as client,
        ):
            client.transport.sendto(b"hello")
            assert await client.got.get() == b"HELLO"


async def test_a_refused_flow_is_told_and_the_next_datagram_asks_again() -> None:
    async with forwarding(plan(["0:127.0.0.1:9/udp"]), plan()) as (near, _), udp() as client:
        address = await near.listening()
        for count in (1, 2):
            client.transport.sendto(b"hello", address)
            while sum(isinstance(event, NotForwarded) for event in near.told) < count:
                await asyncio.sleep(0.005)


async def test_flows_end_with_the_string() -> None:
    async with (
        udp(answers=True) as server,
        udp() as client,
        forwarding(plan([f"0:127.0.0.1:{server.port}/udp"]), plan(allow=["*:*"])) as (near, _),
    ):
        address = await near.listening()
        client.transport.sendto(b"before", address)
        assert await client.got.get() == b"BEFORE"
        near.string.break_now()
        await near.hears(lambda event: isinstance(event, ConnectionClosed))
        near.string.mend_now()
        client.transport.sendto(b"after", address)
        assert await client.got.get() == b"AFTER"


# The door by itself


def door() -> tuple[UdpDoor, list[FlowEnd], list[FlowEnd]]:
    arrived: list[FlowEnd] = []
    gone: list[FlowEnd] = []
    return UdpDoor(arrived=arrived.append, opened=lambda _: None, gone=lambda f, _: gone.append(f)), arrived, gone


@in_virtual_time
async def test_idle_flows_end() -> None:
    here, arrived, gone = door()
    here.datagram_received(b"x", ("127.0.0.1", 1))
    await asyncio.sleep(IDLE / 2)
    here.datagram_received(b"x", ("127.0.0.1", 2))
    here.datagram_received(b"x", ("127.0.0.1", 1))
    await asyncio.sleep(IDLE / 2 + 1)
    assert gone == []
    await asyncio.sleep(IDLE / 2)
    assert gone == [arrived[1], arrived[0]]
    here.datagram_received(b"x", ("127.0.0.1", 1))
    assert len(arrived) == 3
    await asyncio.sleep(IDLE)
    assert gone == [arrived[1], arrived[0], arrived[2]]


@in_virtual_time
async def test_the_number_of_flows_is_bounded() -> None:
    here, arrived, gone = door()
    for port in range(MAX_FLOWS + 1):
        here.datagram_received(b"x", ("127.0.0.1", port))
    assert gone == [arrived[0]]
    here.connection_lost(None)
    assert len(gone) == MAX_FLOWS + 1


async def test_only_a_few_datagrams_wait_for_the_connection() -> None:
    async with udp() as server, udp() as client:
        wish = plan([f"0:127.0.0.1:{server.port}/udp"])
        async with forwarding(wish, plan(allow=["*:*"])) as (near, _):
            address = await near.listening()
            for number in range(3 * MAX_EARLY):
                client.transport.sendto(bytes([number]), address)
            got = [await server.got.get() for _ in range(MAX_EARLY)]
            assert got == [bytes([number]) for number in range(MAX_EARLY)]
