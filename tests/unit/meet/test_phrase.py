"""What people say to each other, and what the machines make of it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.errors import UsageError
from tincan.meet.nameplate import nameplate_code
from tincan.meet.phrase import (
    MAX_PHRASE,
    WEAK_BITS,
    Phrase,
    complete_word,
    derive,
    describe_strength,
    generate,
    guess_bits,
    looks_mistyped,
    parse,
    words,
)


def wide(text: str) -> str:
    """The same in the wide letters of an East Asian keyboard."""
    return "".join(chr(ord(letter) + 0xFEE0) for letter in text)


# -- the list ----------------------------------------------------------------------


def test_the_list() -> None:
    assert len(words()) == len(set(words())) == 6**4
    assert list(words()) == sorted(words())
    assert all(re.fullmatch("[a-z]{3,}", word) for word in words() if word != "yo-yo")
    assert "yo-yo" in words()


def test_three_letters_tell_every_word() -> None:
    assert len({word.replace("-", "")[:3] for word in words()}) == len(words())


def test_words_from_any_beginning() -> None:
    for word in words():
        letters = word.replace("-", "")
        for length in range(3, len(letters) + 1):
            assert complete_word(letters[:length]) == word
            assert complete_word(letters[:length].upper()) == word


@pytest.mark.parametrize("text", ["", "a", "aa", "aar.", "aardvarks", "xqz", "yo", "-", "aaré", "\uff47\uff55\uff49"])
def test_what_is_no_word(text: str) -> None:
    assert complete_word(text) is None


# -- generated phrases -------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "417-sauna-banana",
        "417 sauna banana",
        "417_sauna_banana",
        "  417 - sauna -- banana \n",
        "417-SAUNA-Banana",
        "417-sau-ban",
        "417-saun-bana",
        "417\tsauna\u00a0banana",
        wide("417-sauna-banana"),
        "417-\u017fauna-banana",
    ],
)
def test_ways_to_type_a_generated_phrase(text: str) -> None:
    assert "sauna" in words()
    assert complete_word("ban") == "banana"
    assert parse(text) == Phrase("417-sauna-banana", 417)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7-yo-yo-sauna", "7-yo-yo-sauna"),
        ("7-yoyo-sauna", "7-yo-yo-sauna"),
        ("7 yo yo sauna", "7-yo-yo-sauna"),
        ("7-sauna-yo-yo", "7-sauna-yo-yo"),
        ("7-sauna-YOYO", "7-sauna-yo-yo"),
        ("7-yoy-sau", "7-yo-yo-sauna"),
        ("7-yo-yo-yo-yo", "7-yo-yo-yo-yo"),
        ("7-yoyoyoyo", None),
        ("7-yo-yo", None),
        ("7-yo-sauna", None),
    ],
)
def test_yo_yo(text: str, expected: str | None) -> None:
    phrase = parse(text)
    assert phrase.generated == (expected is not None)
    assert phrase.text == (expected or text)


@pytest.mark.parametrize("nameplate", [1, 417, 99_999_999])
def test_nameplates(nameplate: int) -> None:
    assert parse(f"{nameplate}-sauna-banana").nameplate == nameplate


@pytest.mark.parametrize(
    "text",
    [
        "0-sauna-banana",
        "007-sauna-banana",
        "100000000-sauna-banana",
        "-7-sauna-banana",
        "7.5-sauna-banana",
        "7-sauna",
        "7-sauna-banana-sauna",
        "7-sa-ba",
        "7-saunax-banana",
        "7-sauna-banana!",
        "seven-sauna-banana",
        "sauna-banana-7",
        "7saunabanana",
        "7-saunabanana",
    ],
)
def test_nearly_generated_is_chosen(text: str) -> None:
    assert parse(text) == Phrase(text)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("7-sauna-banana", None),
        ("7-saunax-banana", "saunax"),
        ("7 sauna bannana", "bannana"),
        ("7-qqq-zzz", "qqq"),
        ("7-yo-sauna", "yo"),
        ("correct horse battery staple", None),
        ("", None),
    ],
)
def test_looks_mistyped(text: str, word: str | None) -> None:
    assert looks_mistyped(text) == word


def test_generate_asks_for_two_words_of_the_list() -> None:
    asked: list[Sequence[str]] = []

    def choose(choice: Sequence[str]) -> str:
        asked.append(choice)
        return choice[len(asked)]

    assert generate(417, choose) == Phrase(f"417-{words()[1]}-{words()[2]}", 417)
    assert asked == [words(), words()]


@given(st.integers(1, 99_999_999), st.sampled_from(words()), st.sampled_from(words()))
def test_generated_phrases_come_back(nameplate: int, first: str, second: str) -> None:
    pair = iter((first, second))
    phrase = generate(nameplate, lambda _: next(pair))
    assert phrase.generated
    assert parse(phrase.text) == phrase
    assert parse(phrase.text.upper().replace("-", " ")) == phrase
    assert derive(parse(phrase.text)) == derive(phrase)


def test_generated_with_real_chance() -> None:
    assert len({generate(1, secrets.choice).text for _ in range(50)}) > 45


# -- chosen phrases ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("correct horse", "correct horse"),
        ("  correct \t horse\n", "correct horse"),
        ("Correct Horse", "Correct Horse"),
        ("cafe\u0301", "café"),
        ("ﬁve", "five"),
        (wide("full") + "\u3000" + wide("width"), "full width"),
        ("a\u00a0b\u2003c", "a b c"),
        ("x", "x"),
        ("🥫🧵🥫", "🥫🧵🥫"),
        ("a" * MAX_PHRASE, "a" * MAX_PHRASE),
        ("\0", "\0"),
    ],
)
def test_chosen_phrases(text: str, expected: str) -> None:
    phrase = parse(text)
    assert phrase == Phrase(expected)
    assert not phrase.generated


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u00a0\u2003"])
def test_empty(text: str) -> None:
    with pytest.raises(UsageError, match="is empty"):
        parse(text)


@pytest.mark.parametrize("text", ["a" * (MAX_PHRASE + 1), "\ufdfa" * MAX_PHRASE, "a b" * MAX_PHRASE])
def test_too_long(text: str) -> None:
    with pytest.raises(UsageError, match="at most 1024"):
        parse(text)


@pytest.mark.parametrize("text", ["\ud800", "good\udcffbad", "7-sauna-banana\udc80"])
def test_lone_surrogates(text: str) -> None:
    with pytest.raises(UsageError, match="not valid text"):
        parse(text)


_anything = st.text(alphabet=st.characters(), max_size=40) | st.text(
    alphabet=" -_\n07yoSAUnabn\ud800\u0301\ufb01\u017f\u212a", max_size=30
)


@given(_anything)
def test_parse_raises_nothing_but_usage_errors(text: str) -> None:
    looks_mistyped(text)
    try:
        phrase = parse(text)
    except UsageError:
        return
    assert phrase.text
    assert parse(phrase.text) == phrase
    assert guess_bits(phrase) >= 0
    assert describe_strength(phrase)


# -- what is derived ---------------------------------------------------------------


def test_a_nameplate_is_all_that_the_code_of_a_generated_phrase_tells() -> None:
    one, two = derive(parse("417-sauna-banana")), derive(parse("417-banana-sauna"))
    assert one.code == two.code == nameplate_code(417) == "b70c76cf21c9"
    assert one.password == b"tin-can/1 words sauna-banana"
    assert one.password != two.password
    assert derive(parse("418-sauna-banana")).code != one.code


def test_derivation_of_a_chosen_phrase_is_frozen() -> None:
    """If this fails, old and new cans do not meet any more: the parameters are part of the protocol."""
    keys = derive(parse("correct horse battery staple"))
    assert keys.code == "441f0e557512"
    assert keys.password.hex() == "6c64194fc7d5c6cc7c215903ce53e94bc1c4387f57ea4366cd1952e6d8a26b30"


def test_what_is_typed_differently_derives_the_same() -> None:
    assert derive(parse(" Cafe\u0301  au lait ")) == derive(parse("Café au lait"))


@pytest.mark.parametrize("nameplate", [0, 1, 417, 10**8])
def test_codes_are_twelve_hex_digits(nameplate: int) -> None:
    assert re.fullmatch("[0-9a-f]{12}", nameplate_code(nameplate))


def test_secrets_do_not_show() -> None:
    chosen, generated = parse("hunter22 secret"), parse("417-sauna-banana")
    for secret in "hunter22", "sauna", "banana":
        for phrase in chosen, generated:
            assert secret not in repr(phrase)
    assert repr(derive(generated)) == f"StringKeys(code='{nameplate_code(417)}')"


# -- strength ----------------------------------------------------------------------


def test_the_strength_of_a_generated_phrase() -> None:
    phrase = parse("417-sauna-banana")
    assert describe_strength(phrase) == "one guess in 1.7 million, then the line is dead"
    assert 2 ** guess_bits(phrase) == pytest.approx(1296**2)


@pytest.mark.parametrize(
    "text",
    [
        "x",
        "password",
        "password123",
        "hunter2",
        "Tr0ub4dor&3",
        "1234567890",
        "31415926535",
        "sauna banana",
        "sauna-banana-piano",
        "2024-12-24",
        "a a a a a a a a a a a a a a a a a a",
        "hello hello Hello HELLO hello",
        "!!!!!!!!!!!!!!!!!!!!",
        "antidisestablishmentarianism",
        "7-saunax-banana",
    ],
)
def test_weak(text: str) -> None:
    assert guess_bits(parse(text)) < WEAK_BITS
    assert describe_strength(parse(text)).startswith("weak: ")


@pytest.mark.parametrize(
    "text",
    [
        "correct horse battery staple",
        "correct-horse-battery-staple",
        "pianos rarely outlive seven winters",
        "k7#Qz!p9@Lw2$Xv",
        "vier völlig unverwandte Wörter",
    ],
)
def test_fair(text: str) -> None:
    assert guess_bits(parse(text)) >= WEAK_BITS
    assert describe_strength(parse(text)).startswith("fair: ")


@given(st.text(max_size=30), st.text(max_size=30))
def test_more_is_never_weaker(text: str, more: str) -> None:
    assert guess_bits(Phrase(text + " " + more)) >= guess_bits(Phrase(text)) - 1e-9
