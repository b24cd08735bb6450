"""The keys of the screen below, and the commands of a conversation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen, Screen

from tincan.tui.widgets.plain import Plain


class KeysScreen(ModalScreen[None]):
    """Lists (key, what it does), in sections."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter,f1,q", "close", "Close", id="keys.close", tooltip="Go back"),
    ]

    def __init__(self, sections: Iterable[tuple[str, list[tuple[str, str]]]]) -> None:
        super().__init__()
        self._sections = [section for section in sections if section[1]]

    def compose(self) -> ComposeResult:
        """See Textual."""
        with VerticalScroll(id="keys") as box:
            box.border_title = "Help"
            box.border_subtitle = "Esc closes"
            for title, rows in self._sections:
                yield Plain(title, classes="-section")
                for key, text in rows:
                    with Horizontal(classes="-row"):
                        yield Plain(key, classes="-key")
                        yield Plain(text, classes="-text")

    def action_close(self) -> None:
        """Go back."""
        self.dismiss()


def keys_of(screen: Screen[Any], app: App[Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """Return the keys that work on a screen: its own first, then those that work everywhere."""
    own: dict[str, list[str]] = {}
    everywhere: dict[str, list[str]] = {}
    for node, binding, _, tooltip in screen.active_bindings.values():
        if binding.id is None:
            continue  # a widget's own editing keys: arrows, Backspace
        text = tooltip or binding.description
        rows = everywhere if node is app else own
        rows.setdefault(text, []).append(app.get_key_display(binding))
    return [
        ("On this screen", [(", ".join(dict.fromkeys(keys)), text) for text, keys in own.items()]),
        ("Everywhere", [(", ".join(dict.fromkeys(keys)), text) for text, keys in everywhere.items()]),
    ]
