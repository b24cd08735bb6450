"""``tin-can net social``: what it says to what cannot be meant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from unit.cli.programs import run, sentence

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="virtual networks need Linux")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--range", "8.8.8.0/24"], "not for private use"),
        (["--range", "here"], "no range"),
        (["--pypeer"], "not for networks"),
    ],
)
def test_nonsense_is_told_at_once(tmp_path: Path, arguments: list[str], words: str) -> None:
    done = run(tmp_path, "net", "social", "up", *arguments, XDG_DATA_HOME=str(tmp_path / "data"))
    assert words in sentence(done, 2)
    assert not (tmp_path / "data").exists()


def test_the_help_says_what_it_needs(tmp_path: Path) -> None:
    done = run(tmp_path, "net", "social", "up", "--help")
    assert done.returncode == 0
    assert "CAP_NET_ADMIN" in done.stdout
    assert "--range" in done.stdout
