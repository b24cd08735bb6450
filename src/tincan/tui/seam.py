"""What the screens are given by whoever opens them: conversations, the doctor, the clock."""

from __future__ import annotations

import enum
import string
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Final

from tincan.apps.conversation import Conversation
from tincan.apps.doctor import Finding, Verdict
from tincan.meet.mailbox import Side

if TYPE_CHECKING:
    from tincan.errors import TinCanError

ROOM_LENGTH: Final = 6
ROOM_LETTERS: Final = string.ascii_uppercase + string.digits


class Dialect(enum.Enum):
    """The protocol that the other end speaks."""

    NATIVE = "tin-can"
    PYPEER = "pypeer"
    CLASSIC = "classic tin-can"


@dataclass(frozen=True)
class Request:
    """The conversation that the user wants."""

    side: Side
    phrase: str | None = field(default=None, repr=False)
    """The phrase as typed, or the room's ID (`Dialect.PYPEER`). None: one is to be generated (native, attaching)."""

    password: str | None = field(default=None, repr=False)
    """The room's password, if it has one (`Dialect.PYPEER`)."""

    dialect: Dialect = Dialect.NATIVE
    name: str = ""
    """How the peer sees the user."""

    mode: str = ""
    """The command that a classic tin-can would have been given (`Dialect.CLASSIC`). ``talk``: call at once."""


MakeConversation = Callable[[Request], Conversation]
"""Make what a request asks for, not begun yet; `UsageError` for what makes no sense."""

Examine = Callable[[Callable[[Finding], None]], Awaitable[Verdict]]
"""Examine this machine and hand over each finding as it comes."""


@dataclass(frozen=True)
class Services:
    """Everything the screens cannot do themselves."""

    make_conversation: MakeConversation
    examine: Examine
    dialects: tuple[Dialect, ...] = (Dialect.NATIVE,)
    """Those that ``make_conversation`` knows; with more than one the user chooses."""

    name: str = ""
    now: Callable[[], datetime] = datetime.now
    goodbye: float = 3.0
    """Seconds that getting everything delivered and saying goodbye may take when the user leaves."""


Opening = Request | Side | None
"""What to begin with: a conversation, the form of one side, or the start screen."""


@dataclass(frozen=True)
class Outcome:
    """How the screens were left."""

    interrupted: bool = False
    error: TinCanError | None = None
    """What ended the conversation that the screens were opened for."""

    note: str = ""
    """What the user should read after the screens are gone."""


def new_room(choose: Callable[[Sequence[str]], str]) -> str:
    """Make the ID of a pypeer room; ``choose`` is `secrets.choice` outside of tests."""
    return "".join(choose(ROOM_LETTERS) for _ in range(ROOM_LENGTH))
