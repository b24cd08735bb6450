"""Morse code against the table of ITU-R M.1677-1, and what a tolerant ear makes of the rest."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.dialects.morse import SIGNS, decode, encode, heard_as

KNOWN = string.ascii_uppercase + string.digits + ".,?!'/-"


def test_exactly_the_signs_of_the_dialect_are_known() -> None:
    assert set(SIGNS) == set(KNOWN)
    assert len(set(SIGNS.values())) == len(SIGNS)


# Written down from the recommendation, and not from the code.
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("SOS", "... --- ..."),
        ("PARIS", ".--. .- .-. .. ..."),
        ("the quick brown fox", "- .... . / --.- ..- .. -.-. -.- / -... .-. --- .-- -. / ..-. --- -..-"),
        (
            "jumps over the lazy dog",
            ".--- ..- -- .--. ... / --- ...- . .-. / - .... . / .-.. .- --.. -.-- / -.. --- --.",
        ),
        ("0123456789", "----- .---- ..--- ...-- ....- ..... -.... --... ---.. ----."),
        (".,?!'/-", ".-.-.- --..-- ..--.. -.-.-- .----. -..-. -....-"),
        ("ab  c\n d", ".- -... / -.-. / -.."),
        ("(a) é b", ".- / -..."),
        ("straße", "... - .-. .- ."),
        ("", ""),
        ("(é)", ""),
    ],
)
def test_encode(text: str, code: str) -> None:
    assert encode(text) == code


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (".... ..  \n /  .", "HI E"),
        (".../---", "S O"),
        ("/ ... /", "S"),
        ("\u2013\u2013\u2013 \u00b7\u00b7\u00b7", "OS"),
        ("........", "........"),
        ("... ........ ---", "S........O"),
        ("hello", None),
        ("... x", None),
        ("", None),
        (" / ", None),
    ],
)
def test_decode(code: str, text: str | None) -> None:
    assert decode(code) == text


def test_round_trip_of_every_sign() -> None:
    for character in KNOWN:
        assert decode(encode(character)) == character
    assert decode(encode(KNOWN)) == KNOWN


@given(st.lists(st.text(KNOWN, min_size=1), min_size=1).map(" ".join))
def test_round_trip(text: str) -> None:
    assert decode(encode(text)) == text


@given(st.text())
def test_what_is_heard_is_heard_again_the_same(text: str) -> None:
    heard = heard_as(text)
    assert heard_as(heard) == heard
    assert encode(heard) == encode(text)


@given(st.text() | st.text(".-/ \t\n"))
def test_decode_takes_anything(code: str) -> None:
    decode(code)


def test_the_user_sees_what_will_arrive() -> None:
    assert heard_as("Grüße, Bob! (now)") == "GRE, BOB! NOW"
