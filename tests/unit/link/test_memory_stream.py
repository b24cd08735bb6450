"""The stream within one process keeps the contract, and does what tests need of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from tincan.link.interface import Stream, StreamBroken
from tincan.link.memory import MemoryStream
from unit.link.stream_contract import WITHIN, StreamContract
from unit.link.stream_pairs import read_all


class TestMemoryStream(StreamContract):
    holds = 512 * 1024

    @contextlib.asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[Stream, Stream]]:
        yield MemoryStream.pair()


async def test_what_came_before_a_break_can_be_read() -> None:
    near, far = MemoryStream.pair()
    await near.write(b"last words")
    near.vanish()
    assert await far.read(4) == b"last"
    assert await far.read(100) == b" words"
    with pytest.raises(StreamBroken):
        await far.read(1)


async def test_an_end_that_was_said_survives_a_break() -> None:
    near, far = MemoryStream.pair()
    await near.write(b"all")
    await near.write_eof()
    near.vanish()
    assert await read_all(far) == b"all"
    with pytest.raises(StreamBroken):
        await far.write(b"x")


async def test_it_breaks_at_the_very_byte() -> None:
    near, far = MemoryStream.pair()
    near.break_after = 10
    await near.write(b"12345")
    with pytest.raises(StreamBroken):
        await near.write(b"67890 and more")
    assert await far.read(100) == b"1234567890"
    with pytest.raises(StreamBroken):
        await far.read(1)


async def test_the_capacity_is_exact() -> None:
    near, far = MemoryStream.pair(capacity=100)
    async with asyncio.timeout(WITHIN):
        writing = asyncio.create_task(near.write(bytes(250)))
        for size in (100, 100, 50):
            assert len(await far.read(1000)) == size
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        await writing
