"""What the screens say of a meeting, in words."""

from __future__ import annotations

import pytest

from tincan.meet.mailbox import Side
from tincan.tui.seam import Dialect, Request
from tincan.tui.words import join_command


@pytest.mark.parametrize(
    ("request_", "phrase", "command"),
    [
        (Request(Side.ATTACH), "417-guitar-banana", "tin-can tap 417-guitar-banana"),
        (Request(Side.ATTACH), "four words of mine", 'tin-can tap "four words of mine"'),
        (Request(Side.ATTACH, mode="talk"), "417-guitar-banana", "tin-can talk 417-guitar-banana"),
        (Request(Side.ATTACH, dialect=Dialect.PYPEER), "ABC123", "tin-can tap --pypeer ABC123"),
        (Request(Side.ATTACH, dialect=Dialect.CLASSIC, mode="tap"), "secret", "tin-can tap --classic secret"),
    ],
)
def test_what_the_other_one_types(request_: Request, phrase: str, command: str) -> None:
    assert join_command(request_, phrase) == command
