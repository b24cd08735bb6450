"""What both ends share: a worker thread, patience, reading ahead, and a good end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from tincan.apps.files.events import Progress, Tell
from tincan.apps.files.rate import RateMeter
from tincan.errors import IncompleteTransfer
from tincan.link.interface import Stream
from tincan.tasks import settle

P = ParamSpec("P")
T = TypeVar("T")

BUFFER = 1024 * 1024
"""Bytes that are worked on at a time; two or three such buffers make the pipeline."""

ROOM = 512 * 1024
"""Bytes that a buffer has beyond that, so that a stream can be read straight into it (`Stream.read_into`)."""

STALL = 60.0
"""Seconds without any progress after which a transfer is given up (it can be gone on with)."""

STEPS = 100
"""Parts of that time in which it is looked at the clock only once."""

BUSY = 5.0
"""Seconds of silence after which a side that works on something says so."""

FAREWELL = 5.0
"""Seconds that the last words may take to arrive."""

TOLD = 0.1
"""Seconds between two `Progress` events."""


class Worker:
    """One thread for everything that blocks: disk and hash. Not for two callers at a time."""

    def __init__(self, executor: Executor | None) -> None:
        """``executor``: to be used instead of a thread of its own."""
        self._own = ThreadPoolExecutor(1, "files") if executor is None else None
        self._executor = executor or self._own

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call it there. When this is cancelled, the call still runs to its end."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: function(*args, **kwargs))

    async def finish(self, close: Callable[[], object]) -> None:
        """Close what the thread works on, after what it does now; and end the thread."""
        await asyncio.shield(self.run(close))
        if self._own is not None:
            self._own.shutdown(wait=False)


class Patience:
    """Gives up when nothing moves for too long."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time
        self._limit: asyncio.Timeout | None = None

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Raise `IncompleteTransfer` when `moved` is not called often enough in here."""
        try:
            async with asyncio.timeout(self._seconds) as self._limit:
                yield
        except TimeoutError as exc:
            if self._limit is None or not self._limit.expired():
                raise
            raise IncompleteTransfer(
                f"Nothing moved for {self._seconds:.0f} seconds; run the same commands again to go on from there."
            ) from exc
        finally:
            self._limit = None

    def moved(self) -> None:
        """Something did."""
        if self._limit is not None:
            end, before = self._clock() + self._seconds, self._limit.when()
            if before is None or end - before > self._seconds / STEPS:  # a timer anew for every step would cost
                self._limit.reschedule(end)

    def pause(self) -> None:
        """A person thinks: until `moved`, time does not count."""
        if self._limit is not None:
            self._limit.reschedule(None)


class Meter:
    """Tells of progress, not more often than a screen wants to know."""

    def __init__(self, tell: Tell, total: int | None) -> None:
        self._tell = tell
        self._total = total
        self._clock = asyncio.get_running_loop().time
        self._next = self._clock()
        self._rate: RateMeter | None = None

    def show(self, done: int, name: str, *, now: bool = False) -> None:
        """So much is done."""
        time = self._clock()
        if self._rate is None:
            self._rate = RateMeter(time, done)
        self._rate.add(time, done)
        if now or time >= self._next:
            self._next = time + TOLD
            left = self._rate.seconds_left(time, self._total)
            self._tell(Progress(done, self._total, self._rate.rate(time), left, name))


class Intake:
    """Reads ahead, straight into one buffer while the other one is worked on."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._buffers = [memoryview(bytearray(BUFFER + ROOM)) for _ in range(2)]
        self._filling = 0
        self._begin = self._end = 0  # what of the buffer that is being filled nobody has taken yet
        self._rest = memoryview(b"")  # what of the other one nobody has taken yet
        self._held = -1  # the buffer of what was taken last
        self._ended: Exception | None = None
        self.over = asyncio.Event()
        """Nothing more comes from the peer, though something may still be there for `next`."""
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Read until the end. What went wrong is raised by `next`, after what came before it."""
        try:
            while True:
                if self._end >= BUFFER:
                    await self._change_buffers()
                count = await self._stream.read_into(self._buffers[self._filling][self._end :])
                if not count:
                    break
                self._end += count
                self._changed.set()
        except Exception as exc:
            self._ended = exc
        self.over.set()
        self._changed.set()

    async def _change_buffers(self) -> None:
        """Go on in the other buffer, once nobody needs what is in it."""
        other = 1 - self._filling
        while self._rest or self._held == other:
            await self._wait()
        self._rest = self._buffers[self._filling][self._begin : self._end]
        self._filling, self._begin, self._end = other, 0, 0

    async def next(self) -> memoryview:
        """Return what has come, valid until the next call; nothing at the end."""
        self._held = -1
        self._changed.set()
        while not self._rest and self._begin == self._end and not self.over.is_set():
            await self._wait()
        if self._rest:
            came, self._rest, self._held = self._rest, memoryview(b""), 1 - self._filling
        elif self._begin < self._end:
            came = self._buffers[self._filling][self._begin : self._end]
            self._begin, self._held = self._end, self._filling
        elif self._ended is not None:
            raise self._ended
        else:
            came = memoryview(b"")
        return came

    async def _wait(self) -> None:
        self._changed.clear()
        await self._changed.wait()


async def while_busy(work: Awaitable[T], say: Callable[[], Awaitable[None]]) -> T:
    """Wait for work that may take long, and say now and then that this side is alive."""
    task = asyncio.ensure_future(work)
    try:
        while True:
            done, _ = await asyncio.wait([task], timeout=BUSY)
            if done:
                return task.result()
            await say()
    finally:
        await settle(task)


async def part(stream: Stream) -> None:
    """End a stream so that the last words arrive: say the end, and wait a little for the peer's."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(FAREWELL):
            await stream.write_eof()
            while await stream.read(BUFFER):
                pass
