"""docs/threats.md names the test of each defence: they exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_test_that_is_named_exists() -> None:
    text = (ROOT / "docs/threats.md").read_text()
    named = set(re.findall(r"`((?:security|unit|lab)/[\w/]+\.py)::(\w+)`", text))
    assert len(named) > 30
    for file, test in named:
        source = (ROOT / "tests" / file).read_text()
        assert re.search(rf"^(?:async )?def {test}\(", source, re.MULTILINE), f"{file}::{test}"
