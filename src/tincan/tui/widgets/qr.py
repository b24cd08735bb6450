"""A QR code in half blocks."""

from __future__ import annotations

from typing import Final

import segno
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

QUIET: Final = 2
"""Modules of light around the code. Four are the standard; readers of today are content with two."""

MAX_MODULES: Final = 57
"""The largest code that is shown; a longer text would not fit on any screen."""

# The light modules are drawn and the dark ones are left, so that the code is
# right on a dark terminal even where no colours are allowed.
_STYLE: Final = Style(color="#ffffff", bgcolor="#000000")
_BLOCKS: Final = {(True, True): "\u2588", (True, False): "\u2580", (False, True): "\u2584", (False, False): " "}


def qr_lines(text: str) -> list[str] | None:
    """Return the lines of the code, or None when the text is too long for one."""
    try:
        code = segno.make_qr(text, error="l", boost_error=False)
    except segno.DataOverflowError:
        return None
    dark = [[bool(module) for module in row] for row in code.matrix_iter(border=QUIET)]
    if len(dark) > MAX_MODULES + 2 * QUIET:
        return None
    if len(dark) % 2:
        dark.append([True] * len(dark[0]))
    return [
        "".join(_BLOCKS[not upper, not lower] for upper, lower in zip(*pair, strict=True))
        for pair in zip(dark[::2], dark[1::2], strict=True)
    ]


class QrCode(Widget):
    """The code of one text; empty when it is too long."""

    def __init__(self, text: str, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines = qr_lines(text) or []

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """See Textual."""
        return len(self._lines[0]) if self._lines else 0

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """See Textual."""
        return len(self._lines)

    def render_line(self, y: int) -> Strip:
        """See Textual."""
        if y >= len(self._lines):
            return Strip.blank(self.size.width, self.rich_style)
        outside = y == len(self._lines) - 1  # the lower half of the last line does not belong to the code
        style = Style(color=_STYLE.color, bgcolor=self.rich_style.bgcolor) if outside else _STYLE
        return Strip([Segment(self._lines[y], style)]).extend_cell_length(self.size.width, self.rich_style)
