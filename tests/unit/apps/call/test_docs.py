"""docs/call.md shows the table of states and the kinds of frames that there are."""

from __future__ import annotations

import pathlib

import msgspec

from tincan.apps.call import frames
from tincan.apps.call.states import TRANSITIONS, State

DOCUMENT = (pathlib.Path(__file__).parents[4] / "docs" / "call.md").read_text(encoding="utf-8")


def test_the_picture_is_drawn_from_the_table() -> None:
    lines = ["stateDiagram-v2", f"    [*] --> {State.IDLE.name}"]
    for old, steps in TRANSITIONS.items():
        lines += [f"    {old.name} --> {new.name}: {step.value}" for step, new in steps.items()]
    assert "```mermaid\n{}\n```".format("\n".join(lines)) in DOCUMENT


def test_every_frame_and_its_fields_are_told() -> None:
    for kind in (frames.Invite, frames.Accept, frames.Decline, frames.HangUp, frames.Condition):
        [row] = [line for line in DOCUMENT.splitlines() if line.startswith(f"| `{kind.__struct_config__.tag}` |")]
        missing = [field.name for field in msgspec.structs.fields(kind) if f"`{field.name}`" not in row]
        assert missing == []
