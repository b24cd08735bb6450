"""stdin to the peer, the peer to stdout: both at once, each ending by itself.

Whoever attached the string opens the stream. A direction has ended cleanly
when the reader has passed every byte on and has told the writer how many
those were; only then does `run_pipe` return on both sides.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from tincan.apps.copying import copy_in, copy_out
from tincan.apps.ends import Sink, Source
from tincan.apps.strings import TiedString
from tincan.errors import IncompleteTransfer
from tincan.link.interface import ChannelClosed, Stream, StreamBroken
from tincan.meet.mailbox import Side
from tincan.tasks import plain_errors


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
                    # From the start: it is also how one who has nothing to say learns that the peer has gone.
                    receipt = group.create_task(string.wait_received())
                    sending = group.create_task(_send(stream, source, receipt))
                    receiving = group.create_task(_receive(string, stream, sink))
            return sending.result(), receiving.result()
        finally:
            await stream.close()
    except (StreamBroken, ChannelClosed) as exc:
        raise IncompleteTransfer("The other can vanished in the middle; not everything has arrived.") from exc


async def _send(stream: Stream, source: Source, receipt: asyncio.Task[int]) -> int:
    total = await copy_in(source, stream)
    await stream.write_eof()
    if await receipt != total:
        raise IncompleteTransfer("The other can did not get everything that was sent.")
    return total


async def _receive(string: PipeString, stream: Stream, sink: Sink) -> int:
    total = await copy_out(stream, sink)
    await string.tell_received(total)
    return total
