from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.link.description import MAX_CANDIDATES, Candidate, Description
from tincan.vpn.ipop.candidates import (
    NO_FINGERPRINT,
    distinct,
    is_end,
    is_fingerprint,
    read_candidates,
    read_fingerprint,
    write_candidates,
    write_end,
    write_fingerprint,
)

DIGEST = bytes(range(1, 33))
PWD = "p" * 22
CANDIDATES = (
    Candidate("host", "192.0.2.7", 40000, "1", 2130706431),
    Candidate("srflx", "198.51.100.1", 40001, "a+/", 1694498815),
    Candidate("relay", "203.0.113.9", 40002, "3", 16777215),
    Candidate("host", "2001:db8::1", 40003, "4", 2130706175),
    Candidate("host", "::1", 40004, "5", 1),
)
END = Description("ufrag", PWD, DIGEST, CANDIDATES, True)


def test_as_it_is_written() -> None:
    assert write_candidates(END).split(" ") == [
        f"0:1:udp:192.0.2.7:40000:2130706431:ufrag:{PWD}:local:net:0:1",
        f"1:1:udp:198.51.100.1:40001:1694498815:ufrag:{PWD}:stun:net:0:a+/",
        f"2:1:udp:203.0.113.9:40002:16777215:ufrag:{PWD}:relay:net:0:3",
        f"3:1:udp:2001-db8--1.ipv6-literal.net:40003:2130706175:ufrag:{PWD}:local:net:0:4",
        f"4:1:udp:--1.ipv6-literal.net:40004:1:ufrag:{PWD}:local:net:0:5",
    ]
    assert write_end(END) == f"{write_fingerprint(DIGEST)} {write_candidates(END)}"


def test_round_trip() -> None:
    assert read_candidates(write_candidates(END), DIGEST) == END
    assert read_fingerprint(write_end(END)) == DIGEST
    assert is_end(write_end(END))
    assert is_end(write_fingerprint(DIGEST))  # no candidates at all


def test_fingerprints() -> None:
    assert len(NO_FINGERPRINT) == len(write_fingerprint(DIGEST)) == 95
    assert read_fingerprint(write_fingerprint(DIGEST).lower()) == DIGEST
    sha1 = ":".join(["AB"] * 20)
    for wrong in (
        "",
        NO_FINGERPRINT,
        sha1,
        write_fingerprint(DIGEST)[:-1],
        write_fingerprint(DIGEST) + ":00",
        "x" * 95,
    ):
        assert read_fingerprint(wrong) is None
    assert is_fingerprint(NO_FINGERPRINT)
    assert not is_fingerprint(sha1)


GOOD = f"0:1:udp:192.0.2.7:40000:1:ufrag:{PWD}:local:net:0:1"


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        ":" * 11,
        GOOD.replace("0:1:udp", "0:2:udp"),
        GOOD.replace("udp", "tcp"),
        GOOD.replace("192.0.2.7", "example.org"),
        GOOD.replace("192.0.2.7", "2001-db8--1"),
        GOOD.replace("192.0.2.7", "2001-db8--1--2.ipv6-literal.net"),
        GOOD.replace("40000", "0"),
        GOOD.replace("40000", "65536"),
        GOOD.replace("40000", "-1"),
        GOOD.replace("40000", "4 0"),
        GOOD.replace("40000", "٤٠٠٠"),
        GOOD.replace(":1:ufrag", ":0:ufrag"),
        GOOD.replace(":1:ufrag", ":99999999999999999999:ufrag"),
        GOOD.replace("ufrag", "abc"),
        GOOD.replace("ufrag", "a" * 257),
        GOOD.replace("ufrag", "ab\u00e4cd"),
        GOOD.replace(PWD, "p" * 21),
        GOOD.replace("local", "prflx"),
        GOOD[:-1],
        GOOD + ":more",
    ],
)
def test_wrong_candidates_are_left_out(wrong: str) -> None:
    assert read_candidates(wrong, DIGEST) is None
    both = read_candidates(f"{wrong} {GOOD}", DIGEST)
    assert both is not None
    assert [c.address for c in both.candidates] == ["192.0.2.7"]


def test_the_form_of_an_end() -> None:
    for word in (GOOD, GOOD.replace("udp", "tcp"), GOOD.replace("local", "prflx")):
        assert is_end(f"{NO_FINGERPRINT} {word} {GOOD}")
    for word in (GOOD[1:-2], GOOD + ":x", GOOD.replace("net", "n\u00e4t"), GOOD.replace("net", "<>")):
        assert not is_end(f"{NO_FINGERPRINT} {GOOD} {word}")


def test_an_end_has_one_pair_of_credentials() -> None:
    other = GOOD.replace("ufrag", "other").replace("192.0.2.7", "192.0.2.8")
    read = read_candidates(f"{GOOD} {other}", DIGEST)
    assert read is not None
    assert (read.ufrag, len(read.candidates)) == ("ufrag", 1)


def test_there_is_a_limit() -> None:
    read = read_candidates(" ".join([GOOD] * 500), DIGEST)
    assert read is not None
    assert len(read.candidates) == MAX_CANDIDATES
    assert len(distinct(read.candidates)) == 1


@given(st.text(max_size=300))
def test_anything_can_be_read(text: str) -> None:
    read_candidates(text, DIGEST)
    read_fingerprint(text)
    is_end(text)


@given(st.lists(st.sampled_from([*GOOD.split(":"), "", "1", "x", "::"]), min_size=8, max_size=14).map(":".join))
def test_near_misses_can_be_read(word: str) -> None:
    read = read_candidates(word, DIGEST)
    assert read is None or len(read.candidates) == 1
