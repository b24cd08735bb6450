"""What a transfer tells its screen: frozen facts, to be rendered and nothing more.

Names and reasons may hold what a peer wrote: show them with `tincan.apps.text.visible`.

Structs of msgspec, here and in what else is loaded before a link is made: a
dataclass takes Python half a millisecond to make, and there would be dozens.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec


class TopEntry(msgspec.Struct, frozen=True):
    """A file or folder that would appear in the target folder itself, with everything in it."""

    name: str
    size: int
    folder: bool


class Offered(msgspec.Struct, frozen=True):
    """What is offered. ``total``: bytes, or None when it comes from a pipe; ``more``: how many ``top`` leaves out."""

    files: int
    folders: int
    total: int | None
    top: tuple[TopEntry, ...]
    more: int


DECLINED = "The other side does not want it."
"""What the sender is told when nobody says more."""


class Decision(msgspec.Struct, frozen=True):
    """The answer to an offer. ``reason`` is told to the sender of one that is not accepted."""

    accepted: bool
    reason: str = DECLINED


class OfferAccepted(msgspec.Struct, frozen=True):
    """The receiver has agreed, for the first time in this transfer."""


class Progress(msgspec.Struct, frozen=True):
    """So many bytes are done. ``total`` and ``left`` (seconds): None when nobody knows."""

    done: int
    total: int | None
    rate: float
    left: float | None
    name: str


class FileDone(msgspec.Struct, frozen=True):
    """A file is complete, verified and in place. ``already``: it was there before."""

    name: str
    already: bool = False


class FileLeftOut(msgspec.Struct, frozen=True):
    """A file is not transferred; the others are."""

    name: str
    reason: str


class NotSent(msgspec.Struct, frozen=True):
    """What was never offered: ``count`` symlinks or special files in the folders."""

    count: int
    what: str


class Interrupted(msgspec.Struct, frozen=True):
    """The stream broke; it is being mended, and the transfer goes on where it stopped."""


FilesEvent = Offered | OfferAccepted | Progress | FileDone | FileLeftOut | NotSent | Interrupted

Tell = Callable[[FilesEvent], None]
"""Takes the events of a transfer, in the event loop, one after the other."""

MAX_TOLD = 1000
"""Files that an `Outcome` names; the rest is only counted."""


class Outcome(msgspec.Struct, frozen=True):
    """How it ended. ``bytes``: of the files in place; ``moved``: what of that travelled now."""

    files: int
    folders: int
    bytes: int
    moved: int
    seconds: float
    left_out: int
    reasons: tuple[FileLeftOut, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for is there."""
        return self.left_out == 0
