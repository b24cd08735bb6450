"""A peer made by hand against a real forwarder: what breaks the protocol, and what is only too much."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
import pytest

from tincan.apps.forward import Forwarder, Plan, Transport
from tincan.apps.forward.answers import MAX_LENT
from tincan.apps.forward.events import Accepted, Ended, MuxEvent, Refused
from tincan.apps.forward.frames import PREFACE
from tincan.apps.forward.mux import Mux
from tincan.apps.forward.requests import Dial, Listen, encode_request
from tincan.errors import ProtocolError
from tincan.link.interface import StreamBroken
from unit.apps.forward.helpers import FakeString, closed, plan, serving


class ByHand:
    """A peer made of a stream and a multiplexer, against a real forwarder."""

    def __init__(self, string: FakeString) -> None:
        self.string = string
        self.mux = Mux(odd=False)

    async def says(self, data: bytes | None = None) -> None:
        """Send bytes, or what the multiplexer has to send."""
        assert self.string.stream is not None
        await self.string.stream.write(self.mux.data_to_send(2**20) if data is None else data)

    async def hears(self) -> MuxEvent:
        """Wait for the next event."""
        assert self.string.stream is not None
        while not (events := self.mux.take_events()):
            self.mux.receive(await self.string.stream.read(2**16))
        return events[0]


@contextlib.asynccontextmanager
async def by_hand(near: Plan) -> AsyncIterator[tuple[ByHand, asyncio.Task[None]]]:
    strings = FakeString.pair()
    async with Forwarder(near, lambda event: None) as forwarder, asyncio.timeout(120):
        task = asyncio.create_task(forwarder.run(strings[0]))
        await strings[1].accept_stream()
        try:
            yield ByHand(strings[1]), task
        finally:
            assert strings[1].stream is not None
            with contextlib.suppress(StreamBroken):
                await strings[1].stream.write_eof()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n", PREFACE + b"\xff" * 9])
async def test_a_peer_that_speaks_something_else_ends_it(data: bytes) -> None:
    async with by_hand(plan(allow=["*:*"])) as (peer, task):
        await peer.says(data)
        with pytest.raises(ProtocolError):
            await task


async def test_a_request_of_a_later_version_is_refused() -> None:
    async with by_hand(plan(allow=["*:*"])) as (peer, _):
        peer.mux.open(msgspec.msgpack.encode({"kind": "socks"}))
        await peer.says()
        event = await peer.hears()
        assert isinstance(event, Refused)
        assert "upgraded" in event.text


async def test_a_peer_may_not_have_doors_without_number() -> None:
    async with by_hand(plan(allow_listen=["0"])) as (peer, _):
        for number in range(1, MAX_LENT + 2):
            peer.mux.open(encode_request(Listen("localhost:0", f"web:{number}", Transport.TCP)), carries_data=False)
            await peer.says()
            event = await peer.hears()
            assert isinstance(event, Accepted if number <= MAX_LENT else Refused)


async def test_a_door_closes_when_the_peer_has_no_use_for_it() -> None:
    async with by_hand(plan(allow_listen=["0"])) as (peer, _):
        id = peer.mux.open(encode_request(Listen("localhost:0", "web:80", Transport.TCP)), carries_data=False)
        await peer.says()
        event = await peer.hears()
        assert isinstance(event, Accepted)
        port = int(event.text.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await closed(writer)
        peer.mux.release(id)
        await peer.says()
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                break
            await closed(writer)


async def test_many_small_frames_for_a_reader_that_stands_still_take_no_more_than_their_bytes() -> None:
    taking = asyncio.Event()
    taken: list[bytes] = []

    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await taking.wait()
        taken.append(await reader.read())
        writer.write(b"all")

    async with serving(late) as port, by_hand(plan(allow=["*:*"])) as (peer, _):
        id = peer.mux.open(encode_request(Dial(f"127.0.0.1:{port}", Transport.TCP)))
        await peer.says()
        assert isinstance(await peer.hears(), Accepted)
        while not peer.mux.room(id):
            await peer.hears()
        count = 0
        while room := min(100, peer.mux.room(id)):  # until nothing more fits anywhere
            peer.mux.send(id, b"x" * room)
            await peer.says()
            count += room
        peer.mux.send_eof(id)
        await peer.says()
        taking.set()
        while not isinstance(await peer.hears(), Ended):
            pass
        assert taken == [b"x" * count]
