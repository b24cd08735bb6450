"""Who calls, who accepts, who hangs up: without any input or output. docs/call.md is the protocol.

How to drive a `CallProtocol`: call `receive` for every frame of the control
channel that is not the chat's, and the commands as the user wishes, each with
the time of one steady clock; `expire` when `next_deadline` has come. After
each of these calls send what `data_to_send` returns, in order, and take the
events with `next_event` until it returns None.

Every invitation has a number that is drawn by chance, and everything that is
said names one. So what crosses on the way is harmless: an answer to an
invitation that was taken back names one that is no more. When two call each
other at the same time, both want the call, and it begins; it then goes by both
numbers.

The channel keeps the order of what one side says; the peer may say anything at
any time. It gets `MAX_RINGS` of its calls put to the user in `RINGS_WITHIN`.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from dataclasses import dataclass
from typing import Final

from tincan.apps.call.events import (
    CallEnded,
    CallEvent,
    CallOffered,
    CallPlaced,
    CallStarted,
    EndReason,
    PeerMuted,
)
from tincan.apps.call.frames import Accept, Condition, Decline, Frame, HangUp, Invite, decode, encode
from tincan.apps.call.states import TRANSITIONS, State, Step
from tincan.errors import UsageError

RING_FOR: Final = 60.0
"""Seconds that a call of ours waits for an answer."""

RUNG_FOR: Final = 90.0
"""Seconds after which a call of the peer, who should have given up before, is taken for over."""

MAX_RINGS: Final = 5
RINGS_WITHIN: Final = 60.0
"""Seconds in which the user hears of so many calls of the peer; more are declined unheard."""

MAX_REPLIES: Final = 32
"""Calls that are declined unheard in the same time; more are not even answered."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Talk:
    """What two cans have agreed on: the sources (SSRC) of both voices, and whether each understands RFC 2198."""

    ours: int
    theirs: int
    red: bool
    """The peer does."""


@dataclass
class _Peer:
    """What the peer has said of the call that goes on."""

    muted: bool = False
    delay_ms: int | None = None


class CallProtocol:
    """One side of the calls of a conversation. ``rng``: for numbers that the peer must not guess in advance."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._state = State.IDLE
        self._ours: Invite | None = None
        self._theirs: Invite | Accept | None = None
        self._source = 0
        self._ids: frozenset[int] = frozenset()
        self._began = 0.0
        self._deadline: float | None = None
        self._rings: deque[float] = deque(maxlen=MAX_RINGS)
        self._replies: deque[float] = deque(maxlen=MAX_REPLIES)
        self._condition = Condition(1)
        self._peer = _Peer()
        self._outgoing: list[bytes] = []
        self._events: deque[CallEvent] = deque()

    @property
    def state(self) -> State:
        """How far the call is."""
        return self._state

    @property
    def talk(self) -> Talk | None:
        """What was agreed on; None unless `State.TALKING`."""
        if self._state is not State.TALKING or self._theirs is None:
            return None
        return Talk(self._source, self._theirs.source, self._theirs.red)

    @property
    def began(self) -> float:
        """When they began to talk."""
        return self._began

    @property
    def peer_muted(self) -> bool:
        """Whether the peer has closed its microphone."""
        return self._peer.muted

    @property
    def peer_delay_ms(self) -> int | None:
        """How long sound takes through the peer's devices, if it has said so."""
        return self._peer.delay_ms

    def data_to_send(self) -> list[bytes]:
        """Return the frames to send now, in order; each is returned once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def next_event(self) -> CallEvent | None:
        """Return the next thing that happened, or None."""
        return self._events.popleft() if self._events else None

    def next_deadline(self) -> float | None:
        """Return when `expire` is to be called, if ever."""
        return self._deadline

    # Commands

    def call(self, now: float) -> None:
        """Call the peer; where it calls already, accept that. Raises `UsageError` when there is a call."""
        if self._state is State.RINGING:
            self.answer(True, now)
            return
        if self._state is not State.IDLE:
            raise UsageError("There is a call already; /hangup ends it.")
        self._source = self._rng.getrandbits(32)
        self._ours = Invite(self._number(), self._source, red=True)
        self._ids = frozenset([self._ours.id])
        self._send(self._ours)
        self._move(Step.CALL)
        self._deadline = now + RING_FOR
        self._events.append(CallPlaced())

    def answer(self, accepted: bool, now: float, *, busy: bool = False) -> None:
        """Accept or decline the peer's call; ``busy``: nobody can be asked. Raises `UsageError` when nobody calls."""
        if self._state is not State.RINGING or self._theirs is None:
            raise UsageError("Nobody calls.")
        if not accepted:
            self._send(Decline(self._theirs.id, busy))
            self._end(EndReason.DECLINED, now)
            return
        self._source = self._rng.getrandbits(32)
        self._send(Accept(self._theirs.id, self._source, red=True))
        self._begin(now)

    def hang_up(self, now: float) -> None:
        """End the call, take ours back, or decline the peer's; raises `UsageError` when there is none."""
        if self._state is State.IDLE:
            raise UsageError("There is no call.")
        if self._state is State.RINGING:
            self.answer(False, now)
            return
        self._send_hang_up()
        self._end(EndReason.LOCAL, now)

    def tell_condition(self, *, muted: bool, delay_ms: int) -> None:
        """Tell the peer how it is here; nothing is sent when it knows, or outside a call."""
        if self._state is not State.TALKING:
            return
        condition = Condition(min(self._ids), muted, max(0, min(1000, delay_ms)))
        if condition != self._condition:
            self._condition = condition
            self._send(condition)

    def lose(self, now: float) -> None:
        """The string is cut."""
        if self._state is not State.IDLE:
            self._end(EndReason.LOST, now)

    def expire(self, now: float) -> None:
        """Do what is to be done by now."""
        if self._deadline is None or now < self._deadline:
            return
        if self._state is State.CALLING:
            self._send_hang_up()
        self._end(EndReason.NO_ANSWER, now)

    # The peer

    def receive(self, frame: bytes, now: float) -> None:
        """Take one frame; never raises."""
        match decode(frame):
            case Invite() as invite:
                self._invited(invite, now)
            case Accept() as accept if self._state is State.CALLING and accept.id in self._ids:
                self._theirs = accept
                self._begin(now)
            case Decline() as decline if self._state is State.CALLING and decline.id in self._ids:
                self._end(EndReason.BUSY if decline.busy else EndReason.DECLINED, now)
            case HangUp(number) if number in self._ids:
                self._hung_up(number, now)
            case Condition() as condition if self._state is State.TALKING and condition.id in self._ids:
                self._learn(condition)
            case _:
                pass

    def _invited(self, invite: Invite, now: float) -> None:
        match self._state:
            case State.CALLING:
                self._theirs = invite
                self._ids |= {invite.id}
                self._begin(now)
            case State.RINGING:  # it calls once more: the last one counts
                self._theirs, self._ids = invite, frozenset([invite.id])
            case State.IDLE if _seldom(self._rings, now):
                self._theirs, self._ids = invite, frozenset([invite.id])
                self._move(Step.PEER_CALL)
                self._deadline = now + RUNG_FOR
                self._events.append(CallOffered())
            case _ if _seldom(self._replies, now):
                self._send(Decline(invite.id, busy=True))
            case _:
                pass

    def _hung_up(self, number: int, now: float) -> None:
        for other in self._ids - {number}:
            self._send(HangUp(other))  # two had called each other: the other call is over as well
        self._end(EndReason.PEER, now)

    def _learn(self, condition: Condition) -> None:
        self._peer.delay_ms = condition.delay
        if condition.muted == self._peer.muted:
            return
        self._peer.muted = condition.muted
        if self._events and isinstance(self._events[-1], PeerMuted):
            self._events.pop()
        self._events.append(PeerMuted(condition.muted))

    def _begin(self, now: float) -> None:
        self._deadline = None
        self._began = now
        self._peer = _Peer()
        self._condition = Condition(1)
        self._move(Step.AGREED)
        self._events.append(CallStarted())

    def _end(self, reason: EndReason, now: float) -> None:
        seconds = now - self._began if self._state is State.TALKING else None
        self._deadline = None
        self._ours = self._theirs = None
        self._ids = frozenset()
        self._move(Step.ENDED)
        self._events.append(CallEnded(reason, seconds))

    def _send_hang_up(self) -> None:
        for number in sorted(self._ids):
            self._send(HangUp(number))

    def _number(self) -> int:
        return self._rng.getrandbits(52) + 1

    def _send(self, frame: Frame) -> None:
        self._outgoing.append(encode(frame))

    def _move(self, step: Step) -> None:
        """Change the state: the only place that does."""
        new = TRANSITIONS[self._state][step]
        _log.debug("call: %s -> %s (%s)", self._state.value, new.value, step.value)
        self._state = new


def _seldom(times: deque[float], now: float) -> bool:
    """Whether it has not happened too often of late; takes note that it happens now if so."""
    if len(times) == times.maxlen and now - times[0] < RINGS_WITHIN:
        return False
    times.append(now)
    return True
