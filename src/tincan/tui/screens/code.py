"""A QR code alone, as large as it is."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import ModalScreen

from tincan.tui.widgets.plain import Plain
from tincan.tui.widgets.qr import QrCode, qr_lines


class CodeScreen(ModalScreen[None]):
    """The code of a command, and the command."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,r,q", "close", "Close", id="code.close", tooltip="Go back"),
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """See Textual."""
        with VerticalScroll(id="code"):
            if qr_lines(self._text) is None:
                yield Plain("This is too long for a QR code.")
            else:
                yield QrCode(self._text, id="qr")
            yield Plain(self._text, id="code-text")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()
