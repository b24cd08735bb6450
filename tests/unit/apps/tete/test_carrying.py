"""How bytes go both ways, and every way in which that ends."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from tincan.apps.tete.carrying import End, carry, hang_up
from tincan.apps.tete.security import Connection
from tincan.errors import IncompleteTransfer
from unit.apps.tete.pairs import Ear, Words, pair, with_foreign

LARGE = os.urandom(3_000_000)


async def test_each_direction_ends_by_itself() -> None:
    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        words, ears = (Words(LARGE), Words()), (Ear(), Ear())
        first = group.create_task(carry(client, words[0], ears[0]))
        second = group.create_task(carry(server, words[1], ears[1]))
        words[0].end()
        await ears[1].wait(None)
        assert ears[1].heard == LARGE
        assert not ears[0].closed
        words[1].say(LARGE[::-1])
        words[1].end()
        assert (await first, await second) == (End.THERE, End.HERE), "the one that ended last has closed it"
        assert ears[0].heard == LARGE[::-1]
        assert ears[0].closed


async def test_nobody_is_done_before_everything_was_passed_on() -> None:
    class Slow(Ear):
        def __init__(self) -> None:
            super().__init__()
            self.may = asyncio.Event()

        async def write(self, data: memoryview) -> None:
            await self.may.wait()
            await super().write(data)

    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        slow = Slow()
        done = group.create_task(carry(client, Words(b"something", ends=True), Ear()))
        other = group.create_task(carry(server, Words(ends=True), slow))
        await asyncio.wait([done], timeout=0.1)
        assert not done.done()
        slow.may.set()
        await asyncio.wait([done, other])
        assert slow.heard == b"something"


async def test_a_cancelled_end_leaves_in_good_order() -> None:
    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        words, ear = Words(), Ear()
        leaving = group.create_task(carry(client, words, Ear()))
        staying = group.create_task(carry(server, Words(), ear))
        words.say(b"last words")
        await ear.wait(b"last words")
        leaving.cancel()
        assert (await leaving, await staying) == (End.HERE, End.THERE)


async def test_what_is_being_written_when_the_user_leaves_still_arrives_whole() -> None:
    """The peer does not read while this end writes more than fits, and is cancelled in the middle of it."""
    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        leaving = group.create_task(carry(client, Words(*[LARGE[:250_000]] * 100), Ear()))
        await asyncio.wait([leaving], timeout=0.1)
        leaving.cancel()
        ear = Ear()
        staying = group.create_task(carry(server, Words(), ear))
        assert (await leaving, await staying) == (End.HERE, End.THERE)
        assert ear.heard
        assert len(ear.heard) % 250_000 == 0


class File(Words):
    """Has more to read at any time, after another turn of the loop: as a thread reads a file."""

    async def read_into(self, buffer: memoryview) -> int:
        await asyncio.sleep(0)
        buffer[:10] = bytes(10)
        return 10


async def test_a_peer_that_leaves_in_the_middle_of_a_file_has_not_taken_everything() -> None:
    async with pair() as (client, server), asyncio.timeout(20), asyncio.TaskGroup() as group:
        ear = Ear()
        leaving = group.create_task(carry(client, Words(), ear))
        staying = group.create_task(_failure(carry(server, File(), Ear())))
        while not ear.heard:
            await asyncio.sleep(0)
        leaving.cancel()
        assert "before everything was sent" in str(await staying)
        assert await leaving is End.HERE


async def test_a_peer_that_leaves_at_the_end_of_the_input_has_taken_everything() -> None:
    async with pair() as (client, server), asyncio.timeout(20), asyncio.TaskGroup() as group:
        ear, words = Ear(), Words(b"all of it")
        leaving = group.create_task(carry(client, Words(), ear))
        staying = group.create_task(carry(server, words, Ear()))
        await ear.wait(b"all of it")
        await client.stream.write_eof()
        client.sock.shutdown(socket.SHUT_WR)
        words.end()
        assert await staying is End.THERE
        leaving.cancel()
        await leaving


async def test_a_user_can_leave_a_peer_that_reads_nothing() -> None:
    async with pair() as (client, _), asyncio.timeout(120), asyncio.TaskGroup() as group:
        leaving = group.create_task(carry(client, Words(*[LARGE] * 30), Ear()))
        await asyncio.wait([leaving], timeout=0.1)
        leaving.cancel()
        assert await leaving is End.HERE


async def broken(connection: Connection) -> None:
    await hang_up(connection, orderly=False)


async def cut(connection: Connection) -> None:
    connection.sock.shutdown(socket.SHUT_WR)


@pytest.mark.parametrize("end", [broken, cut])
async def test_a_connection_that_ends_without_a_word_is_told_as_broken(
    end: Callable[[Connection], Awaitable[None]],
) -> None:
    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        ear = Ear()
        carrying = group.create_task(_failure(carry(client, Words(), ear)))
        await server.stream.write(b"so far")
        await ear.wait(b"so far")
        await end(server)
        failure = await carrying
        assert failure.exit_code == 8
        assert "broke in the middle" in str(failure)
        assert not ear.closed


async def test_a_peer_that_breaks_after_its_own_end_has_not_taken_everything() -> None:
    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        ear = Ear()
        carrying = group.create_task(_failure(carry(client, Words(b"for nobody", ends=True), ear)))
        await server.stream.write_eof()
        await ear.wait(None)
        await hang_up(server, orderly=False)
        assert (await carrying).exit_code == 8


async def _failure(carrying: Awaitable[End]) -> IncompleteTransfer:
    with pytest.raises(IncompleteTransfer) as caught:
        await carrying
    return caught.value


async def test_an_output_that_nobody_reads_is_told() -> None:
    class Deaf(Ear):
        async def write(self, data: memoryview) -> None:
            raise BrokenPipeError

    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        other = group.create_task(_failure(carry(server, Words(b"hello"), Ear())))
        assert "Whoever reads this output" in str(await _failure(carry(client, Words(), Deaf())))
        await other


async def test_an_input_that_cannot_be_read_is_told() -> None:
    class Torn(Words):
        async def read_into(self, buffer: memoryview) -> int:
            raise OSError(5, "Input/output error")

    async with pair() as (client, server), asyncio.timeout(120), asyncio.TaskGroup() as group:
        other = group.create_task(_failure(carry(server, Words(), Ear())))
        assert "The input cannot be read any further" in str(await _failure(carry(client, Torn(), Ear())))
        await other


# -- with tete at the other end ----------------------------------------------------


@pytest.mark.parametrize("client", [True, False])
async def test_the_end_of_stdin_is_no_farewell_to_tete(client: bool) -> None:
    ours, other = await with_foreign(client=client)
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        ear = Ear()
        carrying = group.create_task(carry(ours, Words(b"all I have", ends=True), ear))
        assert bytes(await other.stream.read(100)) == b"all I have"
        await other.stream.write(b"thank you")
        await ear.wait(b"thank you")
        other.sock.close()  # this is how tete says goodbye
        assert await carrying is End.THERE
        assert ear.closed


async def test_tete_is_told_when_this_end_leaves() -> None:
    ours, other = await with_foreign(client=True)
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        leaving = group.create_task(carry(ours, Words(b"hello"), Ear()))
        assert bytes(await other.stream.read(100)) == b"hello"
        leaving.cancel()
        assert not await other.stream.read(100), "a close_notify, which is the end to tete"
        other.sock.close()
        assert await leaving is End.HERE


async def test_a_reset_by_tete_is_a_broken_connection() -> None:
    ours, other = await with_foreign(client=False)
    async with asyncio.timeout(120), asyncio.TaskGroup() as group:
        failing = group.create_task(_failure(carry(ours, Words(), Ear())))
        await hang_up(other, orderly=False)
        assert (await failing).exit_code == 8
