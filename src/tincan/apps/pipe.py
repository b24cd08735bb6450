"""stdin to the peer, the peer to stdout: both at once, each ending by itself.

Whoever attached the string opens the stream. A direction has ended cleanly
when the reader has passed every byte on and has told the writer how many
those were; only then does `run_pipe` return on both sides.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from tincan.apps.ends import Sink, Source
from tincan.apps.strings import TiedString
from tincan.errors import IncompleteTransfer
from tincan.link.interface import ChannelClosed, Stream, StreamBroken
from tincan.meet.mailbox import Side
from tincan.tasks import plain_errors

CHUNK: Final = 256 * 1024
"""Bytes read from stdin, and from the stream, at once."""


class PipeString(TiedString, Protocol):
    """A string whose two ends also tell each other what arrived."""

    async def tell_received(self, count: int) -> None:
        """Tell the peer that everything of its stream was taken and passed on; raises `ChannelClosed`."""

    async def wait_received(self) -> int:
        """Return what the peer tells by `tell_received`; raises `ChannelClosed` when the link ends before."""


async def run_pipe(string: PipeString, source: Source, sink: Sink) -> tuple[int, int]:
    """Carry both directions to their ends; return how many bytes were sent and received.

    Raises `IncompleteTransfer` when the peer vanished before everything had
    come or had been confirmed, or when nobody reads ``sink`` any more.
    """
    try:
        stream = await (string.open_stream() if string.side is Side.ATTACH else string.accept_stream())
        try:
            with plain_errors():
                async with asyncio.TaskGroup() as group:
                    sending = group.create_task(_send(string, stream, source))
                    receiving = group.create_task(_receive(string, stream, sink))
            return sending.result(), receiving.result()
        finally:
            await stream.close()
    except (StreamBroken, ChannelClosed) as exc:
        raise IncompleteTransfer("The other can vanished in the middle; not everything has arrived.") from exc


async def _send(string: PipeString, stream: Stream, source: Source) -> int:
    buffer = memoryview(bytearray(CHUNK))
    total = 0
    try:
        while count := await source.read_into(buffer):
            await stream.write(buffer[:count])
            total += count
    except OSError as exc:
        raise IncompleteTransfer(f"The input cannot be read any further ({exc.strerror}).") from exc
    await stream.write_eof()
    if await string.wait_received() != total:
        raise IncompleteTransfer("The other can did not get everything that was sent.")
    return total


async def _receive(string: PipeString, stream: Stream, sink: Sink) -> int:
    total = 0
    try:
        while data := await stream.read(CHUNK):
            await sink.write(memoryview(data))
            total += len(data)
        sink.close()
    except BrokenPipeError as exc:
        raise IncompleteTransfer("Whoever reads this output has ended before everything had come.") from exc
    except OSError as exc:
        raise IncompleteTransfer(f"The output cannot be written any further ({exc.strerror}).") from exc
    await string.tell_received(total)
    return total
