"""docs/forward.md shows the tables that the code has."""

from __future__ import annotations

import pathlib

from tincan.apps.forward.frames import PAYLOAD, PREFACE, Kind
from tincan.apps.forward.states import TRANSITIONS, State

DOCUMENT = pathlib.Path(__file__).parents[4] / "docs" / "forward.md"


def picture() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.NEW.name}"]
    for old, steps in TRANSITIONS.items():
        lines += [f"    {old.name} --> {new.name}: {step.value}" for step, new in steps.items()]
    lines.append(f"    {State.CLOSED.name} --> [*]")
    return "\n".join(lines)


def test_the_document_shows_the_table_of_states() -> None:
    assert f"```mermaid\n{picture()}\n```" in DOCUMENT.read_text(encoding="utf-8")


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {new for steps in TRANSITIONS.values() for new in steps.values()} == set(State) - {State.NEW}
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"\n| {state.name} | " in text for state in State)


def test_the_document_shows_the_frames() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert PREFACE.decode().strip() in text
    for kind in Kind:
        row = f"| {kind.value} | {kind.name} | "
        assert row in text
        if kind in PAYLOAD:
            assert str(PAYLOAD[kind]) in text.split(row)[1].split("|")[0]
