"""What a can is here for, as its hello says it, and what a user is told whose peer is here for something else.

Pure. A hello that names none of these is an older chat's.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

COMMANDS: Final = {
    "chat": "attach-string or tap",
    "pipe": "pipe",
    "files": "send or receive",
    "forward": "forward",
    "friend": "friend add",
}
"""What each capability is known as to users."""


def mismatch(app: str, capabilities: Collection[str]) -> str | None:
    """Return what to tell a user whose ``app`` met a peer that is here for other things; None when they agree."""
    named = [known for known in COMMANDS if known in capabilities] or ["chat"]
    if app in named:
        return None
    return f"The other can runs tin-can {COMMANDS[named[0]]}, and this one {COMMANDS[app]}: agree on one of them."
