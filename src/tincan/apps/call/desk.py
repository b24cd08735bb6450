"""The calls of a conversation: the shell around `CallProtocol`, and whoever makes the sound of a call.

Nothing of sound is loaded before there is a call, and no microphone is opened
before the user has called or accepted. What waits to be told is bounded: the
peer decides how often it calls up to a limit (`MAX_RINGS`), and of the status
and of the peer's condition only the latest waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import random
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from tincan.apps.call.events import (
    CallEvent,
    CallOffered,
    CallStatus,
    PeerMuted,
    SoundFlows,
    SoundTrouble,
)
from tincan.apps.call.interface import Switch
from tincan.apps.call.protocol import CallProtocol, Talk
from tincan.apps.call.states import State
from tincan.errors import DeviceMissing, TinCanError, UsageError
from tincan.link.interface import Link
from tincan.tasks import settle

if TYPE_CHECKING:
    from tincan.apps.call.session import CallSession
    from tincan.audio.devices import Choice, Devices, Sound

logger = logging.getLogger(__name__)

STATUS_EVERY: Final = 1.0
"""Seconds between two `CallStatus` that are told."""

LOADING: Final = 2.0
"""Seconds that a call that was agreed on waits for what it needs to be loaded."""

ANSWERS: Final = 5.0
"""Seconds that the sound server may take to say which devices there are."""

GOODBYE: Final = 1.0
"""Seconds that the tone at the end of a call, and closing its devices, may hold up the end of the string."""

NO_VOICE: Final = "Voice is not installed here; for calls: pip install 'tin-can[voice]'"
NO_VOICE_THERE: Final = "The other can takes no calls: it is an older one, or has no voice installed. You can write."

_LATEST_ONLY: Final = (CallStatus, PeerMuted, SoundFlows, SoundTrouble)
"""Kinds of news of which the one before is not worth telling any more."""

MakeSound = Callable[[], "Sound"]


def installed() -> bool:
    """Whether there is what sound needs, found out without loading any of it."""
    return any(importlib.util.find_spec(name) is not None for name in ("miniaudio", "sounddevice"))


def system_sound() -> Sound:
    """Return this machine's sound."""
    from tincan.audio.system import SystemSound

    return SystemSound()


class CallDesk:
    """See `tincan.apps.call.interface.Calls`; also takes the peer's frames, and tells what happens.

    ``post`` sends a frame on the control channel. Works while `run` runs.
    """

    def __init__(
        self,
        link: Link,
        post: Callable[[bytes], None],
        *,
        switches: Mapping[Switch, bool] | None = None,
        microphone: str | None = None,
        speaker: str | None = None,
        make_sound: MakeSound | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """``switches`` stand like this to begin with; these devices are used if they are there."""
        self.takes = False
        """Whether the peer takes calls; to be set once it has said so."""
        self._link = link
        self._post = post
        self._core = CallProtocol(rng or random.SystemRandom())
        self._make_sound = make_sound or (system_sound if installed() else None)
        self._sound: Sound | None = None
        self._switches = dict(switches or {})
        self._chosen = (microphone, speaker)
        self._news: deque[CallEvent] = deque()
        self._bell = asyncio.Event()
        self._changed = asyncio.Event()
        self._loading: asyncio.Task[None] | None = None
        self._talk: Talk | None = None
        self._session: CallSession | None = None
        self._playing: asyncio.Task[None] | None = None
        self._quiet = asyncio.Event()
        self._quiet.set()

    @property
    def able(self) -> bool:
        """Whether calls can be taken here."""
        return self._make_sound is not None

    # -- the user -----------------------------------------------------------------------

    @property
    def status(self) -> CallStatus | None:
        """See `Calls.status`."""
        if self._session is None or self._core.talk is None:
            return None
        return self._session.status(peer_muted=self._core.peer_muted, peer_delay_ms=self._core.peer_delay_ms)

    def call(self) -> None:
        """See `Calls.call`."""
        if not self.able:
            raise DeviceMissing(NO_VOICE)
        if not self.takes:
            raise UsageError(NO_VOICE_THERE)
        self._core.call(_now())
        self._answered()

    def answer(self, accepted: bool) -> None:
        """See `Calls.answer`."""
        self._core.answer(accepted, _now())
        self._answered()

    def hang_up(self) -> None:
        """See `Calls.hang_up`."""
        self._core.hang_up(_now())
        self._answered()

    def switch(self, what: Switch, on: bool) -> None:
        """See `Calls.switch`."""
        if on and what in (Switch.ECHO, Switch.NOISE):
            _must_be_able(what)
        self._switches[what] = on
        self._tell_condition()

    def is_on(self, what: Switch) -> bool | None:
        """Return how a switch stands; None: the user has not touched it."""
        return self._switches.get(what)

    async def devices(self) -> Devices:
        """See `Calls.devices`."""
        try:
            async with asyncio.timeout(ANSWERS):
                return await self._sounds().devices()
        except TimeoutError:
            raise DeviceMissing("The sound server does not answer.") from None

    def choose(self, choice: Choice) -> None:
        """See `Calls.choose`."""
        from tincan.audio.devices import Choice

        before = self._chosen
        self._chosen = choice.microphone or before[0], choice.speaker or before[1]
        self._sounds().choose(Choice(*self._chosen))

    # -- the conversation ---------------------------------------------------------------

    def receive(self, frame: bytes) -> None:
        """Take a frame of the control channel that is not the chat's."""
        if self.able:
            self._core.receive(frame, _now())
            self._collect()

    def leave(self) -> None:
        """The user leaves the conversation: there will be no call any more."""
        if self._core.state is not State.IDLE:
            self.hang_up()

    async def lose(self) -> None:
        """The string is cut; return when the user has heard the tone that says so, or soon."""
        self._core.lose(_now())
        self._collect()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE):
                await self._quiet.wait()

    async def run(self) -> None:
        """Keep calls going until cancelled."""
        try:
            while True:
                self._changed.clear()
                await self._attend()
                deadline = self._core.next_deadline()
                wake = STATUS_EVERY if self._session is not None else None
                if deadline is not None:
                    wake = max(0.0, deadline - _now())
                try:
                    async with asyncio.timeout(wake):
                        await self._changed.wait()
                except TimeoutError:
                    self._core.expire(_now())
                    if (status := self.status) is not None:
                        self._tell(status)
                    self._collect()
        finally:
            await settle(*filter(None, [self._playing, self._loading]))

    async def next_event(self) -> CallEvent:
        """Return what happens next; may be cancelled without losing anything."""
        while not self._news:
            self._bell.clear()
            await self._bell.wait()
        return self._news.popleft()

    def rest(self) -> list[CallEvent]:
        """Return what has happened and was not taken yet, but for how a call goes that is over."""
        left, self._news = self._news, deque()
        return [event for event in left if not isinstance(event, CallStatus)]

    # -- inside -------------------------------------------------------------------------

    async def _attend(self) -> None:
        """Have a session for what was agreed on, and none else."""
        if self._core.state in (State.CALLING, State.RINGING) and self._loading is None:
            self._loading = asyncio.create_task(_load())
        while self._talk != self._core.talk:
            session, self._session = self._session, None
            if session is not None and self._playing is not None:
                await session.finish(self._playing)
            self._playing = None
            self._quiet.set()
            self._talk = talk = self._core.talk
            if talk is not None:
                from tincan.apps.call.session import CallSession

                if self._loading is not None:
                    await asyncio.wait([self._loading], timeout=LOADING)
                self._session = CallSession(talk, self._link, self._sounds(), self, self._tell, self._core.began)
                self._playing = asyncio.create_task(self._session.run(), name="call")
                self._quiet.clear()
                self._tell_condition()

    def _sounds(self) -> Sound:
        if self._make_sound is None:
            raise DeviceMissing(NO_VOICE)
        if self._sound is None:
            from tincan.audio.devices import Choice

            self._sound = self._make_sound()
            self._sound.choose(Choice(*self._chosen))
        return self._sound

    def _tell_condition(self) -> None:
        if self._session is not None:
            opened = self._session.open_microphone()
            muted = not opened and not self.is_on(Switch.PUSH_TO_TALK)
            self._core.tell_condition(muted=muted, delay_ms=self._session.delay_ms)
            self._collect()

    def _answered(self) -> None:
        """The user need not be asked any more."""
        self._news = deque(event for event in self._news if not isinstance(event, CallOffered))
        self._collect()

    def _collect(self) -> None:
        for frame in self._core.data_to_send():
            self._post(frame)
        while (event := self._core.next_event()) is not None:
            self._tell(event)
            if not isinstance(event, PeerMuted):
                self._changed.set()

    def _tell(self, event: CallEvent) -> None:
        if isinstance(event, _LATEST_ONLY):
            self._news = deque(old for old in self._news if type(old) is not type(event))
        self._news.append(event)
        self._bell.set()


async def _load() -> None:
    """Load what a call needs while it is being offered."""
    from tincan.apps.call.session import load
    from tincan.audio.system import aside

    with contextlib.suppress(TinCanError):  # the call itself will say so
        await aside(load)


def _must_be_able(what: Switch) -> None:
    """Raise `DeviceMissing` when echo or noise cannot be taken out here."""
    from tincan.audio import echo

    method = echo.available()
    if method is None or (what is Switch.NOISE and method is echo.Method.SPEEX):
        name = "echo canceller" if what is Switch.ECHO else "noise suppression"
        raise DeviceMissing(f"No {name} is installed; use a headset, or: pip install 'tin-can[echo]'")


def _now() -> float:
    return asyncio.get_running_loop().time()
