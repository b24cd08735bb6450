"""What `tin-can` alone opens: what can be done."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer, OptionList
from textual.widgets.option_list import Option

from tincan.tui.widgets.plain import Plain

_CANS = """\
╭───╮                   ╭───╮
│   ├───────────────────┤   │
╰───╯                   ╰───╯"""

_CHOICES = (
    ("host", "h", "Host", "make a string and wait for the other can"),
    ("join", "j", "Join", "you have the phrase of the other can"),
    ("doctor", "d", "Doctor", "what this machine and network can do"),
    ("quit", "q", "Quit", ""),
)


class StartScreen(Screen[None]):
    """Host, Join, Doctor, quit."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "choose('host')", "Host", show=False, id="start.host", tooltip="Make a string and wait"),
        Binding("j", "choose('join')", "Join", show=False, id="start.join", tooltip="Join the other can's string"),
        Binding("d", "choose('doctor')", "Doctor", show=False, id="start.doctor", tooltip="Examine this machine"),
        Binding("q", "choose('quit')", "Quit", show=False, id="start.quit", tooltip="Leave tin-can"),
    ]

    class Chosen(Message):
        """The user wants this: host, join, doctor or quit."""

        def __init__(self, choice: str) -> None:
            super().__init__()
            self.choice = choice

    def compose(self) -> ComposeResult:
        """See Textual."""
        with Vertical(id="start"):
            yield Plain(_CANS, id="cans")
            yield Plain("tin-can", id="name")
            yield Plain("Two cans, one string.", id="motto")
            yield OptionList(*(_option(*choice) for choice in _CHOICES), id="choices")
        yield Footer(show_command_palette=False)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Forward the choice."""
        event.stop()
        self.action_choose(event.option_id or "")

    def action_choose(self, choice: str) -> None:
        """Forward the choice."""
        self.post_message(self.Chosen(choice))


def _option(choice: str, key: str, name: str, text: str) -> Option:
    return Option(Content.assemble(f" {key}  ", (f"{name:<8}", "bold"), text), id=choice)
