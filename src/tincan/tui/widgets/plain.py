"""Text that is shown exactly as it is."""

from __future__ import annotations

from textual.widgets import Static


class Plain(Static):
    """A Static that never reads its text as markup: nobody outside decides how it looks."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(text, markup=False, id=id, classes=classes)
        self._put = text

    def put(self, text: str) -> None:
        """Show another text; the same one costs nothing."""
        if text != self._put:
            self._put = text
            self.update(text)
