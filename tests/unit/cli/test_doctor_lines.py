"""What ``tin-can doctor`` prints of a finding."""

from __future__ import annotations

import pytest

from tincan.apps.doctor import Finding
from tincan.cli.doctor import INDENT, line

LONG = Finding("LAN discovery", True, "multicast works: cans on this LAN find each other without a server")


def test_one_line_where_nobody_looks() -> None:
    assert line(LONG, None) == f"  ok  LAN discovery  {LONG.text}"
    assert line(Finding("tap", None, "x\x1b"), None).startswith("  --  tap            x")
    assert "\x1b" not in line(Finding("tap", False, "x\x1b"), 80)


@pytest.mark.parametrize("columns", [80, 60, 2 * INDENT])
def test_a_terminals_lines_are_broken_between_words(columns: int) -> None:
    first, *others = line(LONG, columns).splitlines()
    assert others
    assert all(len(one) < columns for one in (first, *others))
    assert all(one.startswith(" " * INDENT) for one in others)
    assert " ".join([first[INDENT:], *(one.strip() for one in others)]) == LONG.text


def test_a_terminal_too_narrow_for_that_breaks_them_itself() -> None:
    assert line(LONG, 20) == line(LONG, None)
