"""The question whether to take what the peer offers."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button

from tincan.tui.widgets.plain import Plain


class OfferScreen(ModalScreen[bool]):
    """Yes or no; Escape is no. ``number``: of the offer."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "Accept", id="offer.accept", tooltip="Take it, into this folder"),
        Binding("n,escape", "answer(False)", "Decline", id="offer.decline", tooltip="Do not take it"),
    ]
    # What was typed into the message when the question came up must not answer it.
    AUTO_FOCUS = "#decline"

    def __init__(self, number: int, text: str, folder: str) -> None:
        super().__init__()
        self.number = number
        self._text = text
        self._folder = folder

    def compose(self) -> ComposeResult:
        """See Textual."""
        with Vertical(id="offer") as box:
            box.border_title = "Files"
            yield Plain(self._text, id="offered")
            yield Plain(f"They would be put into {self._folder}", id="target")
            with Horizontal(id="answers"):
                yield Button("Accept (y)", id="accept", variant="primary", compact=True)
                yield Button("Decline (n)", id="decline", compact=True)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        event.stop()
        self.dismiss(event.button.id == "accept")

    def action_answer(self, accepted: bool) -> None:
        """Answer."""
        self.dismiss(accepted)
