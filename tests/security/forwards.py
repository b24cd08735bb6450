"""The other end of a forwarding in the hands of the test: against a forwarder in this process, or a real one."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from security.cans import NO_STUN, PATIENCE, Can
from tincan.apps.forward import Forwarder, ForwardEvent, NotForwarded, Plan, Transport
from tincan.apps.forward.events import Accepted, Data, Ended, MuxEvent, Refused
from tincan.apps.forward.mux import Mux
from tincan.apps.forward.requests import Dial, Request, encode_request
from tincan.apps.greeting import hello, read_hello
from tincan.link.dial import LinkEvent, Settings, tie_string
from tincan.link.interface import Stream, StreamBroken
from tincan.link.punch import Punching
from tincan.link.streams import PREFIX, LinkStream
from tincan.meet.events import SideTaken
from tincan.meet.mailbox import Side
from tincan.meet.phrase import parse
from unit.apps.forward.helpers import FakeString
from unit.switchboard.wire import switchboard


class Mallory:
    """A peer who keeps the protocol's books, and may say anything beside them."""

    def __init__(self, stream: Stream, *, odd: bool = False) -> None:
        self.stream = stream
        self.odd = odd
        self.mux = Mux(odd=odd)
        self.heard: list[MuxEvent] = []
        self.came: dict[int, bytearray] = {}
        self.told: list[ForwardEvent] = []
        """What an honest forwarder in this process has told its user."""

    async def says(self, *frames: bytes) -> None:
        """Send these, or what the books have to send; even to one who has gone."""
        with contextlib.suppress(StreamBroken):
            for frame in frames or (self.mux.data_to_send(2**24),):
                await self.stream.write(frame)

    async def hears(self) -> None:
        """Take what comes next."""
        data = await self.stream.read(2**16)
        assert data, "the stream has ended"
        self.mux.receive(bytes(data))
        for event in self.mux.take_events():
            if isinstance(event, Data):
                self.came.setdefault(event.id, bytearray()).extend(event.payload)
                self.mux.consumed(event.id, len(event.payload))
            else:
                self.heard.append(event)

    async def answer(self, id: int) -> Accepted | Refused:
        """Wait for the answer to a request."""
        while True:
            for event in self.heard:
                if isinstance(event, Accepted | Refused) and event.id == id:
                    return event
            await self.hears()

    async def asks(self, request: Request) -> Accepted | Refused:
        """Ask for something and return the answer."""
        id = self.mux.open(encode_request(request))
        await self.says()
        return await self.answer(id)

    async def is_served(self, target: str) -> None:
        """In spite of it all an honest connection is carried: an echo, both ends included."""
        answer = await self.asks(Dial(target, Transport.TCP))
        assert isinstance(answer, Accepted), answer
        while self.mux.room(answer.id) < 5:
            await self.hears()
        self.mux.send(answer.id, b"hello")
        self.mux.send_eof(answer.id)
        await self.says()
        while Ended(answer.id) not in self.heard:
            await self.hears()
        assert self.came[answer.id] == b"hello"
        self.mux.release(answer.id)
        await self.says()

    def refused(self) -> list[NotForwarded]:
        """What the honest user was told of refusals."""
        return [event for event in self.told if isinstance(event, NotForwarded)]


@contextlib.asynccontextmanager
async def by_hand(plan: Plan) -> AsyncIterator[tuple[Mallory, asyncio.Task[None]]]:
    """Tie an honest forwarder in this process to the test."""
    strings = FakeString.pair()
    told: list[ForwardEvent] = []
    async with Forwarder(plan, told.append) as forwarder, asyncio.timeout(PATIENCE):
        task = asyncio.create_task(forwarder.run(strings[0]))
        mallory = Mallory(await strings[1].accept_stream())
        mallory.told = told
        try:
            yield mallory, task
        finally:
            with contextlib.suppress(StreamBroken):
                await mallory.stream.write_eof()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def against(
    *arguments: str, json: bool = True, within: tuple[str, ...] = ()
) -> AsyncIterator[tuple[Mallory, Can]]:
    """Tie a real `forward` to the test."""
    text = f"{10_000_000 + secrets.randbelow(80_000_000)}-guitar-banana"
    sides: list[Side] = []

    def tell(event: LinkEvent) -> None:
        if isinstance(event, SideTaken):
            sides.append(event.side)

    async with switchboard() as url:
        where = ("--switchboard", url, *NO_STUN)
        settings = Settings(switchboards=(url,), lan=False, timeout=PATIENCE)
        async with (
            asyncio.timeout(PATIENCE),
            Can.started("forward", text, *arguments, *where, json=json, within=within) as victim,
            tie_string(None, parse(text), settings, tell) as link,
        ):
            await link.control.send(hello("forward", "Mallory"))
            read_hello(await link.control.receive(), "forward")
            [side] = sides
            odd = side is Side.ATTACH
            channel = await (link.open_channel(PREFIX + "forward") if odd else link.accept_channel())
            stream = LinkStream(channel, link, side, Punching(port_mapping=False))
            stream.start_punching()
            try:
                yield Mallory(stream, odd=odd), victim
            finally:
                await stream.close()
