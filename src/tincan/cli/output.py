"""What the commands print: for people, for pipes (`--plain`), for programs (`--json`).

One `Output` renders the events of meeting, link and chat. For people and for
pipes everything but messages goes to stderr; with `--json` every event is one
object a line on stdout, with the names that docs/cli.md promises.
"""

from __future__ import annotations

import contextlib
import dataclasses
import enum
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from tincan.apps.text import visible
from tincan.cli.main import STARTED, remark
from tincan.errors import TinCanError
from tincan.link.dial import Connected, LinkEvent, Tell
from tincan.meet.events import PeerFound, PlaceTrouble, Waiting
from tincan.meet.mailbox import Side

if TYPE_CHECKING:  # those that move bytes load neither calls nor chat
    from tincan.apps.call.events import CallEvent
    from tincan.apps.chat.events import ChatEvent, MessageReceived
    from tincan.apps.desk_events import DeskEvent

PATHS = {
    "lan": "directly on the LAN",
    "direct-udp": "directly (UDP)",
    "direct-tcp": "directly (TCP)",
    "relayed": "through a relay",
}


Hint = Callable[[Waiting], str]
"""Says what to tell a person who waits."""


def with_places(hint: Hint, side: Side | None, switchboards: Sequence[str]) -> Hint:
    """Return the same hint, with what the other one has to name besides the phrase; whoever taps was told it."""
    if side is Side.TAP or not switchboards:
        return hint
    named = " ".join(f"--switchboard {url}" for url in switchboards)
    return lambda event: f"{hint(event)}\n(Unless you are on one LAN, the other one adds {named})"


class Output:
    """For pipes: messages on stdout, exactly their text, and everything for people on stderr."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.peer = "peer"
        self._quiet = quiet
        self._held: list[str] | None = None
        self._aside = False

    def waiting(self, event: Waiting, hint: str) -> None:
        """Tell where the line is and how the other one joins it."""
        self.note(hint)

    def trouble(self, event: PlaceTrouble) -> None:
        """Tell that a place does not work at the moment."""
        self.note(event.text)

    def handover(self, kind: str, url: str) -> None:
        """Show an offer or an answer of a static link, which the user takes to the other one."""
        then = "then paste the answer here" if kind == "offer" else "the string is tied when it has arrived there"
        self.note(f"Hand this {kind} to the other one; {then}:\n\n{url}\n")

    def words(self, words: str) -> None:
        """Show the words that must be the same on both screens of a static link."""
        self.note(f"Compare aloud: both screens must show the words  {words}  - if not, hang up.")

    def found(self, event: PeerFound) -> None:
        """Tell that the other can is there."""
        self.note(f"The other can is there (met at {event.place}); tying the string ...")

    def connected(self, event: Connected, seconds: float) -> None:
        """Tell that the string is tied."""
        self.note(f"Connected {PATHS.get(event.path, event.path)} in {seconds:.1f} s.")

    def chat(self, event: ChatEvent) -> None:
        """Tell what happened in the chat."""
        from tincan.apps.chat.events import MessageReceived, PeerHello

        if isinstance(event, PeerHello):
            self.peer = event.name
            self.note(f"{event.name} is here ({event.agent}).")
        elif isinstance(event, MessageReceived):
            self.message(event)

    def message(self, event: MessageReceived) -> None:
        """Print a message of the peer."""
        text = f"* {self.peer} {event.text}" if event.action else event.text
        self._line(visible(text))

    def files(self, event: DeskEvent) -> None:
        """Tell what happens to files that are sent within the conversation."""
        from tincan.apps.desk_events import FilesEnded, FilesOffered
        from tincan.apps.files.words import ended_words, offer_words

        if isinstance(event, FilesOffered):
            lines = [*offer_words(event.offer, self.peer), "/accept takes it into this folder, /decline does not."]
            self.note("\n".join(lines))
        elif isinstance(event, FilesEnded):
            self.note(ended_words(event.name, event.outcome, event.text, sending=event.sending))

    def call(self, event: CallEvent) -> None:
        """Tell what happens to a call; how it goes is for screens and programs."""
        from tincan.apps.call.words import happened

        if text := happened(event, self.peer):
            self.note(text)

    def path(self, path: str, rtt: float | None) -> None:
        """Tell that the route has changed."""
        self.note(f"Now connected {PATHS.get(path, path)}.")

    def carrier(self, path: str, tcp: bool) -> None:
        """Tell how a stream's bytes go."""
        how = "by TCP" if tcp else "inside the link, as there is no TCP path so far (slower)"
        self.note(f"Bytes go {how}, {PATHS.get(path, path).replace('(TCP)', '').strip()}.")

    def reconnecting(self) -> None:
        """Tell that the link was lost and is being tied again."""
        self.note("The connection was lost; looking for the other can again ...")

    def reconnected(self, path: str) -> None:
        """Tell that the string is tied again."""
        self.note(f"Connected again, {PATHS.get(path, path)}.")

    def closed(self, reason: str, text: str) -> None:
        """Tell how it ended."""
        self.note(text)

    def piped(self, sent: int, received: int) -> None:
        """Tell programs how many bytes a pipe has carried."""

    def told(self, event: str, words: str, /, **fields: object) -> None:
        """Tell people a sentence, and programs an event with fields."""
        self.note(words)

    def error(self, exc: TinCanError) -> None:
        """Tell programs of an error; people read it on stderr anyway."""

    @contextlib.contextmanager
    def telling_errors(self) -> Iterator[None]:
        """Tell of the error that a command ends with."""
        try:
            yield
        except TinCanError as exc:
            self.error(exc)
            raise

    @contextlib.contextmanager
    def asking(self, question: str) -> Iterator[None]:
        """Ask on stderr; what is to be told meanwhile waits until the answer is there."""
        print(question, end="", file=sys.stderr, flush=True)
        self._held = []
        try:
            yield
        finally:
            held, self._held = self._held, None
            for text in held:
                self.note(text)

    def note(self, text: str) -> None:
        """Say something to the person."""
        if self._held is not None:
            self._held.append(text)
        elif not self._quiet:
            remark(visible(text, multiline=True))

    def _line(self, text: str) -> None:
        if self._aside:
            remark(text)
        else:
            print(text, flush=True)


class TerminalOutput(Output):
    """For a person at a terminal: everything above the prompt."""

    def __init__(self, show: Callable[[str], None], *, quiet: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._show = show
        plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._dim, self._bold, self._off = ("", "", "") if plain else ("\x1b[2m", "\x1b[1m", "\x1b[0m")

    def message(self, event: MessageReceived) -> None:
        """See `Output.message`."""
        # Later lines are indented, so that no text can pass for a note or for somebody else's message.
        text = visible(event.text, multiline=True).replace("\n", "\n    ")
        if event.action:
            self._show(f"* {self._bold}{self.peer}{self._off} {text}")
        else:
            self._show(f"{self._bold}{self.peer}:{self._off} {text}")

    def handover(self, kind: str, url: str) -> None:
        """See `Output.handover`. As a QR code too, when the terminal has room for it."""
        from tincan.apps.dialects.qr import qr

        size = os.get_terminal_size()
        code = qr(url, columns=size.columns, lines=size.lines - 4)
        if code is not None and not self._quiet:
            self._show(code)
        super().handover(kind, url)

    def note(self, text: str) -> None:
        """See `Output.note`."""
        if not self._quiet:
            self._show(f"{self._dim}{visible(text, multiline=True)}{self._off}")


class JsonOutput(Output):
    """For programs: one JSON object a line, on stdout; or on stderr (``aside``), where stdout is taken."""

    def __init__(self, *, quiet: bool = False, aside: bool = False) -> None:
        super().__init__(quiet=quiet)
        self._aside = aside

    def piped(self, sent: int, received: int) -> None:
        """See `Output.piped`."""
        self._event("piped", sent=sent, received=received)

    def waiting(self, event: Waiting, hint: str) -> None:
        """See `Output.waiting`."""
        phrase = {"phrase": event.phrase.text} if event.phrase.generated else {}
        self._event("waiting", code=event.code, **phrase)
        super().waiting(event, hint)

    def handover(self, kind: str, url: str) -> None:
        """See `Output.handover`."""
        self._event(kind, url=url)
        super().handover(kind, url)

    def words(self, words: str) -> None:
        """See `Output.words`."""
        self._event("words", words=words)
        super().words(words)

    def found(self, event: PeerFound) -> None:
        """See `Output.found`."""
        self._event("meeting", place=event.place)
        super().found(event)

    def connected(self, event: Connected, seconds: float) -> None:
        """See `Output.connected`."""
        self._event("connected", path=event.path, place=event.place, seconds=round(seconds, 3))
        super().connected(event, seconds)

    def chat(self, event: ChatEvent) -> None:
        """See `Output.chat`."""
        from tincan.apps.chat.events import Delivered

        if isinstance(event, Delivered):
            self._event("delivered", id=event.id)
        super().chat(event)

    def message(self, event: MessageReceived) -> None:
        """See `Output.message`."""
        action = {"action": True} if event.action else {}
        self._event("message", text=event.text, id=event.id, **{"from": self.peer}, **action)

    def call(self, event: CallEvent) -> None:
        """See `Output.call`."""
        self._event(_CALL_EVENTS[type(event).__name__], **_fields(event))
        super().call(event)

    def path(self, path: str, rtt: float | None) -> None:
        """See `Output.path`."""
        self._event("path", path=path, **({} if rtt is None else {"rtt": round(rtt, 4)}))
        super().path(path, rtt)

    def carrier(self, path: str, tcp: bool) -> None:
        """See `Output.carrier`."""
        self._event("stream", path=path, tcp=tcp)
        super().carrier(path, tcp)

    def reconnecting(self) -> None:
        """See `Output.reconnecting`."""
        self._event("reconnecting")
        super().reconnecting()

    def reconnected(self, path: str) -> None:
        """See `Output.reconnected`."""
        self._event("reconnected", path=path)
        super().reconnected(path)

    def closed(self, reason: str, text: str) -> None:
        """See `Output.closed`."""
        self._event("closed", reason=reason)
        super().closed(reason, text)

    def told(self, event: str, words: str, /, **fields: object) -> None:
        """See `Output.told`."""
        self._event(event, **fields)
        super().told(event, words)

    def error(self, exc: TinCanError) -> None:
        """See `Output.error`."""
        self._event("error", code=exc.exit_code, text=str(exc))

    def _event(self, event: str, **fields: object) -> None:
        import json

        # Escaped to ASCII, so that a terminal that shows it is as safe as a program that reads it.
        self._line(json.dumps({"event": event, **fields}))


_CALL_EVENTS = {
    "CallPlaced": "call-placed",
    "CallOffered": "call-offered",
    "CallStarted": "call-started",
    "CallEnded": "call-ended",
    "CallStatus": "call-status",
    "PeerMuted": "peer-muted",
    "SoundFlows": "sound",
    "SoundTrouble": "sound-trouble",
}
"""By the names of their classes, which then need not be loaded."""


def _fields(event: CallEvent) -> dict[str, object]:
    """Return an event's fields as programs read them; what is not known is left out."""
    return {
        field.name: _plain(getattr(event, field.name))
        for field in dataclasses.fields(event)
        if getattr(event, field.name) is not None
    }


def _plain(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return value.value if isinstance(value, enum.Enum) else value


def route(output: Output, hint: Hint, *, counting_from_arrival: bool) -> Tell:
    """Return what `tie_string` tells its events to.

    How long connecting took counts from the start of the process; for a can
    that waits (``counting_from_arrival``) from the arrival of the other one.
    """
    since = STARTED

    def tell(event: LinkEvent) -> None:
        nonlocal since
        if isinstance(event, Waiting):
            output.waiting(event, hint(event))
        elif isinstance(event, PlaceTrouble):
            output.trouble(event)
        elif isinstance(event, PeerFound):
            if counting_from_arrival:
                since = time.monotonic()
            output.found(event)
        elif isinstance(event, Connected):
            output.connected(event, time.monotonic() - since)

    return tell
