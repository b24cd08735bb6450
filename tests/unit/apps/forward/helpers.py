"""Two multiplexers back to back, a string that is no string, and servers on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable, Sequence

from tincan.apps.forward import (
    Forwarder,
    ForwardEvent,
    Listening,
    Plan,
    read_allow,
    read_allow_listen,
    read_forwarding,
)
from tincan.apps.forward.events import Asked, Data, MuxEvent
from tincan.apps.forward.mux import Mux
from tincan.errors import PeerRefused
from tincan.link.interface import ChannelClosed
from tincan.link.memory import MemoryStream
from tincan.meet.mailbox import Side

# Cores


class MuxPair:
    """Sides "a" (odd ids) and "b", and the two wires between them. Whatever is in a Data event is collected."""

    def __init__(self) -> None:
        self.sides = {"a": Mux(odd=True), "b": Mux(odd=False)}
        self.wires = {"a": bytearray(), "b": bytearray()}
        self.events: dict[str, list[MuxEvent]] = {"a": [], "b": []}
        self.came: dict[str, dict[int, bytearray]] = {"a": {}, "b": {}}

    def flush(self, sender: str, limit: int = 2**20) -> None:
        self.wires[sender] += self.sides[sender].data_to_send(limit)
        self.collect(sender)

    def deliver(self, sender: str, count: int = 2**30) -> None:
        """Let the other side receive so many bytes of the wire."""
        other = "b" if sender == "a" else "a"
        data = bytes(self.wires[sender][:count])
        del self.wires[sender][:count]
        self.sides[other].receive(data)
        self.collect(other)

    def collect(self, side: str) -> None:
        for event in self.sides[side].take_events():
            if isinstance(event, Data):
                self.came[side].setdefault(event.id, bytearray()).extend(event.payload)
            else:
                self.events[side].append(event)

    def settle(self) -> None:
        """Carry everything both ways until nothing moves."""
        while any(self.wires.values()) or any(side.has_data_to_send for side in self.sides.values()):
            for sender in "ab":
                self.flush(sender)
                self.deliver(sender)

    def taken(self, side: str) -> list[MuxEvent]:
        events, self.events[side] = self.events[side], []
        return events

    def connect(self, opener: str = "a") -> int:
        """Open a connection and accept it; the events are taken."""
        other = "b" if opener == "a" else "a"
        id = self.sides[opener].open(b"somewhere")
        self.settle()
        assert self.taken(other)[-1] == Asked(id, b"somewhere")
        self.sides[other].accept(id)
        self.settle()
        self.taken(opener)
        return id


# Strings


class FakeString:
    """One end of a string within this process; `break_now` breaks it, until `mend_now`."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.peer = "peer"
        self.streams: asyncio.Queue[MemoryStream] = asyncio.Queue()
        self.other: FakeString | None = None
        self.stream: MemoryStream | None = None
        self.standing = asyncio.Event()
        self.standing.set()
        self.hung_up = False

    @classmethod
    def pair(cls) -> tuple[FakeString, FakeString]:
        a, b = cls(Side.ATTACH), cls(Side.TAP)
        a.other, b.other = b, a
        return a, b

    async def open_stream(self, *, bulk: bool = False) -> MemoryStream:
        assert self.other is not None
        if not self.standing.is_set():
            raise ChannelClosed("The link is gone.")
        self.stream, there = MemoryStream.pair()
        self.other.stream = there
        self.other.streams.put_nowait(there)
        return self.stream

    async def accept_stream(self) -> MemoryStream:
        return await self.streams.get()

    async def mend(self) -> None:
        await self.standing.wait()
        if self.hung_up:
            raise PeerRefused("The other can hung up.")

    def break_now(self) -> None:
        assert self.other is not None
        for end in (self, self.other):
            end.standing.clear()
        assert self.stream is not None
        self.stream.vanish()

    def mend_now(self) -> None:
        assert self.other is not None
        for end in (self, self.other):
            end.standing.set()


def plan(
    local: Sequence[str] = (), remote: Sequence[str] = (), allow: Sequence[str] = (), allow_listen: Sequence[str] = ()
) -> Plan:
    """A plan, from texts as a user types them."""
    return Plan(
        tuple(map(read_forwarding, local)),
        tuple(map(read_forwarding, remote)),
        tuple(map(read_allow, allow)),
        tuple(map(read_allow_listen, allow_listen)),
    )


class Can:
    """One side that forwards, and what it tells its user."""

    def __init__(self, string: FakeString) -> None:
        self.string = string
        self.told: list[ForwardEvent] = []
        self._news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    def tell(self, event: ForwardEvent) -> None:
        self.told.append(event)
        self._news.set()

    async def hears(self, wanted: Callable[[ForwardEvent], bool]) -> ForwardEvent:
        """Wait until an event has come."""
        while True:
            for event in self.told:
                if wanted(event):
                    return event
            self._news.clear()
            await self._news.wait()

    async def listening(self, number: int = 0) -> tuple[str, int]:
        """Where its first, second ... door is."""
        await self.hears(lambda _: len(self._doors()) > number)
        host, _, port = self._doors()[number].address.rpartition(":")
        return ("127.0.0.1" if host == "localhost" else host.strip("[]")), int(port)

    def _doors(self) -> list[Listening]:
        return [event for event in self.told if isinstance(event, Listening)]


@contextlib.asynccontextmanager
async def forwarding(near: Plan, far: Plan) -> AsyncIterator[tuple[Can, Can]]:
    """Two cans that forward to each other. At the end the first one is interrupted, and the other must see it go."""
    cans = Can((strings := FakeString.pair())[0]), Can(strings[1])
    async with Forwarder(near, cans[0].tell) as a, Forwarder(far, cans[1].tell) as b:
        tasks = [asyncio.create_task(a.run(strings[0])), asyncio.create_task(b.run(strings[1]))]
        cans[0].task, cans[1].task = tasks
        try:
            async with asyncio.timeout(120):
                yield cans
                tasks[0].cancel()
                await asyncio.wait(tasks)
            assert tasks[0].cancelled() or tasks[0].exception() is None
            assert tasks[1].exception() is None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


# Servers

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Give everything back, and then the end."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    writer.close()


@contextlib.asynccontextmanager
async def serving(serve: Serve = echo) -> AsyncIterator[int]:
    """A TCP server on the loopback; its port."""
    tasks: set[asyncio.Task[object]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):  # the end of the test
                await serve(reader, writer)  # type: ignore[misc]
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(run, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        waiting = list(tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def ask(address: tuple[str, int], question: bytes) -> bytes:
    """Connect, say something and the end, and return all of the answer."""
    reader, writer = await asyncio.open_connection(*address)
    try:

        async def say() -> None:
            writer.write(question)
            writer.write_eof()
            await writer.drain()

        async with asyncio.TaskGroup() as group:
            group.create_task(say())
            answer = group.create_task(reader.read())
        return answer.result()
    finally:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
