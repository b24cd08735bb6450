"""What the files of a conversation tell its screen.

Apart from `tincan.apps.desk`, so that a conversation without files need not load what moves them.
Names and texts may hold what a peer wrote: show them with `tincan.apps.text.visible`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tincan.apps.files.events import Offered, Outcome, Progress

CAPABILITY: Final = "chat-files"
"""In the hello of a chat that takes files."""


@dataclass(frozen=True)
class FilesOffered:
    """The peer offers files. The user's answer goes to `tincan.apps.desk.FileDesk.answer`."""

    id: int
    offer: Offered


@dataclass(frozen=True)
class FilesMoved:
    """How far a transfer is."""

    id: int
    sending: bool
    progress: Progress


@dataclass(frozen=True)
class FilesEnded:
    """A transfer is over, or an offer. ``name``: of what was sent.

    ``outcome`` None: it came to nothing or stopped, and ``text`` says why;
    otherwise ``text`` says what is missing, if anything is.
    """

    id: int
    sending: bool
    name: str
    outcome: Outcome | None
    text: str


DeskEvent = FilesOffered | FilesMoved | FilesEnded
