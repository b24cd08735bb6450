"""What a static link tells its screen, and what it asks of it. Frozen facts; the words are no secret."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class OfferReady:
    """Hand this URL to the other side, and wait for its answer."""

    url: str


@dataclass(frozen=True)
class AnswerReady:
    """Hand this URL back to the one who made the offer."""

    url: str


@dataclass(frozen=True)
class AnswerUnusable:
    """What was pasted is no answer. ``text`` is one sentence; `ReadAnswer` is called again."""

    text: str


@dataclass(frozen=True)
class WordsReady:
    """The two words that must be the same on both screens."""

    words: str


StaticNews = OfferReady | AnswerReady | AnswerUnusable | WordsReady
Show = Callable[[StaticNews], None]
"""Takes the news at once and never blocks."""

ReadAnswer = Callable[[], Awaitable[str]]
"""Returns what the user pasted. Called again after `AnswerUnusable`; it may raise to give up."""
