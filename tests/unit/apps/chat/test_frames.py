"""The frames on the wire are exactly those that are documented."""

from __future__ import annotations

import ast
import pathlib

import pytest

from tincan.apps import text
from tincan.apps.chat import events, frames, protocol, states
from tincan.errors import ProtocolError

# Recorded bytes: whoever changes these changes the protocol of every can out there.
RECORDED: list[tuple[frames.Frame, str]] = [
    (
        frames.Hello(1, 1, "Ada", "tin-can/1", ["call"]),
        "86a46b696e64a568656c6c6fa776657273696f6e01a76d696e696d756d01a46e616d65a3416461"
        "a56167656e74a974696e2d63616e2f31ac6361706162696c697469657391a463616c6c",
    ),
    (frames.Message(1, "hi"), "83a46b696e64a76d657373616765a2696401a474657874a26869"),
    (
        frames.Message(2, "waves", action=True),
        "84a46b696e64a76d657373616765a2696402a474657874a57761766573a6616374696f6ec3",
    ),
    (frames.Ack(300), "82a46b696e64a361636ba26964cd012c"),
    (frames.Typing(True), "82a46b696e64a6747970696e67a6616374697665c3"),
    (frames.Bye(), "81a46b696e64a3627965"),
    (frames.Bye("why"), "82a46b696e64a3627965a56572726f72a3776879"),
]


@pytest.mark.parametrize(("frame", "recorded"), RECORDED)
def test_the_wire_format_stays(frame: frames.Frame, recorded: str) -> None:
    assert frames.encode(frame).hex() == recorded
    assert frames.decode(bytes.fromhex(recorded)) == frame


@pytest.mark.parametrize(("frame", "recorded"), RECORDED)
def test_every_truncation_is_refused(frame: frames.Frame, recorded: str) -> None:
    whole = bytes.fromhex(recorded)
    for length in range(len(whole)):
        with pytest.raises(ProtocolError):
            frames.decode(whole[:length])


@pytest.mark.parametrize("module", [protocol, events, frames, states, text])
def test_the_core_imports_nothing_that_does_anything(module: object) -> None:
    tree = ast.parse(pathlib.Path(str(getattr(module, "__file__", ""))).read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    allowed = {"__future__", "collections", "dataclasses", "enum", "logging", "msgspec", "tincan", "typing"}
    assert names <= allowed | {"unicodedata"}
