"""Transfers within one process: trees of files, two ends of a stream, and an executor without threads."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tincan.apps.files import (
    Decision,
    FilesEvent,
    Offered,
    Outcome,
    look,
    named,
    receive_files,
    receive_over,
    send_files,
    send_over,
)
from tincan.apps.files.folders import UNFINISHED
from tincan.errors import PeerRefused
from tincan.link.interface import ChannelClosed
from tincan.link.memory import MemoryStream
from tincan.meet.mailbox import Side


class Inline(Executor):
    """Does at once, in the loop, what a thread would do: for virtual time."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as exc:
            future.set_exception(exc)
        return future


@dataclass
class User:
    """Somebody who says yes or no, and sees events."""

    decision: Decision = field(default_factory=lambda: Decision(True))
    offers: list[Offered] = field(default_factory=list)
    events: list[FilesEvent] = field(default_factory=list)

    async def decide(self, offer: Offered) -> Decision:
        self.offers.append(offer)
        return self.decision

    def saw(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@dataclass
class Result:
    sent: Outcome | BaseException
    received: Outcome | BaseException
    sender: User
    receiver: User

    def outcomes(self) -> tuple[Outcome, Outcome]:
        for side in (self.sent, self.received):
            if isinstance(side, BaseException):
                raise side
        assert isinstance(self.sent, Outcome)
        assert isinstance(self.received, Outcome)
        return self.sent, self.received


async def transfer(
    paths: Sequence[Path | str],
    target: Path,
    *,
    overwrite: bool = False,
    decision: Decision = Decision(True),  # noqa: B008 - frozen
    ends: tuple[MemoryStream, MemoryStream] | None = None,
    stall: float = 60,
) -> Result:
    """One transfer over one stream."""
    a, b = ends or MemoryStream.pair()
    sender, receiver = User(), User(decision)
    sending = send_over(a, [named(str(path)) for path in paths], sender.events.append, executor=Inline(), stall=stall)
    receiving = receive_over(
        b, target, receiver.decide, receiver.events.append, overwrite=overwrite, executor=Inline(), stall=stall
    )

    async def closing(work: Any, stream: MemoryStream) -> Any:
        try:
            return await work
        finally:
            await stream.close()

    async with asyncio.timeout(240):
        sent, received = await asyncio.gather(closing(sending, a), closing(receiving, b), return_exceptions=True)
    return Result(sent, received, sender, receiver)


class Cord:
    """A string whose streams break as a test says; both `CordEnd`s belong to it."""

    def __init__(self, breaks: Callable[[int], tuple[int | None, int | None]], mends: int = 1000) -> None:
        self.opened = 0
        self.mends = mends
        self._breaks = breaks
        self.left = False
        self._waiting: asyncio.Queue[MemoryStream | None] = asyncio.Queue()

    def ends(self) -> tuple[CordEnd, CordEnd]:
        return CordEnd(self, Side.ATTACH), CordEnd(self, Side.TAP)

    async def open(self) -> MemoryStream:
        a, b = MemoryStream.pair(capacity=16 * 1024)
        a.break_after, b.break_after = self._breaks(self.opened)
        self.opened += 1
        self._waiting.put_nowait(b)
        return a

    async def accept(self) -> MemoryStream:
        stream = await self._waiting.get()
        if stream is None:
            self._waiting.put_nowait(None)
            raise ChannelClosed("The connection has ended.")
        return stream

    def leave(self) -> None:
        """One end hangs up in good order."""
        self.left = True
        self._waiting.put_nowait(None)


class CordEnd:
    """One end, as apps see it."""

    peer = "somebody"

    def __init__(self, cord: Cord, side: Side) -> None:
        self.side = side
        self._cord = cord

    async def open_stream(self, *, bulk: bool = False) -> MemoryStream:
        if self._cord.left:
            raise ChannelClosed("The connection has ended.")
        return await self._cord.open()

    async def accept_stream(self) -> MemoryStream:
        return await self._cord.accept()

    async def mend(self) -> None:
        self._cord.mends -= 1
        if self._cord.mends < 0 or self._cord.left:
            raise PeerRefused("The other can has hung up.")


async def through(cord: Cord, paths: Sequence[Path], target: Path, *, overwrite: bool = False) -> Result:
    """One transfer over a string that may have to be mended."""
    a, b = cord.ends()
    sender, receiver = User(), User()
    looking = look([named(str(path)) for path in paths], Inline())
    sending = send_files(a, looking, sender.events.append, executor=Inline())
    receiving = receive_files(
        b, target, receiver.decide, receiver.events.append, overwrite=overwrite, executor=Inline()
    )

    async def leaving(work: Any) -> Any:
        try:
            return await work
        finally:
            cord.leave()

    async with asyncio.timeout(240):
        sent, received = await asyncio.gather(
            leaving(sending),
            leaving(receiving),
            return_exceptions=True,
        )
    return Result(sent, received, sender, receiver)


def tree(root: Path, files: dict[str, bytes], folders: Sequence[str] = ()) -> Path:
    """Make files and folders."""
    for name in folders:
        (root / name).mkdir(parents=True)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a folder, with its content; folders have a slash. Marks of unfinished folders are left out."""
    found = {}
    for path in sorted(path for path in root.rglob("*") if path.name != UNFINISHED):
        name = str(path.relative_to(root))
        found[name + "/" if path.is_dir() else name] = b"" if path.is_dir() else path.read_bytes()
    return found


def noise(size: int, seed: int = 1) -> bytes:
    import random

    return random.Random(seed).randbytes(size)


@contextlib.contextmanager
def not_as_root() -> Iterator[None]:
    """Have the rights of a user who may do little: those of this process, or of nobody where that is root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
