"""The question whether to take what the peer offers: a call, or files.

It comes up while somebody may be writing, and must not be answered by that:
it takes no answer in its first moment, and a letter typed then goes into the
message, as does any letter later that answers nothing; the question steps
back and comes again when nothing is being written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Button

from tincan.tui.widgets.plain import Plain

PAUSE: Final = 0.8
"""Seconds before the question takes an answer."""


_ANSWERS: Final = frozenset("yYnN")

_PASSED: Final = frozenset({"up", "down", "pageup", "pagedown", "home", "end"})
"""Keys that read on, which may be pressed at once."""


@dataclass(frozen=True)
class Question:
    """What is asked. ``below``: what accepting would do."""

    title: str
    text: str
    below: str


class OfferScreen(ModalScreen[None]):
    """Yes or no; Escape is no. ``number``: of the offer.

    ``done`` is called with the answer as soon as this is gone: None when it
    steps back or the offer was withdrawn. ``typed`` takes keys that are meant
    for the message; None: nobody is writing one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,Y", "answer(True)", "Accept", id="offer.accept", tooltip="Take it; files go into this folder"),
        Binding("n,N,escape", "answer(False)", "Decline", id="offer.decline", tooltip="Do not take it"),
        Binding("tab,left,right", "other", "Other", show=False, id="offer.other", tooltip="To the other button"),
        Binding("up", "scroll(-1)", "Up", show=False, id="offer.up"),
        Binding("down", "scroll(1)", "Down", show=False, id="offer.down"),
        Binding("pageup", "scroll(-8)", "Page up", show=False, id="offer.page-up"),
        Binding("pagedown", "scroll(8)", "Page down", show=False, id="offer.page-down"),
    ]
    AUTO_FOCUS = ""

    def __init__(
        self,
        number: int,
        question: Question,
        *,
        still_open: Callable[[int], bool],
        typed: Callable[[Key], None] | None,
        done: Callable[[int, bool | None], None],
    ) -> None:
        super().__init__()
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-high")]
        self.number = number
        self._question = question
        self._still_open = still_open
        self._typed = typed
        self._done = done
        self._armed = False
        self._gone = False
        self._stepped_back = False

    def compose(self) -> ComposeResult:
        """See Textual."""
        with Vertical(id="offer") as box:
            box.border_title = self._question.title
            with VerticalScroll(id="offered", can_focus=False):
                yield Plain(self._question.text)
            yield Plain(self._question.below, id="target")
            with Horizontal(id="answers", disabled=True):
                yield Button("Accept (y)", id="accept", variant="primary", compact=True)
                yield Button("Decline (n)", id="decline", compact=True)

    def on_mount(self) -> None:
        """Take answers in a moment."""
        self.set_timer(PAUSE, self._arm)

    def on_screen_resume(self) -> None:
        """The offer may have been taken back while something lay above this."""
        self.check()

    def check(self) -> None:
        """Go if there is nothing to ask any more."""
        if not self._still_open(self.number):
            self._go(None)

    def on_key(self, event: Key) -> None:
        """Keep from the answers what is none."""
        letter = event.is_printable and event.character is not None
        stray = letter and event.key not in _ANSWERS
        if not (stray or self._gone or not self._armed) or (event.key in _PASSED and not self._gone):
            return
        event.prevent_default().stop()
        if self._typed is not None and (self._stepped_back or (letter and not self._gone)):
            self._stepped_back = True
            self._typed(event)
            self._go(None)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        event.stop()
        self._go(event.button.id == "accept")

    def action_answer(self, accepted: bool) -> None:
        """Answer; a key may have been pressed for the question before this one."""
        if self._armed:
            self._go(accepted)

    def action_other(self) -> None:
        """From one button to the other; No comes first."""
        accept, decline = self.query_one("#accept"), self.query_one("#decline")
        (accept if self.focused is decline else decline).focus()

    def action_scroll(self, lines: int) -> None:
        """Read on in a long list."""
        self.query_one("#offered").scroll_relative(y=lines, animate=False)

    def _arm(self) -> None:
        self._armed = True
        self.query_one("#answers").disabled = False

    def _go(self, answer: bool | None) -> None:
        if not self._gone:
            self._gone = True
            self.dismiss()
            # Not by the screen's result, which comes later: a key pressed twice would fall between two questions.
            self._done(self.number, answer)
