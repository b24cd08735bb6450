"""docs/linkd.md names every method, parameter, result, event and error; and nothing that is not there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from tincan.link.webrtc import EXPORTER_LABEL
from tincan.vpn.module import interface
from tincan.vpn.module.api import MAX_LINE
from tincan.vpn.module.events import NAMES, Event
from tincan.vpn.module.listeners import MAX_WAITING
from tincan.vpn.module.methods import METHODS, Candidate, Description, LinkState, Statistics
from tincan.vpn.module.server import MAX_CONNECTIONS, STALL_LIMIT
from tincan.vpn.module.states import State

PAGE = (Path(__file__).parents[4] / "docs" / "linkd.md").read_text(encoding="utf-8")


def rows(heading: str) -> dict[str, str]:
    """The rows of the table under a heading, by the first word in code."""
    part = PAGE.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return {match[1]: match[0] for match in re.finditer(r"^\| `(\w+)` .*$", part, re.MULTILINE)}


def fields(kind: type[msgspec.Struct]) -> tuple[str, ...]:
    return kind.__struct_fields__


def test_methods() -> None:
    table = rows("Methods")
    assert set(table) == set(METHODS)
    for name, (taken, given) in METHODS.items():
        for field in (*fields(taken), *fields(given)):
            assert f"`{field}`" in table[name], f"{name}: {field}"


def test_events() -> None:
    table = rows("Events")
    assert set(table) == NAMES
    for kind in Event.__args__:
        name = str(kind.__struct_config__.tag)
        for field in fields(kind):
            assert f"`{field}`" in table[name], f"{name}: {field}"


def test_words_and_numbers() -> None:
    words = {*fields(LinkState), *fields(Statistics), *fields(Description), *fields(Candidate), *State}
    assert [word for word in words if f"`{word}`" not in PAGE] == []
    codes = {v for k, v in vars(interface).items() if k.isupper() and isinstance(v, int)}
    assert codes == {int(code) for code in re.findall(r"^\| (-\d+) ", PAGE, re.MULTILINE)}
    assert f"{MAX_LINE // 1024} KiB" in PAGE
    assert f"({MAX_CONNECTIONS})" in PAGE
    assert f"after {STALL_LIMIT:g} s, or {MAX_WAITING:,} events" in PAGE
    assert EXPORTER_LABEL.decode() in PAGE


def test_the_example_is_as_short_as_is_said() -> None:
    source = (Path(__file__).parents[4] / "examples" / "controller.py").read_text(encoding="utf-8")
    code = source.partition('\n"""\n')[2]
    assert len([line for line in code.splitlines() if line.strip()]) <= 40
