"""What screens and commands can ask of the calls of a conversation.

What happens is told among the conversation's events (`tincan.apps.call.events`).
`tincan.apps.call.memory` has one for tests, `tincan.apps.call.desk` the real one.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from tincan.apps.call.events import CallStatus
    from tincan.audio.devices import Choice, Devices


class Switch(enum.Enum):
    """What a user can turn on and off. They keep their position from one call to the next."""

    MUTED = "mute"
    ECHO = "echo"
    """Take the loudspeaker's sound out of the microphone's."""
    NOISE = "noise"
    """Take steady noise out of the microphone's sound."""
    PUSH_TO_TALK = "push-to-talk"
    """The microphone is open only while `PRESSED` is on, whatever `MUTED` says."""
    PRESSED = "pressed"


class Calls(Protocol):
    """The calls of one conversation: one at a time, or none."""

    @property
    def status(self) -> CallStatus | None:
        """How the call goes at the moment; None while there is none."""

    def call(self) -> None:
        """Call the peer, or accept its call.

        Raises `UsageError` when there is a call already or the peer takes
        none, `DeviceMissing` where voice is not installed.
        """

    def answer(self, accepted: bool) -> None:
        """Accept or decline the peer's call; `UsageError` when it does not call."""

    def hang_up(self) -> None:
        """End the call, take ours back, or decline the peer's; `UsageError` when there is none."""

    def switch(self, what: Switch, on: bool) -> None:
        """Turn something on or off; raises `TinCanError` with the reason when that cannot be done here."""

    async def devices(self) -> Devices:
        """Return the microphones and speakers there are; `DeviceMissing` where there is no sound at all."""

    def choose(self, choice: Choice) -> None:
        """Use these devices: at once in a call, else from the next one on. One that is not named stays as it is."""
