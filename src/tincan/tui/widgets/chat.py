"""The parts of the messaging screen: what is going on, and where the next message is written."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

from tincan.tui.messages import LeaveAsked
from tincan.tui.talk import Phase, Talk
from tincan.tui.widgets.plain import Plain
from tincan.tui.words import path_words, round_trip


class TopLine(Horizontal):
    """Who is at the other end, the path and the round-trip time."""

    def compose(self) -> ComposeResult:
        """See Textual."""
        yield Plain(id="peer")
        yield Plain(id="route")

    def show(self, talk: Talk) -> None:
        """Show the talk as it is now."""
        self.query_one("#peer", Plain).put(talk.peer or "the other can")
        self.query_one("#route", Plain).put(_route(talk))
        self.set_class(talk.phase is not Phase.TALKING, "-unsettled")


def _route(talk: Talk) -> str:
    match talk.phase:
        case Phase.OVER:
            return "the string is cut"
        case Phase.LEAVING:
            return "saying goodbye ..."
        case Phase.RECONNECTING:
            return "reconnecting ..."
        case _:
            took = f"  {round_trip(talk.rtt)}" if talk.rtt is not None else ""
            return f"{path_words(talk.path)}{took}"


class Hint(Plain):
    """One line above the composer: who is typing, what is below, what can be done."""

    def show(self, talk: Talk, unread: int) -> None:
        """Show what matters most, and beside it what moves."""
        if unread:
            first = f"\u2193 {unread} new below; Ctrl+End goes there"
        elif talk.phase is Phase.OVER:
            first = "The history stays until you leave: Esc"
        elif talk.ringing:
            first = f"{talk.peer} calls: /accept or /decline, or F2"
        elif talk.typing:
            first = f"{talk.peer} is typing ..."
        elif talk.offers:
            first = f"{talk.peer} offers files: /accept or /decline"
        else:
            first = ""
        self.put("   ".join(filter(None, [first, _moving(talk)])))


def _moving(talk: Talk) -> str:
    if not talk.transfers:
        return ""
    from tincan.apps.files.words import moving_words  # there are files only now

    several = len(talk.transfers) > 1
    return ", ".join(
        moving_words(moved.progress, sending=moved.sending, short=several) for moved in talk.transfers.values()
    )


class Composer(TextArea):
    """Where a message is written: Enter sends it, Ctrl+J breaks the line."""

    # Keys that come faster than they are handled must not overtake each other, as they would by bindings
    # with priority: `on_key` handles the first two, and the bindings are there to be shown.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "send", "Send", id="chat.send", tooltip="Send what is written"),
        Binding(
            "ctrl+j,shift+enter",
            "break_line",
            "New line",
            id="chat.break-line",
            tooltip="Begin a new line of the same message",
        ),
        Binding(
            "ctrl+d",
            "hang_up",
            "Hang up",
            id="chat.hang-up",
            tooltip="Say goodbye and leave, when nothing is written",
        ),
    ]

    class Sent(Message):
        """The user has finished a message."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id, placeholder="Write a message; /help for commands", compact=True, soft_wrap=True)

    def on_key(self, event: Key) -> None:
        """Enter and Ctrl+J, in the order of the keys around them."""
        if event.key == "enter":
            event.prevent_default().stop()
            self.action_send()
        elif event.key in ("ctrl+j", "shift+enter"):
            event.prevent_default().stop()
            self.action_break_line()

    def action_send(self) -> None:
        """Hand the text over and begin anew. Blank text stays."""
        text = self.text.strip("\n")
        if text.strip():
            self.clear()
            self.post_message(self.Sent(text))

    def action_break_line(self) -> None:
        """Begin a new line."""
        self.insert("\n")

    def action_hang_up(self) -> None:
        """As at a shell's prompt: Ctrl+D leaves an empty line, and deletes in a full one."""
        if self.text:
            self.action_delete_right()
        else:
            self.post_message(LeaveAsked())
