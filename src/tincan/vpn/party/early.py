"""Candidates that the module tells of before its answer has told which link they belong to. Pure."""

from __future__ import annotations

from typing import Final, TypeAlias

from tincan.vpn.module.methods import Candidate

MAX_LINKS: Final = 64
"""Of more, those told of first are forgotten: their answers will not come any more."""

MAX_EACH: Final = 64

Found: TypeAlias = tuple[str, tuple[Candidate, ...], bool]
"""The ufrag, candidates, and whether these are all."""


class Early:
    """What was found for links that are not known yet."""

    def __init__(self) -> None:
        self._found: dict[int, list[Found]] = {}

    def put(self, link: int, ufrag: str, candidates: tuple[Candidate, ...], complete: bool) -> None:
        """Keep candidates until `take`."""
        found = self._found.setdefault(link, [])
        if len(found) < MAX_EACH:
            found.append((ufrag, candidates, complete))
        while len(self._found) > MAX_LINKS:
            del self._found[next(iter(self._found))]

    def take(self, link: int) -> list[Found]:
        """Return what was kept for a link, once."""
        return self._found.pop(link, [])
