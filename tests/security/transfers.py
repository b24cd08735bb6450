"""One end of a file transfer in the hands of the test: it says frames, in whatever order and however wrong."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from security.cans import NO_STUN, Can
from tincan.apps.files import FilesEvent, Outcome, named, receive_over, send_over
from tincan.apps.files.frames import (
    DATA_KIND,
    HEADER,
    VERSION,
    Accept,
    Control,
    End,
    Entries,
    Entry,
    Error,
    Offer,
    Ready,
    Start,
    Whole,
    body_of,
    encode,
)
from tincan.apps.files.hashing import digest_of
from tincan.apps.files.splitter import Splitter
from tincan.apps.greeting import hello, read_hello
from tincan.errors import TinCanError
from tincan.link.dial import Settings, tie_string
from tincan.link.interface import Stream, StreamBroken
from tincan.link.memory import MemoryStream
from tincan.link.punch import Punching
from tincan.link.streams import PREFIX, LinkStream
from tincan.meet.mailbox import Side
from tincan.meet.phrase import parse
from unit.apps.files.helpers import User
from unit.switchboard.wire import switchboard

Frame = TypeVar("Frame", bound=Control)

PATIENCE = 120.0


def file(name: str, size: int = 0, mode: int = 0o644) -> Entry:
    """An entry of an offer."""
    return Entry(name, size, mode, 0)


def folder(name: str) -> Entry:
    """The same for a folder."""
    return Entry(name, 0, 0o755, 0, True)


def offer(*entries: Entry, total: int | None = None, count: int | None = None) -> bytes:
    """Return an offer, which may lie about its total and its count."""
    frames = [Entries(list(entries[begin : begin + 1000])) for begin in range(0, len(entries), 1000)]
    id = digest_of(b"".join(map(body_of, frames)))
    real = sum(max(entry.size, 0) for entry in entries)
    said = Offer(VERSION, id, len(entries) if count is None else count, real if total is None else total)
    return encode(said) + b"".join(map(encode, frames))


def data(content: bytes, size: int | None = None) -> bytes:
    """Return a DATA frame."""
    return HEADER.pack(len(content) if size is None else size, DATA_KIND) + content


def whole(index: int, content: bytes, digest: bytes | None = None) -> bytes:
    """Return a whole small file."""
    end = End(index, len(content), digest_of(content) if digest is None else digest)
    return encode(Start(index, 0)) + (data(content) if content else b"") + encode(end)


def in_one(index: int, content: bytes) -> bytes:
    """Return the same in one frame."""
    return encode(Whole(index, memoryview(content), digest_of(content)))


def raw(kind: int, fields: object) -> bytes:
    """Return a control frame with any fields."""
    body = msgspec.msgpack.encode(fields)
    return HEADER.pack(len(body), kind) + body


class Mallory:
    """The hostile end of a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._splitter = Splitter()
        self._heard: list[Control | bytes] = []

    async def say(self, *frames: Control | bytes) -> None:
        """Say these, even to one who has gone."""
        with contextlib.suppress(StreamBroken):
            for frame in frames:
                await self.stream.write(frame if isinstance(frame, bytes) else encode(frame))

    async def hear(self, kind: type[Frame]) -> Frame:
        """Return the next frame of a kind, passing over others."""
        while True:
            while self._heard:
                frame = self._heard.pop(0)
                if isinstance(frame, kind):
                    return frame
            heard = await self.stream.read(65536)
            assert heard, f"the stream ended without {kind.__name__}"
            self._heard += [bytes(f) if isinstance(f, memoryview) else f for f in self._splitter.split(heard)]

    async def agree(self, *entries: Entry) -> None:
        """As a sender: offer, and wait until content may come."""
        await self.say(offer(*entries))
        await self.hear(Ready)

    async def goodbye(self) -> None:
        """Read to the end, and answer it with one: an honest end would wait some seconds for that."""
        with contextlib.suppress(StreamBroken):
            while await self.stream.read(65536):
                pass
            await self.stream.write_eof()

    async def accept(self) -> None:
        """As a receiver: take the offer."""
        await self.hear(Offer)
        await self.say(Accept())


class Victim:
    """An honest end in this process."""

    def __init__(self, user: User, task: asyncio.Task[Outcome], mallory: Mallory) -> None:
        self.user = user
        self.task = task
        self._mallory = mallory

    async def outcome(self) -> Outcome:
        """Wait for a good end."""
        await self._mallory.goodbye()
        return await self.task

    async def complains(self) -> TinCanError:
        """Wait for the error that it ends with: one sentence, exit code 8."""
        await self._mallory.goodbye()
        with pytest.raises(TinCanError) as caught:
            await self.task
        exc = caught.value
        assert exc.exit_code == 8, exc
        assert str(exc)[0].isupper()
        assert str(exc).isprintable()
        return exc


@contextlib.asynccontextmanager
async def _between(
    user: User, work: asyncio.Task[Outcome], ends: Sequence[MemoryStream]
) -> AsyncIterator[tuple[Mallory, Victim]]:
    async with asyncio.timeout(PATIENCE):
        try:
            mallory = Mallory(ends[0])
            yield mallory, Victim(user, work, mallory)
        finally:
            for end in ends:
                await end.close()
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)


@contextlib.asynccontextmanager
async def evil_sender(
    target: Path, *, overwrite: bool = False, stall: float = PATIENCE
) -> AsyncIterator[tuple[Mallory, Victim]]:
    """Let an honest receiver take what the test sends."""
    ours, theirs = MemoryStream.pair()
    user = User()
    taking = receive_over(theirs, target, user.decide, user.events.append, overwrite=overwrite, stall=stall)
    async with _between(user, asyncio.create_task(_hanging_up(taking, theirs)), (ours, theirs)) as both:
        yield both


@contextlib.asynccontextmanager
async def evil_receiver(*sources: Path, stall: float = PATIENCE) -> AsyncIterator[tuple[Mallory, Victim]]:
    """Let an honest sender send to the test."""
    ours, theirs = MemoryStream.pair()
    user = User()
    events: list[FilesEvent] = user.events
    giving = send_over(theirs, [named(str(path)) for path in sources], events.append, stall=stall)
    async with _between(user, asyncio.create_task(_hanging_up(giving, theirs)), (ours, theirs)) as both:
        yield both


async def _hanging_up(work: object, stream: MemoryStream) -> Outcome:
    try:
        return await work  # type: ignore[no-any-return, misc]
    finally:
        await stream.close()


@contextlib.asynccontextmanager
async def against(command: str, *arguments: str, json: bool = True) -> AsyncIterator[tuple[Mallory, Can]]:
    """Tie a string with a real `send` or `receive`, and have the other end of its stream."""
    text = f"{10_000_000 + secrets.randbelow(80_000_000)}-guitar-banana"
    sends = command == "send"
    async with switchboard() as url:
        phrase = ("--phrase", text) if sends else (text,)
        settings = Settings(switchboards=(url,), lan=False, timeout=PATIENCE)
        side = Side.TAP if sends else Side.ATTACH
        async with (
            asyncio.timeout(PATIENCE),
            Can.started(command, *phrase, *arguments, "--switchboard", url, *NO_STUN, json=json) as victim,
            tie_string(side, parse(text), settings, lambda event: None) as link,
        ):
            await link.control.send(hello("files", "Mallory"))
            read_hello(await link.control.receive(), "files")
            label = PREFIX + "files"
            channel = await (link.accept_channel() if sends else link.open_channel(label))
            stream = LinkStream(channel, link, side, Punching(port_mapping=False))
            stream.start_punching()
            try:
                yield Mallory(stream), victim
            finally:
                await stream.close()


async def told_why(mallory: Mallory) -> str:
    """Return what the victim says when it stops."""
    return (await mallory.hear(Error)).text
