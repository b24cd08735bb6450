"""Bytes from a process's own input to a stream, and from a stream to its output, as large as they come."""

from __future__ import annotations

from typing import Final

from tincan.apps.ends import Sink, Source
from tincan.errors import IncompleteTransfer
from tincan.link.interface import Stream

CHUNK: Final = 256 * 1024
"""Bytes read from stdin, and from the stream, at once."""


async def copy_in(source: Source, stream: Stream) -> int:
    """Write all of ``source`` to the stream, which stays open, and return how many bytes that was.

    Raises `IncompleteTransfer` when the source cannot be read, `StreamBroken` when the stream breaks.
    """
    buffer = memoryview(bytearray(CHUNK))
    total = 0
    while count := await _read(source, buffer):
        await stream.write(buffer[:count])
        total += count
    return total


async def _read(source: Source, buffer: memoryview) -> int:
    try:
        return await source.read_into(buffer)
    except OSError as exc:
        raise IncompleteTransfer(f"The input cannot be read any further ({exc.strerror}).") from exc


async def copy_out(stream: Stream, sink: Sink) -> int:
    """Write all of the stream to ``sink``, close that, and return how many bytes it was.

    Raises `IncompleteTransfer` when nobody takes the bytes any more, `StreamBroken` when the stream breaks.
    """
    total = 0
    while data := await stream.read(CHUNK):
        await _write(sink, memoryview(data))
        total += len(data)
    sink.close()
    return total


async def _write(sink: Sink, data: memoryview) -> None:
    try:
        await sink.write(data)
    except BrokenPipeError as exc:
        raise IncompleteTransfer("Whoever reads this output has ended before everything had come.") from exc
    except OSError as exc:
        raise IncompleteTransfer(f"The output cannot be written any further ({exc.strerror}).") from exc
