"""The chat protocol, version 1, without any input or output; docs/chat.md is its wire format.

How to drive a `ChatProtocol`: call `start` once, then `receive` for every
frame of the peer and the commands as the user wishes. After each of these
calls send what `data_to_send` returns, in order, and take the events with
`next_event` until it returns None. Call `acknowledge` once the application
has taken a message.

When `receive` raises `ProtocolError` the conversation has failed: send what
`data_to_send` still returns (the complaint to the peer) and close the link.

Nothing here grows without bound: at most `WINDOW` messages of each direction
are unacknowledged, and typing is only reported when it changes.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable

from tincan.apps.chat.events import ChatEvent, Delivered, MessageReceived, PeerHello, PeerLeft, PeerTyping
from tincan.apps.chat.frames import (
    MAX_TEXT,
    MINIMUM_VERSION,
    VERSION,
    Ack,
    Bye,
    Frame,
    Hello,
    Message,
    Typing,
    decode,
    encode,
)
from tincan.apps.chat.states import TRANSITIONS, State, Step
from tincan.apps.text import visible, visible_name
from tincan.errors import ProtocolError, UsageError

WINDOW = 1024
"""Messages of one direction that may be unacknowledged: far more than people type ahead."""

MAX_CAPABILITIES = 64
"""Capabilities in one hello, and characters in one capability."""

_MAX_COMPLAINT = 256

_log = logging.getLogger(__name__)


_WELCOME: dict[State, tuple[type[Frame], ...]] = {
    State.GREETING: (Hello,),
    State.OPEN: (Message, Ack, Typing, Bye),
    State.LEAVING: (Message, Ack, Typing, Bye),
    # Acknowledgements are the one thing that may follow a bye: whoever leaves
    # still shows what was said to it until then.
    State.PEER_LEFT: (Ack,),
    State.OVER: (Ack,),
}


class NotOpen(UsageError):
    """The conversation has not begun, or is over: nothing can be said now."""


class WindowFull(UsageError):
    """`WINDOW` messages wait for the peer's acknowledgement; try again after a `Delivered`."""


class ChatProtocol:
    """One side of a conversation."""

    def __init__(
        self,
        *,
        name: str,
        agent: str = "",
        capabilities: Iterable[str] = (),
        version: int = VERSION,
        minimum: int = MINIMUM_VERSION,
    ) -> None:
        """``version`` and ``minimum`` are there to try what other versions will do."""
        offered = list(capabilities)
        if len(offered) > MAX_CAPABILITIES or not all(map(_is_capability, offered)):
            raise UsageError(f"At most {MAX_CAPABILITIES} capabilities of {MAX_CAPABILITIES} characters each.")
        self._hello = Hello(version, minimum, visible_name(name), visible_name(agent, fallback=""), offered)
        self._state = State.NEW
        self._failure: ProtocolError | None = None
        self._outgoing: list[bytes] = []
        self._events: deque[ChatEvent] = deque()
        self._last_id = 0
        self._unacknowledged: set[int] = set()
        self._typing = False
        self._peer_last_id = 0
        self._peer_unacknowledged: set[int] = set()
        self._peer_typing = False

    @property
    def state(self) -> State:
        """How far the conversation is."""
        return self._state

    @property
    def undelivered(self) -> int:
        """How many of our messages the peer has not acknowledged."""
        return len(self._unacknowledged)

    @property
    def has_data_to_send(self) -> bool:
        """Whether `data_to_send` would return anything."""
        return bool(self._outgoing)

    def data_to_send(self) -> list[bytes]:
        """Return the frames to send now, in order; each is returned once."""
        frames, self._outgoing = self._outgoing, []
        return frames

    def next_event(self) -> ChatEvent | None:
        """Return the next thing that happened, or None."""
        return self._events.popleft() if self._events else None

    # Commands

    def start(self) -> None:
        """Greet the peer. Once, before anything else."""
        if self._state is not State.NEW:
            raise NotOpen("This chat has been started already.")
        self._send(self._hello)
        self._move(Step.START)

    def send_message(self, text: str, action: bool = False) -> int:
        """Say something; return the id that `Delivered` will carry.

        Raises `UsageError` for text that is empty or too long, `NotOpen`
        outside a conversation, `WindowFull` when too much is undelivered.
        """
        check_text(text)
        self._require_open()
        if len(self._unacknowledged) >= WINDOW:
            raise WindowFull(f"{WINDOW} messages wait to be shown to the peer.")
        self._last_id += 1
        self._unacknowledged.add(self._last_id)
        self._typing = False  # a message ends typing on both sides, without a frame
        self._send(Message(self._last_id, text, action))
        return self._last_id

    def set_typing(self, active: bool) -> None:
        """Tell the peer whether the user is typing; nothing is sent when it knows."""
        self._require_open()
        if active != self._typing:
            self._typing = active
            self._send(Typing(active))

    def acknowledge(self, message_id: int) -> None:
        """Tell the peer that its message was taken. Nothing happens for one acknowledged before."""
        if message_id in self._peer_unacknowledged and self._state is not State.FAILED:
            self._peer_unacknowledged.remove(message_id)
            self._send(Ack(message_id))

    def say_goodbye(self) -> None:
        """Say no more. The peer may; its messages can still be acknowledged."""
        if Step.BYE not in TRANSITIONS[self._state]:
            raise self._not_open()
        self._send(Bye())
        self._move(Step.BYE)

    # The peer

    def receive(self, frame: bytes) -> bool:
        """Take one frame of the peer; return whether it is the chat's.

        Raises `ProtocolError` when the peer broke the protocol; the state is
        then FAILED for good, and every further call raises the same.
        """
        if self._failure is not None:
            raise ProtocolError(str(self._failure)) from self._failure
        if self._state is State.NEW:
            raise NotOpen("This chat has not been started.")
        try:
            taken = decode(frame)
            self._take(taken)
        except ProtocolError as error:
            self._fail(error)
            raise
        return taken is not None

    def _take(self, frame: Frame | None) -> None:
        if frame is None:
            if self._state is State.GREETING:
                raise ProtocolError("The peer did not begin the chat with a hello.")
            return  # another app's, or a later version's
        if not isinstance(frame, _WELCOME[self._state]):
            raise ProtocolError(self._why_unwelcome(frame))
        match frame:
            case Hello():
                self._take_hello(frame)
            case Message():
                self._take_message(frame)
            case Ack():
                self._take_ack(frame.id)
            case Typing():
                self._note_typing(frame.active)
            case Bye():
                self._note_typing(False)
                complaint = None if frame.error is None else visible(frame.error[:_MAX_COMPLAINT])
                self._events.append(PeerLeft(complaint))
                self._move(Step.PEER_BYE)

    def _take_hello(self, hello: Hello) -> None:
        ours = self._hello
        if hello.version < ours.minimum:
            raise ProtocolError(
                f"The peer must upgrade: it speaks the chat protocol up to version {hello.version}, "
                f"this side needs {ours.minimum} at least."
            )
        if ours.version < hello.minimum:
            raise ProtocolError(
                f"This side must upgrade: it speaks the chat protocol up to version {ours.version}, "
                f"the peer needs {hello.minimum} at least."
            )
        capabilities = frozenset(filter(_is_capability, hello.capabilities[:MAX_CAPABILITIES]))
        version = min(ours.version, hello.version)
        agent = visible_name(hello.agent, fallback="")
        self._events.append(PeerHello(visible_name(hello.name), agent, version, capabilities))
        self._move(Step.PEER_HELLO)

    def _take_message(self, message: Message) -> None:
        if message.id <= self._peer_last_id:
            raise ProtocolError(
                f"The peer sent a message with id {message.id} after the one with id {self._peer_last_id}."
            )
        if len(self._peer_unacknowledged) >= WINDOW:
            raise ProtocolError(f"The peer sent more than {WINDOW} messages ahead.")
        self._peer_last_id = message.id
        self._peer_unacknowledged.add(message.id)
        self._note_typing(False)
        self._events.append(MessageReceived(message.id, message.text, message.action))

    def _take_ack(self, message_id: int) -> None:
        if message_id > self._last_id:
            raise ProtocolError(f"The peer acknowledged message {message_id}, which was never sent.")
        if message_id in self._unacknowledged:
            self._unacknowledged.remove(message_id)
            self._events.append(Delivered(message_id))

    def _note_typing(self, active: bool) -> None:
        if active != self._peer_typing:
            self._peer_typing = active
            self._events.append(PeerTyping(active))

    def _why_unwelcome(self, frame: Frame) -> str:
        kind = type(frame).__name__.lower()
        if self._state is State.GREETING:
            return f"The peer began the chat with a {kind}, not with a hello."
        if isinstance(frame, Hello):
            return "The peer said hello a second time."
        return f"The peer sent a {kind} after its goodbye."

    def _fail(self, error: ProtocolError) -> None:
        self._failure = error
        if Step.BYE in TRANSITIONS[self._state] or self._state is State.GREETING:
            self._send(Bye(str(error)[:_MAX_COMPLAINT]))
        self._move(Step.FAILURE)

    def _require_open(self) -> None:
        if self._state is not State.OPEN:
            raise self._not_open()

    def _not_open(self) -> NotOpen:
        return NotOpen(f"Nothing can be said now: the chat is {self._state.value}.")

    def _send(self, frame: Frame) -> None:
        self._outgoing.append(encode(frame))

    def _move(self, step: Step) -> None:
        """Change the state: the only place that does."""
        new = TRANSITIONS[self._state][step]
        _log.debug("chat: %s -> %s (%s)", self._state.value, new.value, step.value)
        self._state = new


def check_text(text: str) -> None:
    """Raise `UsageError` unless the text can be sent as one message."""
    if not text:
        raise UsageError("There is nothing to send: the message is empty.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise UsageError("The message holds something that is not text; it cannot be sent.") from exc
    if size > MAX_TEXT:
        raise UsageError(f"The message has {size} bytes; at most {MAX_TEXT} can be sent at once.")


def _is_capability(word: str) -> bool:
    """A capability is a short visible word; others are of no use to anybody, and are ignored."""
    return 0 < len(word) <= MAX_CAPABILITIES and visible(word) == word
