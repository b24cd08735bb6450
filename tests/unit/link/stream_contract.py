"""What every pair of streams must do, whatever carries them.

A test class for an implementation inherits `StreamContract` and says how a
pair is made. Each behaviour is tried from both sides, and every wait is bounded.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from tincan.link.interface import Path, Stream, StreamBroken
from unit.link.stream_pairs import read_all, some_bytes, write_all, write_without_end

WITHIN = 120.0
MIB = 1024 * 1024

Sides = tuple[Stream, Stream]


class StreamContract(abc.ABC):
    """Inherit, name the class ``Test...``, and implement `pair`."""

    holds: ClassVar[int] = 16 * MIB
    """Bytes that one direction takes at most while nobody reads."""

    @abc.abstractmethod
    def pair(self) -> contextlib.AbstractAsyncContextManager[Sides]:
        """Return two connected streams."""

    @pytest.fixture(params=["first", "second"])
    async def sides(self, request: pytest.FixtureRequest) -> AsyncIterator[Sides]:
        """Both ends, in both orders."""
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(WITHIN):
                first, second = await stack.enter_async_context(self.pair())
            yield (first, second) if request.param == "first" else (second, first)
            async with asyncio.timeout(WITHIN):
                await first.close()
                await second.close()

    async def test_much_goes_both_ways_at_once(self, sides: Sides) -> None:
        near, far = sides
        there, back = some_bytes(1, 3 * MIB), some_bytes(2, 2 * MIB)
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
            group.create_task(write_all(near, there, 3))
            group.create_task(write_all(far, back, 4))
            got_there = group.create_task(read_all(far, 5))
            got_back = group.create_task(read_all(near, 6))
        assert got_there.result() == there
        assert got_back.result() == back
        assert near.path in Path
        for stream in sides:
            assert bytes(await stream.read(10)) == b""  # and ever after

    async def test_both_write_much_before_either_reads(self, sides: Sides) -> None:
        near, far = sides
        data = some_bytes(1, 4 * MIB)
        async with asyncio.timeout(WITHIN):
            writing = [asyncio.create_task(write_all(stream, data, 2)) for stream in sides]
            await asyncio.wait(writing, timeout=0.1)
            assert await asyncio.gather(read_all(near), read_all(far)) == [data, data]
            await asyncio.gather(*writing)

    @pytest.mark.parametrize("seed", range(3))
    async def test_reading_into_buffers_of_any_size_gives_the_same_bytes(self, sides: Sides, seed: int) -> None:
        near, far = sides
        data, rng = some_bytes(1, 3 * MIB), random.Random(seed)
        found = bytearray()
        async with asyncio.timeout(WITHIN):
            writing = asyncio.create_task(write_all(near, data, 2))
            while True:
                buffer = memoryview(bytearray(rng.choice([1, 5000, 100_000, 600_000])))
                count = await far.read_into(buffer)
                if not count:
                    break
                found += buffer[:count]
                found += await far.read(rng.choice([1, 5000, MIB]))  # the one way and the other by turns
            await writing
            assert await far.read_into(memoryview(bytearray(10))) == 0  # and ever after
        assert found == data

    async def test_one_direction_ends_while_the_other_goes_on(self, sides: Sides) -> None:
        near, far = sides
        data = some_bytes(1, 2 * MIB)
        async with asyncio.timeout(WITHIN):
            await near.write(b"the question")
            await near.write_eof()
            await near.write_eof()
            assert await read_all(far) == b"the question"
            writing = asyncio.create_task(write_all(far, data, 2))
            assert await read_all(near) == data
            await writing

    async def test_a_direction_may_end_without_a_byte(self, sides: Sides) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            await near.write(b"")
            await near.write_eof()
            assert await read_all(far) == b""
            await far.write_eof()
            assert await read_all(near) == b""

    async def test_nothing_can_be_written_after_the_end(self, sides: Sides) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            await near.write_eof()
            with pytest.raises(StreamBroken):
                await near.write(b"more")
            await far.write(b"still")
            assert bytes(await near.read(100)) == b"still"

    async def test_a_buffer_may_be_changed_once_it_is_written(self, sides: Sides) -> None:
        near, far = sides
        buffer = bytearray(b"first")
        async with asyncio.timeout(WITHIN):
            await near.write(memoryview(buffer))
            buffer[:] = b"again"
            await near.write(buffer)
            buffer[:] = b"wrong"
            await near.write_eof()
            assert await read_all(far) == b"firstagain"

    async def test_a_writer_waits_for_who_does_not_read(self, sides: Sides) -> None:
        near, far = sides
        taken = 0

        async def flood() -> None:
            nonlocal taken
            while True:
                await near.write(bytes(64 * 1024))
                taken += 64 * 1024

        async with asyncio.timeout(WITHIN):
            flooding = asyncio.create_task(flood())
            before = -1
            while before != taken:
                before = taken
                await asyncio.wait([flooding], timeout=0.2)
            assert 0 < taken <= self.holds
            # Meanwhile the other direction goes.
            await far.write(b"slowly")
            assert bytes(await near.read(10)) == b"slowly"
            read = 0
            while taken < before + MIB:
                read += len(await far.read(100_000))
            assert read <= taken + 64 * 1024
            flooding.cancel()
            await asyncio.wait([flooding])

    async def test_closing_early_breaks_it_for_the_peer(self, sides: Sides) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            await near.write(b"something")
            await near.close()
            await near.close()
            with pytest.raises(StreamBroken):
                await read_all(far)
            with pytest.raises(StreamBroken):
                await write_without_end(far)

    async def test_closing_after_only_one_end_breaks_it_too(self, sides: Sides) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            await far.write_eof()
            assert await read_all(near) == b""
            await near.close()
            with pytest.raises(StreamBroken):
                await read_all(far)

    async def test_whoever_waits_is_told_of_the_end(self, sides: Sides) -> None:
        near, far = sides
        async with asyncio.timeout(WITHIN):
            waiting = [asyncio.create_task(near.read(10)), asyncio.create_task(write_without_end(near))]
            await asyncio.wait(waiting, timeout=0.2)
            await near.close()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert [type(result) for result in results] == [StreamBroken, StreamBroken]
            with pytest.raises(StreamBroken):
                await near.read(10)
            with pytest.raises(StreamBroken):
                await near.write(b"x")
            with pytest.raises(StreamBroken):
                await near.write_eof()
            with pytest.raises(StreamBroken):
                await read_all(far)

    async def test_a_read_that_is_given_up_loses_nothing(self, sides: Sides) -> None:
        near, far = sides
        data = some_bytes(1, 3 * MIB)
        found = bytearray()
        async with asyncio.timeout(WITHIN), asyncio.TaskGroup() as group:
            group.create_task(write_all(near, data, 2))
            while True:
                reading = asyncio.create_task(far.read(MIB))
                await asyncio.sleep(0)
                reading.cancel()
                await asyncio.wait([reading])
                if reading.cancelled():
                    continue
                piece = reading.result()
                if not piece:
                    break
                found += piece
        assert found == data

    async def test_after_both_ends_the_rest_can_still_be_read(self, sides: Sides) -> None:
        near, far = sides
        data = some_bytes(1, 100_000)
        async with asyncio.timeout(WITHIN):
            await far.write_eof()
            assert await read_all(near) == b""
            await near.write(data)
            await near.write_eof()
            await near.close()
            assert await read_all(far) == data
            assert bytes(await far.read(1)) == b""
