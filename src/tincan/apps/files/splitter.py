"""Finds the frames of file transfer in a stream of bytes, however that was cut.

Control frames are put together, which takes a bounded MiB at most. DATA is
handed on piece by piece as it comes: it is never put together, so that it
costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from tincan.apps.files.frames import DATA_KIND, HEADER, LIMITS, Control, decode
from tincan.errors import ProtocolError


class Splitter:
    """Finds the frames in a stream of bytes.

    `split` yields control frames, and the bytes of DATA frames as views of
    what was given: use them before the next call. Of what is not complete yet
    at most one control frame is kept. After a `ProtocolError` the splitter is
    of no more use.
    """

    def __init__(self) -> None:
        self._kept = bytearray()
        self._data_left = 0

    def split(self, given: bytes | bytearray | memoryview) -> Iterator[Control | memoryview]:
        """Yield what the given bytes complete."""
        view = memoryview(given)
        place, end = self._complete_kept(view), len(view)
        if len(self._kept) >= HEADER.size and len(self._kept) == HEADER.size + self._wanted():
            kept, self._kept = self._kept, bytearray()
            yield decode(kept[4], memoryview(kept)[HEADER.size :])
        while place < end:
            if self._data_left:
                piece = view[place : place + self._data_left]
                self._data_left -= len(piece)
                place += len(piece)
                yield piece
                continue
            if end - place < HEADER.size:
                self._kept += view[place:]
                return
            length, kind = _check_header(view, place)
            body = place + HEADER.size
            if kind == DATA_KIND:
                self._data_left = length
                place = body
                continue
            if end - body < length:
                self._kept += view[place:]
                return
            place = body + length
            yield decode(kind, view[body:place])

    def _complete_kept(self, view: memoryview) -> int:
        """Take what a frame kept from before still lacks; return how much that was."""
        if not self._kept:
            return 0
        taken = 0
        if len(self._kept) < HEADER.size:
            taken = min(HEADER.size - len(self._kept), len(view))
            self._kept += view[:taken]
            if len(self._kept) < HEADER.size:
                return taken
            length, kind = _check_header(memoryview(bytes(self._kept)), 0)
            if kind == DATA_KIND:
                self._data_left = length
                self._kept.clear()
                return taken
        lacking = min(HEADER.size + self._wanted() - len(self._kept), len(view) - taken)
        self._kept += view[taken : taken + lacking]
        return taken + lacking

    def _wanted(self) -> int:
        return int.from_bytes(self._kept[:4], "big")


def _check_header(view: memoryview, place: int) -> tuple[int, int]:
    length, kind = HEADER.unpack_from(view, place)
    limit = LIMITS.get(kind)
    if limit is None:
        raise ProtocolError("The peer sent something that is no file transfer of this version; upgrade both sides.")
    if not 0 < length <= limit:
        raise ProtocolError(f"The peer sent a frame of kind {kind} with {length} bytes, which is refused.")
    return length, kind
