"""What a screen knows of one conversation: built from its events, without Textual, clock or network.

A `Talk` is changed by its `controller` only, and read by the screens. It is
bounded, whatever the peer does. All text in it is safe to show.
"""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from tincan.apps.call.events import (
    CallEnded,
    CallEvent,
    CallOffered,
    CallPlaced,
    CallStarted,
    CallStatus,
    PeerMuted,
    SoundFlows,
    SoundTrouble,
)
from tincan.apps.call.words import happened
from tincan.apps.chat.events import (
    Closed,
    Delivered,
    MessageReceived,
    PeerHello,
    PeerLeft,
    PeerTyping,
)
from tincan.apps.conversation import ConversationEvent, Reconnected, Reconnecting
from tincan.apps.desk_events import FilesEnded, FilesMoved, FilesOffered
from tincan.apps.text import visible, visible_name
from tincan.errors import TinCanError
from tincan.link.dial import Connected
from tincan.link.interface import CloseReason, LinkStatus
from tincan.meet.events import PeerFound, PlaceReady, PlaceTrouble, Waiting
from tincan.meet.phrase import Phrase
from tincan.tui.words import not_arrived, path_words, place_words

logger = logging.getLogger(__name__)

MAX_ENTRIES: Final = 2000
"""Messages and notes that are kept; older ones are forgotten."""


class Phase(enum.Enum):
    """How far a conversation has come."""

    PREPARING = "preparing"
    WAITING = "waiting"
    TYING = "tying"
    """The other can is there; the string is being tied."""

    TALKING = "talking"
    RECONNECTING = "reconnecting"
    LEAVING = "leaving"
    OVER = "over"


class Kind(enum.Enum):
    """Whose an entry of the history is."""

    OWN = "own"
    PEER = "peer"
    NOTE = "note"
    """Of tin-can itself."""


class Delivery(enum.Enum):
    """How far a message of ours has come."""

    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNSURE = "unsure"
    """The conversation ended before the peer acknowledged it, or it could not be sent."""


@dataclass(frozen=True)
class Entry:
    """One message, or one note, of the history. ``key`` counts upwards from 1."""

    key: int
    kind: Kind
    who: str
    text: str
    at: datetime
    action: bool = False
    delivery: Delivery | None = None


@dataclass(frozen=True)
class PlaceState:
    """One place where the cans may meet. ``trouble`` None: it is reached."""

    name: str
    trouble: str | None = None


@dataclass(frozen=True)
class Ending:
    """How a conversation ended. ``error``: what to exit with; None when somebody hung up."""

    sentence: str
    undelivered: int
    error: TinCanError | None = None


@dataclass
class Talk:
    """Everything about one conversation that can be shown."""

    own_name: str = ""
    phase: Phase = Phase.PREPARING
    phrase: Phrase | None = field(default=None, repr=False)
    places: dict[str, PlaceState] = field(default_factory=dict)
    met_at: str = ""
    peer: str = ""
    agent: str = ""
    typing: bool = False
    path: str = ""
    rtt: float | None = None
    connected: bool = False
    """Whether there ever was a string."""

    ending: Ending | None = None
    offers: dict[int, str] = field(default_factory=dict)
    """What the peer offers and the user has not answered, in words."""

    transfers: dict[int, FilesMoved] = field(default_factory=dict)
    """How far each transfer is."""

    ringing: bool = False
    """The peer calls, and the user has not answered."""

    calling: bool = False
    """We call, and the peer has not answered."""

    pressed: bool = False
    """The key of push to talk is held."""

    call: CallStatus | None = None
    """How the call goes; None while there is none."""

    broken_off: list[str] = field(default_factory=list)
    """What became of transfers that the user left, in words."""

    entries: dict[int, Entry] = field(default_factory=dict)
    touched: int = 0
    """Counts every change of an entry that is there already."""

    _last_key: int = 0
    _by_id: dict[int, int] = field(default_factory=dict)
    _early: set[int] = field(default_factory=set)  # acknowledged before `sent` told us the id

    def take(self, event: ConversationEvent, now: datetime) -> None:
        """Take in what happened."""
        match event:
            case Waiting():
                self.phrase = event.phrase
                self._enter(Phase.WAITING)
            case PlaceReady():
                self._place(event.place, None)
            case PlaceTrouble():
                self._place(event.place, visible(event.text))
            case PeerFound():
                self.met_at = place_words(visible(event.place))
                self._place(event.place, None)
                self._enter(Phase.TYING)
            case Connected():
                self.connected = True
                self._path(event.path)
                self._enter(Phase.TALKING)
                self.note(f"Connected {path_words(self.path)}.", now)
            case Reconnecting():
                self._enter(Phase.RECONNECTING)
                self.note("The path went silent; looking for another one ...", now)
            case Reconnected():
                self._path(event.path)
                self._enter(Phase.TALKING)
                self.note(f"Connected again {path_words(self.path)}.", now)
            case Closed():
                self._close(event, now)
            case FilesOffered() | FilesMoved() | FilesEnded():
                self._files(event, now)
            case CallStatus():
                pass  # the controller looks at it more often
            case CallPlaced() | CallOffered() | CallStarted() | CallEnded() | PeerMuted():
                self._called(event, now)
            case SoundFlows() | SoundTrouble():
                self.note(event.text, now)
            case _:
                self._chat(event, now)

    def fail(self, error: TinCanError, now: datetime) -> None:
        """No string came about, or something else went wrong with it."""
        self._end(Ending(visible(str(error)), self._unacknowledged(), error), now)

    def stop(self, now: datetime) -> None:
        """The user left without waiting for the end."""
        if self.ending is None:
            self._end(Ending("You hung up.", self._unacknowledged()), now)

    def leave(self) -> None:
        """The user wants to leave."""
        if self.phase is not Phase.OVER:
            self._enter(Phase.LEAVING)

    def route(self, status: LinkStatus, now: datetime) -> bool:
        """Take in how the link is doing; say whether that is news."""
        news = status.rtt != self.rtt or status.path.value != self.path
        self.rtt = status.rtt
        if self.path and status.path.value != self.path and self.phase is Phase.TALKING:
            self._path(status.path.value)
            self.note(f"Now connected {path_words(self.path)}.", now)
        return news

    # -- entries ----------------------------------------------------------------------

    def note(self, text: str, now: datetime) -> None:
        """Tell the user something in the history."""
        self._add(Kind.NOTE, "", text, now)

    def say(self, text: str, action: bool, now: datetime) -> int:
        """Add a message of ours that is about to be sent; return its key."""
        return self._add(Kind.OWN, self.own_name or "you", text, now, action, Delivery.SENDING)

    def sent(self, key: int, message_id: int) -> None:
        """The message is on its way under this id."""
        if message_id in self._early:
            self._early.discard(message_id)
            self._delivery(key, Delivery.DELIVERED)
        else:
            self._by_id[message_id] = key
            self._delivery(key, Delivery.UNSURE if self.phase is Phase.OVER else Delivery.SENT)

    def not_sent(self, key: int, why: str, now: datetime) -> None:
        """The message cannot be sent."""
        self._delivery(key, Delivery.UNSURE)
        if why:
            self.note(f"Not sent: {why}", now)

    def _add(
        self, kind: Kind, who: str, text: str, now: datetime, action: bool = False, delivery: Delivery | None = None
    ) -> int:
        self._last_key += 1
        shown = visible(text, multiline=True)
        self.entries[self._last_key] = Entry(self._last_key, kind, who, shown, now, action, delivery)
        while len(self.entries) > MAX_ENTRIES:
            del self.entries[next(iter(self.entries))]
        return self._last_key

    def _delivery(self, key: int, delivery: Delivery) -> None:
        if key in self.entries:
            self.entries[key] = replace(self.entries[key], delivery=delivery)
            self.touched += 1

    # -- events -----------------------------------------------------------------------

    def _chat(self, event: ConversationEvent, now: datetime) -> None:
        match event:
            case PeerHello():
                self.peer, self.agent = visible_name(event.name), visible_name(event.agent, fallback="")
                self.note(f"{self.peer} is here.", now)
            case MessageReceived():
                self.typing = False
                self._add(Kind.PEER, self.peer or "peer", event.text, now, event.action)
            case Delivered():
                key = self._by_id.pop(event.id, None)
                if key is None:
                    self._early.add(event.id)
                else:
                    self._delivery(key, Delivery.DELIVERED)
            case PeerTyping():
                self.typing = event.active
            case PeerLeft():
                self.typing = False

    def _files(self, event: FilesOffered | FilesMoved | FilesEnded, now: datetime) -> None:
        from tincan.apps.files.words import ended_words, offer_words  # not before there are any files

        match event:
            case FilesOffered():
                self.offers[event.id] = "\n".join(offer_words(event.offer, self.peer))
                self.note(f"{self.offers[event.id]}\n/accept takes it into this folder, /decline does not.", now)
            case FilesMoved():
                self.offers.pop(event.id, None)
                self.transfers[event.id] = event
            case FilesEnded():
                self.offers.pop(event.id, None)
                self.transfers.pop(event.id, None)
                words = ended_words(event.name, event.outcome, event.text, sending=event.sending)
                self.note(words, now)
                if event.outcome is None and self.phase is Phase.LEAVING:
                    self.broken_off.append(words)

    def _called(self, event: CallEvent, now: datetime) -> None:
        self.ringing = isinstance(event, CallOffered)
        self.calling = isinstance(event, CallPlaced)
        self.note(happened(event, self.peer or "The other can"), now)

    def answered(self, number: int) -> None:
        """The user has answered an offer."""
        self.offers.pop(number, None)

    def _place(self, name: str, trouble: str | None) -> None:
        self.places[name] = PlaceState(place_words(visible(name)), trouble)

    def _path(self, path: str) -> None:
        self.path = visible(path)

    def _close(self, event: Closed, now: datetime) -> None:
        if event.error is not None:
            sentence = visible(str(event.error))
        elif event.reason is CloseReason.LOCAL:
            sentence = "You hung up."
        else:
            sentence = f"{self.peer or 'The other can'} hung up."
        self._end(Ending(sentence, max(event.undelivered, self._unacknowledged()), event.error), now)

    def _end(self, ending: Ending, now: datetime) -> None:
        self.ending = ending
        self.typing = False
        self.offers.clear()
        self.transfers.clear()
        self.ringing = self.calling = False
        self.call = None
        self._enter(Phase.OVER)
        for key, entry in self.entries.items():
            if entry.delivery in (Delivery.SENDING, Delivery.SENT):
                self.entries[key] = replace(entry, delivery=Delivery.UNSURE)
                self.touched += 1
        self.note(f"{ending.sentence} {not_arrived(ending.undelivered)}".strip(), now)

    def _unacknowledged(self) -> int:
        waiting = sum(entry.delivery in (Delivery.SENDING, Delivery.SENT) for entry in self.entries.values())
        return max(0, waiting - len(self._early))

    def _enter(self, phase: Phase) -> None:
        if phase is not self.phase:
            logger.info("%s -> %s", self.phase.value, phase.value)
            self.phase = phase
