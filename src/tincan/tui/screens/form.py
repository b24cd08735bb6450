"""Host and Join: what is needed before two cans can meet."""

from __future__ import annotations

import secrets
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Button, Footer, Input, RadioButton, RadioSet

from tincan.apps.text import visible
from tincan.errors import TinCanError, UsageError
from tincan.meet.mailbox import Side
from tincan.meet.phrase import MAX_PHRASE, describe_strength, looks_mistyped, parse
from tincan.tui.messages import RequestMade
from tincan.tui.seam import Dialect, Request, new_room
from tincan.tui.widgets.phrases import PhraseSuggester
from tincan.tui.widgets.plain import Plain
from tincan.tui.words import side_words

_INTRO = {
    Side.ATTACH: "Make a string and wait. The other one joins it with the phrase.",
    Side.TAP: "Join the string that the other can has made.",
}
_BUTTON = {Side.ATTACH: "Make the string", Side.TAP: "Join"}


class FormScreen(Screen[None]):
    """The form of one side. It stays usable after every error: `complain` shows it, the fields keep their text."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "submit", "Go", id="form.submit", tooltip="Go on with what is in the fields"),
        Binding("tab", "app.focus_next", "Next field", id="form.next", tooltip="Go to the next field"),
        Binding("escape", "back", "Back", id="form.back", tooltip="Leave this form"),
    ]
    AUTO_FOCUS = "#phrase-field"

    def __init__(self, side: Side, dialects: tuple[Dialect, ...], name: str) -> None:
        super().__init__(id=side_words(side).lower())
        self._side = side
        self._dialects = dialects
        self._user = name
        self._dialect = dialects[0]

    def compose(self) -> ComposeResult:
        """See Textual."""
        with VerticalScroll(id="form", can_focus=False):
            yield Plain(side_words(self._side), classes="-title")
            yield Plain(_INTRO[self._side], classes="-intro")
            with Horizontal(id="dialect-row"):
                yield Plain("Speaks", classes="-label")
                with RadioSet(id="dialect", compact=True):
                    for dialect in self._dialects:
                        yield RadioButton(dialect.value, value=dialect is self._dialect, id=f"dialect-{dialect.name}")
            yield Plain("Phrase", id="phrase-label", classes="-label")
            yield Input(id="phrase-field", max_length=MAX_PHRASE, suggester=PhraseSuggester(), compact=False)
            yield Plain(id="advice")
            with Vertical(id="password-row"):
                yield Plain("Password", classes="-label")
                yield Input(id="password-field", password=True, placeholder="if the room has one")
            yield Plain(id="complaint")
            yield Button(_BUTTON[self._side], id="go", variant="primary", compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show the fields of the dialect."""
        self.query_one("#dialect-row").display = len(self._dialects) > 1
        self._show_dialect()

    def complain(self, error: TinCanError) -> None:
        """Say in one sentence what went wrong; the user may try again."""
        self.query_one("#complaint", Plain).put(visible(str(error)))
        self.query_one("#phrase-field", Input).focus()

    def on_radio_set_changed(self, event: RadioSet.Changed) -> None:
        """Another dialect has other fields."""
        event.stop()
        self._dialect = self._dialects[event.index]
        self._show_dialect()

    def on_input_changed(self, event: Input.Changed) -> None:
        """What is being typed is told what it is worth, and the old complaint goes."""
        event.stop()
        self.query_one("#complaint", Plain).put("")
        self._advise()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter in a field is the button."""
        event.stop()
        self.action_submit()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Forward the fields."""
        event.stop()
        self.action_submit()

    def action_submit(self) -> None:
        """Forward the fields as a request."""
        self.query_one("#complaint", Plain).put("")
        try:
            self.post_message(RequestMade(self._request()))
        except UsageError as exc:
            self.complain(exc)

    def action_back(self) -> None:
        """Leave the form."""
        self.dismiss()

    def _request(self) -> Request:
        phrase = self.query_one("#phrase-field", Input).value.strip() or None
        if self._dialect is Dialect.PYPEER:
            password = self.query_one("#password-field", Input).value or None
            if phrase is None and self._side is Side.ATTACH:
                phrase = new_room(secrets.choice)
        else:
            password = None
        if phrase is None and self._side is Side.TAP:
            raise UsageError("Type what the other one tells you.")
        return Request(self._side, phrase, password, self._dialect, self._user)

    def _show_dialect(self) -> None:
        room = self._dialect is Dialect.PYPEER
        self.query_one("#phrase-label", Plain).put("Room" if room else "Phrase")
        self.query_one("#password-row").display = room
        field = self.query_one("#phrase-field", Input)
        if self._side is Side.ATTACH:
            field.placeholder = "leave it empty, and a room is made" if room else "leave it empty, and one is made"
        else:
            field.placeholder = "like K7QX2M" if room else "like 417-guitar-banana"
        self._advise()

    def _advise(self) -> None:
        self.query_one("#advice", Plain).put(
            ""
            if self._dialect is Dialect.PYPEER
            else _advice(self.query_one("#phrase-field", Input).value, self._side)
        )


def _advice(text: str, side: Side) -> str:
    try:
        phrase = parse(text)
    except UsageError:
        return ""
    word = looks_mistyped(text)
    if word is not None:
        return f"{visible(word)} is not among the words that tin-can makes phrases of; it is taken as it is."
    return f"This phrase is {describe_strength(phrase)}." if side is Side.ATTACH and not phrase.generated else ""
