"""Completes the words of a generated phrase while it is typed."""

from __future__ import annotations

import re

from textual.suggester import Suggester

from tincan.meet.phrase import MIN_PREFIX, complete_word

_BEGUN = re.compile(rf"([1-9][0-9]{{0,7}}[\s_-]+(?:[A-Za-z]+[\s_-]+)?)([A-Za-z]{{{MIN_PREFIX},}})")


class PhraseSuggester(Suggester):
    """Three letters tell a word of the list; the right arrow takes the rest of it."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        """See Textual."""
        match = _BEGUN.fullmatch(value)
        word = complete_word(match[2]) if match else None
        return value + word[len(match[2]) :] if match and word and word.startswith(match[2].lower()) else None
