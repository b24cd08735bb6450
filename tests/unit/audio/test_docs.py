"""The picture of the playout's states in docs/voice.md is the one of the table."""

from __future__ import annotations

import pathlib

from tincan.audio.states import TRANSITIONS, State

DOCUMENT = pathlib.Path(__file__).parents[3] / "docs" / "voice.md"


def picture() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", f"    [*] --> {State.IDLE.name}"]
    for old, steps in TRANSITIONS.items():
        lines += [f"    {old.name} --> {new.name}: {step.value}" for step, new in steps.items()]
    return "\n".join(lines)


def test_the_document_shows_the_table() -> None:
    assert f"```mermaid\n{picture()}\n```" in DOCUMENT.read_text(encoding="utf-8")


def test_every_state_has_its_row_and_can_be_reached() -> None:
    assert set(TRANSITIONS) == set(State)
    assert {new for steps in TRANSITIONS.values() for new in steps.values()} == set(State) - {State.IDLE}
