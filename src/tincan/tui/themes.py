"""The two themes, one dark and one light: grey, with the copper of a can for what has the focus."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

DARK: Final = Theme(
    name="tin-can-dark",
    primary="#e0a458",
    secondary="#7fb3d5",
    accent="#e0a458",
    foreground="#dcdcd6",
    background="#16181a",
    surface="#1d2023",
    panel="#25292d",
    success="#8fbf7f",
    warning="#e6c35c",
    error="#e57368",
    dark=True,
    variables={"border": "#e0a458", "border-blurred": "#3a4046", "footer-key-foreground": "#e0a458"},
)

LIGHT: Final = Theme(
    name="tin-can-light",
    primary="#8f5410",
    secondary="#1f618d",
    accent="#8f5410",
    foreground="#24262a",
    background="#fbfaf7",
    surface="#f3f1ec",
    panel="#e8e5dd",
    success="#2e6f3a",
    warning="#7a5c00",
    error="#b3261e",
    dark=False,
    variables={"border": "#8f5410", "border-blurred": "#c4bfb3", "footer-key-foreground": "#8f5410"},
)
