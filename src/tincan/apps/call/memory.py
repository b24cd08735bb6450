"""A `Calls` without sound, network or peer: what screens are tested with.

The test plays the peer: `ring`, `pick_up`, `end`, `show`. What the screen asks
for is done at once, told as an event, and kept in ``wishes``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tincan.apps.call.events import (
    CallEnded,
    CallEvent,
    CallOffered,
    CallPlaced,
    CallStarted,
    CallStatus,
    EndReason,
    PeerMuted,
    SoundFlows,
)
from tincan.apps.call.interface import Switch
from tincan.audio.devices import Choice, Device, Devices
from tincan.errors import UsageError

HERE = Devices(
    (Device(b"m1", "Microphone", True), Device(b"m2", "Headset microphone")),
    (Device(b"s1", "Speaker", True), Device(b"s2", "Headset")),
)

_SHOWN = {Switch.MUTED: "muted", Switch.ECHO: "echo", Switch.NOISE: "noise", Switch.PUSH_TO_TALK: "push_to_talk"}


class MemoryCalls:
    """See `Calls`. ``tell`` is given each event; ``takes``: whether the peer takes calls."""

    def __init__(self, tell: Callable[[CallEvent], None], *, takes: bool = True, there: Devices = HERE) -> None:
        self.wishes: list[str] = []
        self.there = there
        self.status: CallStatus | None = None
        self._tell = tell
        self._takes = takes
        self._calling = False
        self._ringing = False

    # -- the screen -----------------------------------------------------------------------

    def call(self) -> None:
        """See `Calls.call`."""
        self.wishes.append("call")
        if self.status is not None or self._calling:
            raise UsageError("There is a call already; /hangup ends it.")
        if not self._takes:
            raise UsageError("The other can takes no calls.")
        if self._ringing:
            self._start()
            return
        self._calling = True
        self._tell(CallPlaced())

    def answer(self, accepted: bool) -> None:
        """See `Calls.answer`."""
        self.wishes.append("accept" if accepted else "decline")
        if not self._ringing:
            raise UsageError("Nobody calls.")
        if accepted:
            self._start()
        else:
            self._finish(EndReason.DECLINED)

    def hang_up(self) -> None:
        """See `Calls.hang_up`."""
        self.wishes.append("hangup")
        if self.status is None and not self._calling and not self._ringing:
            raise UsageError("There is no call.")
        self._finish(EndReason.DECLINED if self._ringing else EndReason.LOCAL)

    def switch(self, what: Switch, on: bool) -> None:
        """See `Calls.switch`."""
        self.wishes.append(f"{what.value} {'on' if on else 'off'}")
        if self.status is None:
            return
        if what is Switch.PRESSED:
            self.show(speaking=on)
        else:
            self.show(**{_SHOWN[what]: on})

    async def devices(self) -> Devices:
        """See `Calls.devices`."""
        return self.there

    def choose(self, choice: Choice) -> None:
        """See `Calls.choose`."""
        self.wishes.append(f"choose {choice.microphone} {choice.speaker}")
        if self.status is not None:
            self._flow(choice.microphone or self.status.microphone, choice.speaker or self.status.speaker)

    # -- the peer, and the world ----------------------------------------------------------

    def ring(self) -> None:
        """Let the peer call."""
        self._ringing = True
        self._tell(CallOffered())

    def pick_up(self) -> None:
        """Let the peer accept."""
        self._start()

    def end(self, reason: EndReason = EndReason.PEER) -> None:
        """Let it end."""
        self._finish(reason)

    def mute_peer(self, muted: bool) -> None:
        """Let the peer mute itself."""
        self.show(peer_muted=muted)
        self._tell(PeerMuted(muted))

    def show(self, **changes: object) -> None:
        """Change the status and tell it."""
        if self.status is None:
            raise ValueError("there is no call")
        self.status = replace(self.status, **changes)  # type: ignore[arg-type]
        self._tell(self.status)

    # -- inside -----------------------------------------------------------------------------

    def _start(self) -> None:
        self._calling = self._ringing = False
        self.status = CallStatus(
            seconds=0.0, level=-127.0, peer_level=-127.0, muted=False, peer_muted=False, path="direct-udp"
        )
        self._tell(CallStarted())
        self._flow(HERE.microphones[0].name, HERE.speakers[0].name)

    def _flow(self, microphone: str | None, speaker: str | None) -> None:
        if self.status is not None:
            self.status = replace(self.status, microphone=microphone, speaker=speaker)
        self._tell(SoundFlows(microphone, speaker, f"Microphone: {microphone}. Speaker: {speaker}."))

    def _finish(self, reason: EndReason) -> None:
        seconds = self.status.seconds if self.status is not None else None
        self.status, self._calling, self._ringing = None, False, False
        self._tell(CallEnded(reason, seconds))
