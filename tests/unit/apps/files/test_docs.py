"""docs/files.md tells what the code does: states, kinds, limits."""

from __future__ import annotations

import pathlib
import re

import pytest

from tincan.apps.files import frames
from tincan.apps.files.states import RECEIVER, SENDER, Receiving, Sending, Step

DOCUMENT = (pathlib.Path(__file__).parents[4] / "docs" / "files.md").read_text(encoding="utf-8")


def picture(table: dict[Sending, dict[Step, Sending]] | dict[Receiving, dict[Step, Receiving]]) -> str:
    """A table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> NEW"]
    for old, steps in table.items():
        lines += [f"    {old.name} --> {new.name}: {step.value}" for step, new in steps.items()]
    lines += [f"    {state.name} --> [*]" for state, steps in table.items() if not steps]
    return "\n".join(lines)


@pytest.mark.parametrize("table", [SENDER, RECEIVER], ids=["sender", "receiver"])
def test_the_document_shows_the_states(table: dict[Sending, dict[Step, Sending]]) -> None:
    assert f"```mermaid\n{picture(table)}\n```" in DOCUMENT


def test_every_state_can_be_reached() -> None:
    for table, states in ((SENDER, set(Sending)), (RECEIVER, set(Receiving))):
        assert set(table) == states
        assert {new.name for steps in table.values() for new in steps.values()} == {s.name for s in states} - {"NEW"}


def test_every_kind_of_frame_has_its_row() -> None:
    rows = {int(number): name for number, name in re.findall(r"^\| (\d+) \| (\w+) \|", DOCUMENT, re.MULTILINE)}
    for frame in frames.KINDS:
        assert rows.pop(frames.KINDS[frame]) == frame.__name__.upper()
    assert rows == {frames.DATA_KIND: "DATA"}
