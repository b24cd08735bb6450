"""PCP and NAT-PMP over real sockets, with routers on this machine: some answer, others lie and flood."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import warnings
from collections.abc import AsyncIterator, Callable

import pytest

from ports import free_port
from tincan.nat.portmap.datagrams import Inbox, ask, endpoint
from tincan.nat.portmap.direct import NatPmpMapper, PcpMapper
from tincan.nat.portmap.mapping import Granted, NoMapping, Wanted

HERE = "127.0.0.1"
WANTED = Wanted(HERE, 41000, "tcp")

Reply = Callable[[bytes], list[bytes]]


class Datagrams(asyncio.DatagramProtocol):
    """A router that answers each datagram with what ``reply`` makes of it."""

    def __init__(self, reply: Reply) -> None:
        self.heard: list[bytes] = []
        self.senders: list[tuple[str, int]] = []
        self._reply = reply
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.heard.append(data)
        self.senders.append(addr)
        assert self._transport is not None
        for answer in self._reply(data):
            self._transport.sendto(answer, addr)


@contextlib.asynccontextmanager
async def router(reply: Reply) -> AsyncIterator[tuple[Datagrams, int]]:
    loop = asyncio.get_running_loop()
    transport, made = await loop.create_datagram_endpoint(lambda: Datagrams(reply), local_addr=(HERE, 0))
    try:
        yield made, transport.get_extra_info("sockname")[1]
    finally:
        transport.abort()


def pcp_answer(request: bytes, *, address: str = "cb007107", lifetime: int = 600, result: int = 0) -> bytes:
    """Answer a MAP request as RFC 6887 draws it."""
    head = bytes((2, 0x81, 0, result)) + lifetime.to_bytes(4, "big") + bytes(16)
    return head + request[24:42] + (42000).to_bytes(2, "big") + bytes(10) + b"\xff\xff" + bytes.fromhex(address)


def natpmp_answer(request: bytes, *, address: str = "cb007107") -> bytes:
    head = bytes((0, 128 + request[1], 0, 0)) + bytes(4)
    if request[1] == 0:
        return head + bytes.fromhex(address)
    lifetime = request[8:12]
    return head + request[4:6] + (42000).to_bytes(2, "big") + lifetime


async def test_pcp_maps_renews_and_deletes_with_one_nonce() -> None:
    async with router(lambda data: [pcp_answer(data)]) as (made, port):
        mapper = PcpMapper(HERE, WANTED, port=port)
        assert not mapper.asked
        for _ in range(2):
            assert await mapper.map() == Granted("203.0.113.7", 42000, 600)
        await mapper.unmap()
        await mapper.unmap()
    assert len({data[24:36] for data in made.heard}) == 1
    assert [int.from_bytes(data[4:8], "big") for data in made.heard] == [900, 900, 0]


async def test_nat_pmp_asks_for_the_address_first_and_deletes() -> None:
    async with router(lambda data: [natpmp_answer(data)]) as (made, port):
        mapper = NatPmpMapper(HERE, WANTED, port=port)
        assert await mapper.map() == Granted("203.0.113.7", 42000, 900)
        await mapper.unmap()
    assert [data[1] for data in made.heard] == [0, 2, 2]
    assert made.heard[-1][6:] == bytes(6)


async def test_a_nat_pmp_router_behind_another_nat_is_not_even_asked_for_a_mapping() -> None:
    async with router(lambda data: [natpmp_answer(data, address="c0a80002")]) as (made, port):
        mapper = NatPmpMapper(HERE, WANTED, port=port)
        with pytest.raises(NoMapping, match="another NAT"):
            await mapper.map()
    assert len(made.heard) == 1
    assert not mapper.asked


async def test_a_pcp_mapping_behind_another_nat_is_useless_and_left_to_be_deleted() -> None:
    async with router(lambda data: [pcp_answer(data, address="0a000001")]) as (_, port):
        mapper = PcpMapper(HERE, WANTED, port=port)
        with pytest.raises(NoMapping, match="another NAT"):
            await mapper.map()
        assert mapper.asked


async def test_the_true_answer_is_found_among_a_flood_of_wrong_ones() -> None:
    def reply(data: bytes) -> list[bytes]:
        wrong = pcp_answer(data[:24] + bytes(12) + data[36:], address="08080808")
        return [b"", b"x" * 1500, wrong, data, pcp_answer(data)]

    async with router(reply) as (_, port):
        assert (await PcpMapper(HERE, WANTED, port=port).map()).address == "203.0.113.7"


async def test_only_the_router_is_heard() -> None:
    def reply(data: bytes) -> list[bytes]:
        forger.sendto(pcp_answer(data, address="08080808"), made.senders[-1])
        return [pcp_answer(data)]

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as forger:
        forger.bind((HERE, 0))
        async with router(reply) as (made, port):
            assert (await PcpMapper(HERE, WANTED, port=port).map()).address == "203.0.113.7"


@pytest.mark.parametrize("mapper", [PcpMapper, NatPmpMapper])
async def test_where_nobody_listens_it_ends_at_once(mapper: type[PcpMapper | NatPmpMapper]) -> None:
    with pytest.raises((NoMapping, OSError)) as caught:
        await mapper(HERE, WANTED, port=free_port()).map()
    assert "no answer" not in str(caught.value)  # which is what one comes to after some waiting


async def test_whoever_floods_without_answering_is_given_up() -> None:
    async with router(lambda data: [b"no"] * 500) as (made, port):
        with pytest.raises(NoMapping, match="no answer"):
            await ask(HERE, (HERE, port), b"?", lambda data: None, (0.05, 0.05))
    assert len(made.heard) == 2


def test_a_socket_that_is_not_wanted_any_more_while_it_opens_is_closed() -> None:
    uvloop = pytest.importorskip("uvloop")  # asyncio's own loop sees to that itself

    async def hold(sock: socket.socket) -> None:
        async with endpoint(Inbox(), sock=sock):
            await asyncio.sleep(5)

    async def cancel_early(turns: int) -> None:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.bind((HERE, 0))
        task = asyncio.create_task(hold(sock))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    gc.collect()  # not of others
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for turns in range(1, 6):
            uvloop.run(cancel_early(turns))
    assert [str(warning.message) for warning in warned] == []
