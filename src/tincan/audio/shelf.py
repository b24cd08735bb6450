"""Frames that wait to be played, by their timestamps. Bounded in number, in bytes and in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tincan.audio.pcm import FRAME, RATE

MAX_SPAN: Final = RATE
"""Samples from the oldest to the newest frame: a second."""

MAX_FRAMES: Final = 128

MAX_PAYLOAD: Final = 1500
"""Bytes in one frame."""


@dataclass(frozen=True)
class Frame:
    """One frame as it came. ``copy``: in a later packet, so it says nothing about the frame before it."""

    sequence: int
    timestamp: int
    payload: bytes
    copy: bool


class Shelf:
    """The frames; when there is no room, the oldest fall off."""

    def __init__(self) -> None:
        self._frames: dict[int, Frame] = {}

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def first(self) -> Frame | None:
        """The oldest one."""
        return self._frames[min(self._frames)] if self._frames else None

    @property
    def samples(self) -> int:
        """From the beginning of the oldest to the end of the newest, which is taken for one of 20 ms."""
        return max(self._frames) - min(self._frames) + FRAME if self._frames else 0

    def add(self, frame: Frame) -> bool:
        """Keep a frame; return whether it is there now. A copy never takes the place of what is there."""
        there = self._frames.get(frame.timestamp)
        if there is not None and (frame.copy or not there.copy):
            return False
        if self._frames and there is None:
            if max(self._frames) - frame.timestamp > MAX_SPAN:
                return False
            self.drop_before(frame.timestamp - MAX_SPAN)
            if len(self._frames) >= MAX_FRAMES:
                del self._frames[min(self._frames)]
        self._frames[frame.timestamp] = frame
        return True

    def take(self, timestamp: int) -> Frame | None:
        """Return the frame with that timestamp, which is no longer here."""
        return self._frames.pop(timestamp, None)

    def since(self, timestamp: float) -> int | None:
        """Return the timestamp of the oldest frame that is not older, else of the newest; None: there is none."""
        if not self._frames:
            return None
        return min((at for at in self._frames if at >= timestamp), default=max(self._frames))

    def drop_before(self, timestamp: int) -> None:
        """Forget what is older."""
        for at in [at for at in self._frames if at < timestamp]:
            del self._frames[at]

    def clear(self) -> None:
        """Forget everything."""
        self._frames.clear()
