"""Whatever people call themselves, it becomes one harmless word."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.vpn.names.safe import MAX_LABEL, is_label, label


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bob", "bob"),
        ("Bob", "bob"),
        ("Zoë Müller", "zoe-muller"),
        ("Straße", "strasse"),
        ("Łukasz", "lukasz"),
        ("bob's laptop (2)", "bob-s-laptop-2"),
        ("a.b", "a-b"),
        ("--x--", "x"),
        ("", "friend"),
        ("   ", "friend"),
        ("李", "friend"),
        ("\x1b[31m", "31m"),
        ("127", "friend-127"),
        ("localhost", "friend-localhost"),
        ("can", "friend-can"),
        ("bob\n127.0.0.1 bank.example", "bob-127-0-0-1-bank-example"),
        ("x" * 500, "x" * 63),
        ("ﬁ①", "fi1"),
        ("\U0001d4d0lice", "alice"),
        ("9" * 70, "friend-" + "9" * 56),
        ("-" * 300 + "x", "friend"),
    ],
)
def test_names(text: str, name: str) -> None:
    assert label(text) == name


def test_a_second_one_has_a_number() -> None:
    assert label("bob", taken={"bob"}) == "bob-2"
    assert label("Bob", taken={"bob", "bob-2"}) == "bob-3"
    assert len(label("x" * 80, taken={"x" * 63})) <= MAX_LABEL


@settings(deadline=None, max_examples=1000)
@given(
    st.text(max_size=300) | st.text("a9-. \u0130\u00df\U0001d4d0", max_size=80),
    st.sets(st.sampled_from(["a", "friend", "friend-2"])),
)
def test_it_is_always_a_label(text: str, taken: set[str]) -> None:
    name = label(text, taken=taken)
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)
    assert len(name) <= MAX_LABEL
    assert name not in taken
    assert is_label(name)
