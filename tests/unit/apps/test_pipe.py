"""`pipe` over streams in memory, which break wherever a test wants; and as real processes that meet on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import tincan
from tincan.apps.pipe import run_pipe
from tincan.errors import IncompleteTransfer
from tincan.link.interface import ChannelClosed, Stream
from tincan.link.memory import MemoryStream
from tincan.meet.mailbox import Side
from unit.link.pairs import only_the_test_is_left
from unit.link.stream_pairs import some_bytes

WITHIN = 120.0
MIB = 1024 * 1024

both_sides = pytest.mark.parametrize("side", list(Side))


class MemoryString:
    """One end of a string within this process, whose receipts can be lied about and whose link can be lost."""

    def __init__(self, side: Side, stream: MemoryStream) -> None:
        self.side = side
        self.peer = "the other"
        self.stream = stream
        self.other: MemoryString | None = None
        self.claims: int | None = None
        """What is told to be received instead of the truth."""
        self.received: asyncio.Queue[int | None] = asyncio.Queue()

    @classmethod
    def pair(cls) -> dict[Side, MemoryString]:
        """Both ends."""
        made = {side: cls(side, end) for side, end in zip(Side, MemoryStream.pair(), strict=True)}
        for side, string in made.items():
            string.other = made[side.other]
        return made

    async def open_stream(self, *, bulk: bool = False) -> Stream:
        """See `TiedString.open_stream`."""
        assert self.side is Side.ATTACH
        return self.stream

    async def accept_stream(self) -> Stream:
        """See `TiedString.accept_stream`."""
        assert self.side is Side.TAP
        return self.stream

    async def mend(self) -> None:
        """See `TiedString.mend`: a pipe never asks for it."""
        raise AssertionError

    async def tell_received(self, count: int) -> None:
        """See `PipeString.tell_received`."""
        assert self.other is not None
        self.other.received.put_nowait(count if self.claims is None else self.claims)

    async def wait_received(self) -> int:
        """See `PipeString.wait_received`."""
        count = await self.received.get()
        if count is None:
            raise ChannelClosed("The link has ended.")
        return count

    def lose(self) -> None:
        """Lose the link and all on it."""
        assert self.other is not None
        self.stream.vanish()
        self.received.put_nowait(None)
        self.other.received.put_nowait(None)


class Input:
    """A source: these bytes, and then its end, or whatever else is to come."""

    def __init__(self, data: bytes, *, ends: bool = True, error: OSError | None = None) -> None:
        self._data = data
        self._ends = ends
        self._error = error
        self.taken = 0

    async def read_into(self, buffer: memoryview) -> int:
        await asyncio.sleep(0)
        piece = self._data[self.taken : self.taken + min(len(buffer), 50_000)]
        if not piece and self._error is not None:
            raise self._error
        if not piece and not self._ends:
            await asyncio.Event().wait()
        buffer[: len(piece)] = piece
        self.taken += len(piece)
        return len(piece)

    def close(self) -> None:
        """Nothing to give up."""


class Output:
    """A sink that keeps what it gets, until it takes no more."""

    def __init__(self, *, takes: int | None = None, error: OSError | None = None) -> None:
        self.data = bytearray()
        self.closed = False
        self._takes = takes
        self._error = error or BrokenPipeError()

    async def write(self, data: memoryview) -> None:
        await asyncio.sleep(0)
        if self._takes is not None and len(self.data) + len(data) > self._takes:
            raise self._error
        self.data += data

    def close(self) -> None:
        self.closed = True


async def piping(string: MemoryString, source: Input, sink: Output) -> tuple[int, int]:
    """Run it as the command does, which cuts the string at its end."""
    try:
        return await run_pipe(string, source, sink)
    finally:
        string.lose()


# -- in memory --------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(3 * MIB, 2 * MIB), (2 * MIB, 0), (0, 2 * MIB), (0, 0), (1, 3 * MIB)])
async def test_both_directions(sizes: tuple[int, int]) -> None:
    strings = MemoryString.pair()
    data = {side: some_bytes(size, size) for side, size in zip(Side, sizes, strict=True)}
    outputs = {side: Output() for side in Side}
    async with asyncio.timeout(WITHIN):
        counts = await asyncio.gather(*(piping(strings[s], Input(data[s]), outputs[s]) for s in Side))
    assert counts == [sizes, sizes[::-1]]
    for side in Side:
        assert outputs[side].data == data[side.other]
        assert outputs[side].closed
    await only_the_test_is_left()


@both_sides
async def test_one_ends_early_and_hears_the_rest(side: Side) -> None:
    """Its own end reaches the peer's output at once, long before the peer ends."""
    strings = MemoryString.pair()
    near_out, far_out = Output(), Output()
    far_in = Input(some_bytes(1, MIB), ends=False)
    async with asyncio.timeout(WITHIN):
        near = asyncio.create_task(piping(strings[side], Input(b"short"), near_out))
        far = asyncio.create_task(piping(strings[side.other], far_in, far_out))
        while not far_out.closed or len(near_out.data) < MIB:
            await asyncio.sleep(0)
        assert far_out.data == b"short"
        assert not near_out.closed
        assert not near.done()
        assert not far.done()
        near.cancel()
        far.cancel()
        await asyncio.wait([near, far])


async def ended(*running: asyncio.Task[Any]) -> list[str]:
    """Return with which sentences they ended: each with one of ours and the code that says so."""
    async with asyncio.timeout(WITHIN):
        results = await asyncio.gather(*running, return_exceptions=True)
    for result in results:
        assert isinstance(result, IncompleteTransfer), result
        assert result.exit_code == 8
    await only_the_test_is_left()
    return [str(result) for result in results]


@both_sides
@pytest.mark.parametrize("after", [0, 1, 100_000, 1_000_000])
async def test_the_peer_vanishes_while_both_send(side: Side, after: int) -> None:
    strings = MemoryString.pair()
    strings[side].stream.break_after = after
    running = [
        asyncio.create_task(piping(strings[s], Input(some_bytes(1, 2 * MIB), ends=False), Output())) for s in Side
    ]
    await ended(*running)


@both_sides
async def test_the_peer_vanishes_after_its_end(side: Side) -> None:
    """Everything it sent has come, but what was sent to it is not confirmed."""
    strings = MemoryString.pair()
    output = Output()
    running = asyncio.create_task(piping(strings[side], Input(b"question"), output))
    peer = strings[side.other]
    await peer.stream.write(b"answer")
    await peer.stream.write_eof()
    async with asyncio.timeout(WITHIN):
        assert await strings[side.other].wait_received() == 6
    peer.lose()
    await ended(running)
    assert output.data == b"answer"


@both_sides
async def test_the_peer_vanishes_after_its_end_while_nothing_is_typed_here(side: Side) -> None:
    strings = MemoryString.pair()
    running = asyncio.create_task(piping(strings[side], Input(b"", ends=False), Output()))
    peer = strings[side.other]
    await peer.stream.write_eof()
    async with asyncio.timeout(WITHIN):
        assert await peer.wait_received() == 0
    peer.lose()
    await ended(running)


@both_sides
async def test_the_peer_vanishes_before_it_confirms_though_it_took_everything(side: Side) -> None:
    strings = MemoryString.pair()
    running = asyncio.create_task(piping(strings[side], Input(b"question"), Output()))
    peer = strings[side.other]
    async with asyncio.timeout(WITHIN):
        while await peer.stream.read(100):
            pass
    peer.lose()
    await ended(running)


@both_sides
@pytest.mark.parametrize("claim", [0, 4, 6, 2**62])
async def test_a_wrong_receipt(side: Side, claim: int) -> None:
    strings = MemoryString.pair()
    strings[side.other].claims = claim
    near = asyncio.create_task(piping(strings[side], Input(b"12345"), Output()))
    far = asyncio.create_task(piping(strings[side.other], Input(b"", ends=False), Output()))
    sentences = await ended(near, far)
    assert sentences[0] == "The other can did not get everything that was sent."


@both_sides
async def test_whoever_reads_the_output_has_gone(side: Side) -> None:
    strings = MemoryString.pair()
    near = asyncio.create_task(piping(strings[side], Input(b"", ends=False), Output(takes=100_000)))
    far = asyncio.create_task(piping(strings[side.other], Input(bytes(MIB)), Output()))
    sentences = await ended(near, far)
    assert "ended before everything had come" in sentences[0]


@both_sides
async def test_a_full_disk_and_a_broken_input(side: Side) -> None:
    strings = MemoryString.pair()
    full = OSError(28, "No space left on device")
    near = asyncio.create_task(piping(strings[side], Input(b"", ends=False), Output(takes=0, error=full)))
    far = asyncio.create_task(piping(strings[side.other], Input(b"x"), Output()))
    assert "No space left on device" in (await ended(near, far))[0]
    strings = MemoryString.pair()
    unreadable = OSError(5, "Input/output error")
    near = asyncio.create_task(piping(strings[side], Input(b"some", error=unreadable), Output()))
    far = asyncio.create_task(piping(strings[side.other], Input(b"", ends=False), Output()))
    assert "Input/output error" in (await ended(near, far))[0]


async def test_an_output_that_waits_slows_the_peer_down() -> None:
    strings = MemoryString.pair()

    class Stuck(Output):
        async def write(self, data: memoryview) -> None:
            await asyncio.Event().wait()

    endless = Input(bytes(16 * MIB))
    near = asyncio.create_task(piping(strings[Side.ATTACH], endless, Output()))
    far = asyncio.create_task(piping(strings[Side.TAP], Input(b"", ends=False), Stuck()))
    await asyncio.wait([near, far], timeout=0.2)
    assert endless.taken < 2 * MIB
    for task in (near, far):
        task.cancel()
    await asyncio.wait([near, far])
    await only_the_test_is_left()


# -- as processes -----------------------------------------------------------------------------

SOURCE = str(Path(tincan.__file__).parents[1])


class Can:
    """A ``tin-can pipe`` with stdin and stdout of its own; ``--json`` tells its events on stderr."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.events: list[dict[str, Any]] = []

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, *arguments: str) -> AsyncIterator[Can]:
        """Run it; kill it at the end if it still runs."""
        kept = {
            k: v for k, v in os.environ.items() if not k.startswith("TIN_CAN") and not k.lower().endswith("_proxy")
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tincan", "pipe", "--json", "--stun", "none", *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=kept | {"PYTHONPATH": SOURCE},
            limit=2**20,
        )
        can = cls(process)
        try:
            yield can
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            if process.stdin is not None:
                process.stdin.close()
            await process.communicate()

    async def event(self, kind: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        assert self.process.stderr is not None
        while line := await self.process.stderr.readline():
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == kind:
                return self.events[-1]
        raise AssertionError(f"no {kind}: {self.events}")

    async def over(self, data: bytes | None) -> tuple[bytes, int]:
        """Give it this input and its end; return what it printed and its exit code. None: its stdin stays open."""
        if data is None:
            assert self.process.stdout is not None
            assert self.process.stderr is not None
            output, errors = await asyncio.gather(self.process.stdout.read(), self.process.stderr.read())
        else:
            output, errors = await self.process.communicate(data)
        self.events += [json.loads(line) for line in errors.splitlines() if line.startswith(b"{")]
        return output, await self.process.wait()


@contextlib.asynccontextmanager
async def two_cans() -> AsyncIterator[tuple[Can, Can]]:
    """Both type the same phrase at the same time."""
    phrase = f"{10_000_000 + secrets.randbelow(80_000_000)}-guitar-banana"
    async with asyncio.timeout(WITHIN), Can.started(phrase) as one, Can.started(phrase) as other:
        await asyncio.gather(one.event("connected"), other.event("connected"))
        yield one, other


async def test_the_command_carries_binary_data_both_ways() -> None:
    there, back = some_bytes(1, 5 * MIB), some_bytes(2, 3 * MIB)
    async with two_cans() as (one, other):
        results = await asyncio.gather(one.over(there), other.over(back))
        assert results == [(back, 0), (there, 0)]
        for can in (one, other):
            assert can.events[-1]["event"] == "closed"
            assert not any(event["event"] == "error" for event in can.events)


async def test_the_command_whose_peer_is_killed_ends_with_8() -> None:
    async with two_cans() as (one, other):
        assert one.process.stdin is not None
        assert other.process.stdout is not None
        one.process.stdin.write(b"half of it")
        assert await other.process.stdout.readexactly(10) == b"half of it"
        one.process.kill()
        output, code = await other.over(None)
        assert (output, code) == (b"", 8)
        last = other.events[-1]
        assert (last["event"], last["code"]) == ("error", 8)


async def test_the_command_that_is_interrupted_ends_with_130_and_its_peer_with_8() -> None:
    async with two_cans() as (one, other):
        one.process.send_signal(signal.SIGINT)
        results = await asyncio.gather(one.over(None), other.over(None))
        assert [code for _, code in results] == [130, 8]
