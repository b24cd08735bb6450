"""Options are read as Go's flag package reads them; what is expected here was said by that package."""

from __future__ import annotations

import pytest

from tincan.apps.tete.flags import Flag, FlagError, listing, parse

FLAGS = (Flag("h", False, "A"), Flag("k", False, "B"), Flag("lport", 54312, "C"), Flag("myip", "", "D"))
NOTHING = {"h": False, "k": False, "lport": 54312, "myip": ""}


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("", {}),
        ("-k", {"k": True}),
        ("--k", {"k": True}),
        ("-k=false", {"k": False}),
        ("-k=T -k=0", {"k": False}),
        ("-k false -h", {"k": True}),
        ("-h", {"h": True}),
        ("-lport 5", {"lport": 5}),
        ("-lport=5", {"lport": 5}),
        ("--lport 5", {"lport": 5}),
        ("--lport=5", {"lport": 5}),
        ("-lport 5 -lport 6", {"lport": 6}),
        ("-lport=0x1F", {"lport": 31}),
        ("-lport=010", {"lport": 8}),
        ("-lport=0o17", {"lport": 15}),
        ("-lport=0b11", {"lport": 3}),
        ("-lport=0_7", {"lport": 7}),
        ("-lport=0x_1", {"lport": 1}),
        ("-lport=1_0", {"lport": 10}),
        ("-lport=00", {"lport": 0}),
        ("-lport=+5", {"lport": 5}),
        ("-lport -5", {"lport": -5}),
        ("-lport=-9223372036854775808", {"lport": -(2**63)}),
        ("-myip a=b", {"myip": "a=b"}),
        ("-myip=a=b", {"myip": "a=b"}),
        ("-myip=", {}),
        ("-myip -k", {"myip": "-k"}),
        ("-k -- -h", {"k": True}),
        ("-k word -h", {"k": True}),
        ("- -k", {}),
    ],
)
def test_what_is_taken(line: str, values: dict[str, object]) -> None:
    assert parse(FLAGS, line.split()) == NOTHING | values


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("-x", "flag provided but not defined: -x"),
        ("--x=3", "flag provided but not defined: -x"),
        ("---k", "bad flag syntax: ---k"),
        ("-=3", "bad flag syntax: -=3"),
        ("--=3", "bad flag syntax: --=3"),
        ("-k -myip", "flag needs an argument: -myip"),
        ("-k=maybe", 'invalid boolean value "maybe" for -k: parse error'),
        ("-k=", 'invalid boolean value "" for -k: parse error'),
        ("-lport abc", 'invalid value "abc" for flag -lport: parse error'),
        ("-lport=", 'invalid value "" for flag -lport: parse error'),
        ("-lport 08", 'invalid value "08" for flag -lport: parse error'),
        ("-lport _7", 'invalid value "_7" for flag -lport: parse error'),
        ("-lport 1__0", 'invalid value "1__0" for flag -lport: parse error'),
        ("-lport 0_x1", 'invalid value "0_x1" for flag -lport: parse error'),
        ("-lport \u0665", 'invalid value "\u0665" for flag -lport: parse error'),
        ("-lport=9223372036854775808", 'invalid value "9223372036854775808" for flag -lport: value out of range'),
        ("-lport=" + "9" * 5000, f'invalid value "{"9" * 5000}" for flag -lport: value out of range'),
    ],
)
def test_what_is_refused(line: str, says: str) -> None:
    with pytest.raises(FlagError) as caught:
        parse(FLAGS, line.split())
    assert str(caught.value) == says
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("word", ["-help", "--help", "--help=1"])
def test_help_needs_no_option_of_that_name(word: str) -> None:
    assert parse(FLAGS, ["-k", word]) is None


def test_an_option_named_h_is_an_option() -> None:
    assert parse(FLAGS[1:], ["-h"]) is None
    assert parse(FLAGS, ["-h"]) == NOTHING | {"h": True}


def test_the_list_has_the_form_of_gos() -> None:
    assert listing("prog", FLAGS[::-1]).splitlines() == [
        "Usage of prog:",
        "  -h\tA",
        "  -k\tB",
        "  -lport int",
        "    \tC (default 54312)",
        "  -myip string",
        "    \tD",
    ]
