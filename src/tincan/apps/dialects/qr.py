"""QR codes (ISO/IEC 18004) for a terminal, two modules to a character cell."""

from __future__ import annotations

from typing import Final

QUIET: Final = 2
"""Light modules around it; the standard wants 4, telephones are content with 2, and terminals are narrow."""

_CELLS: Final = {(1, 1): " ", (1, 0): "▄", (0, 1): "▀", (0, 0): "█"}
"""Upper and lower module, 1 for dark. Light modules are drawn, since most terminals are dark."""


def qr(text: str, *, columns: int = 80, lines: int | None = None) -> str | None:
    """Return a QR code of a text as lines of half blocks; None when it does not fit."""
    import segno  # 20 ms that only those who show one need

    try:
        code = segno.make_qr(text, error="l", boost_error=False)
    except segno.DataOverflowError:
        return None
    rows = [bytes(row) for row in code.matrix_iter(border=QUIET)]
    if len(rows[0]) > columns or (lines is not None and (len(rows) + 1) // 2 > lines):
        return None
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return "\n".join("".join(_CELLS[cell] for cell in zip(upper, lower, strict=True)) for upper, lower in pairs)
