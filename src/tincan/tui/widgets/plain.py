"""Text that is shown exactly as it is."""

from __future__ import annotations

from textual.widgets import Static


class Plain(Static):
    """A Static that never reads its text as markup: nobody outside decides how it looks."""

    def __init__(self, text: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(text, markup=False, id=id, classes=classes)
