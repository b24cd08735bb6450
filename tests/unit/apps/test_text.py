"""Text of a peer: what a terminal would obey or hide is shown, the rest is untouched."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tincan.apps.text import MAX_MARKS, MAX_NAME, visible, visible_name

patient = settings(deadline=None)  # a busy machine is not a bug

FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
PILOT = "\U0001f468\U0001f3fd\u200d\u2708\ufe0f"
RAINBOW = "\U0001f3f3\ufe0f\u200d\U0001f308"
HEART = "\u2764\ufe0f"
KEYCAP = "1\ufe0f\u20e3"
IDEOGRAPH_VARIANT = "\u845b\U000e0100"

UNCHANGED = [
    "",
    "hello, world",
    r"C:\new\table and \x1b and \\",
    "Grüße, žluťoučký kůň, Ελλάδα, привет",
    "שלום ערבית مرحبا हिन्दी ไทย 日本語 한국어",
    "no\u00a0break and\u3000wide",
    "e\u0301 \u1ea5 q\u0307\u0323",
    FAMILY,
    PILOT,
    RAINBOW,
    HEART,
    KEYCAP,
    IDEOGRAPH_VARIANT,
    "\U0001f1f3\U0001f1f1",
    "☃ ∀x∈∅ → €5 ½",
]

ESCAPED = [
    ("a\tb\nc\rd", r"a\tb\nc\rd"),
    ("\x00\x07\x08\x7f", r"\x00\x07\x08\x7f"),
    ("\x1b[2J\x1b]52;c;AAAA\x07", r"\x1b[2J\x1b]52;c;AAAA\x07"),
    ("\x85\x9b31m\xad", r"\x85\x9b31m\xad"),
    ("\u061c\u200e\u200f", r"\u061c\u200e\u200f"),
    ("\u202a\u202b\u202c\u202d\u202e", r"\u202a\u202b\u202c\u202d\u202e"),
    ("\u2066\u2067\u2068\u2069", r"\u2066\u2067\u2068\u2069"),
    ("a\u200bb\u200cc\u200dd\ufeff\u2060", r"a\u200bb\u200cc\u200dd\ufeff\u2060"),
    ("+\u200d+", r"+\u200d+"),
    ("\U0001f468\u200d", "\U0001f468" + r"\u200d"),
    ("\u200d\U0001f468", r"\u200d" + "\U0001f468"),
    ("\U0001f468\u200d\u200d\U0001f469", "\U0001f468" + r"\u200d\u200d" + "\U0001f469"),
    ("\u2028\u2029", r"\u2028\u2029"),
    ("\ud800x\udfff", r"\ud800x\udfff"),
    ("\ue000\U000f0000", r"\ue000\U000f0000"),
    ("\ufffe\uffff\U0001ffff\u0378", r"\ufffe\uffff\U0001ffff\u0378"),
    ("\U000e0041\U000e007f", r"\U000e0041\U000e007f"),
    ("\u3164\u115f\u2800\u034f", r"\u3164\u115f\u2800\u034f"),
    ("a\ufe0f", r"a\ufe0f"),
    (HEART + "\ufe0f", HEART + r"\ufe0f"),
    ("a\U000e0101\ufe00", r"a\U000e0101\ufe00"),
    ("\u0301a", r"\u0301a"),
    ("\x1b\u0301", r"\x1b\u0301"),
    ("a" + "\u0301" * (MAX_MARKS + 2), "a" + "\u0301" * MAX_MARKS + r"\u0301" * 2),
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_what_shows_itself_stays(text: str) -> None:
    assert visible(text) == text


@pytest.mark.parametrize(("text", "shown"), ESCAPED)
def test_what_does_not_show_itself_is_escaped(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("one\ntwo\n", "one\ntwo\n"),
        ("one\r\ntwo", "one\ntwo"),
        ("one\rtwo\ttab", r"one\rtwo\ttab"),
        ("a\n\u0301b", "a\n" + r"\u0301b"),
        ("\U0001f468\n\u200d\U0001f469", "\U0001f468\n" + r"\u200d" + "\U0001f469"),
    ],
)
def test_screens_keep_newlines(text: str, shown: str) -> None:
    assert visible(text, multiline=True) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Ada", "Ada"),
        ("  Ada \t\r\n Lovelace\u2003", "Ada Lovelace"),
        ("", "peer"),
        (" \u00a0\u2028\n", "peer"),
        ("\u202eada", r"\u202eada"),
        ("x" * 200, "x" * MAX_NAME),
        ("x" * (MAX_NAME - 1) + " y", "x" * (MAX_NAME - 1)),
        ("x" * (MAX_NAME - 2) + "\U0001f468\u200d\U0001f469", "x" * (MAX_NAME - 2) + "\U0001f468\\"),
    ],
)
def test_names(name: str, shown: str) -> None:
    assert visible_name(name) == shown


def test_the_fallback_of_a_name_can_be_chosen() -> None:
    assert visible_name("", fallback="nobody") == "nobody"


# Text in which the interesting characters are frequent, and meet each other.
texts = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "a 1\\\t\n\r\x1b\x9b\u0301\u200d\u202e\u2069\ufe0f\ufe00\u2764\u4e00\U0001f468\U0001f3fd\U000e0100\ud800+"
        ),
    )
)


@patient
@given(texts, st.booleans())
@example("\U0001f468\u200d\ue000", False)
def test_nothing_hidden_comes_out(text: str, multiline: bool) -> None:
    shown = visible(text, multiline=multiline)
    for place, character in enumerate(shown):
        if character == "\n":
            assert multiline
        elif character == "\u200d":
            assert unicodedata.category(shown[place + 1])[0] == "S"
            assert shown[place - 1] > "\x7f"
        else:
            assert unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


@patient
@given(texts)
def test_marks_never_flood(text: str) -> None:
    run = 0
    for character in visible(text):
        run = run + 1 if unicodedata.category(character)[0] == "M" else 0
        assert run <= MAX_MARKS + 1  # a variation selector is a mark by category


@patient
@given(
    st.text(
        st.characters(
            categories=["L", "N", "P", "S", "Zs"],
            exclude_characters="\u2800\u3164\uffa0\u115f\u1160\U0001d159",
        )
    )
)
def test_printable_text_is_unchanged(text: str) -> None:
    assert visible(text) == text
    assert visible(text, multiline=True) == text


@patient
@given(texts, st.booleans())
def test_making_visible_twice_changes_nothing(text: str, multiline: bool) -> None:
    once = visible(text, multiline=multiline)
    assert visible(once, multiline=multiline) == once


@patient
@given(texts)
def test_names_are_short_visible_and_stable(text: str) -> None:
    name = visible_name(text)
    assert 1 <= len(name) <= MAX_NAME
    assert name == visible(name) == name.strip()
    assert visible_name(name) == name


@patient
@given(texts)
def test_the_length_stays_bounded(text: str) -> None:
    assert len(visible(text)) <= 10 * len(text)
