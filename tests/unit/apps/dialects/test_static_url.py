"""Our own static URLs: short, checked, and read by one door; and how long texts are pasted and shown."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.dialects import classic
from tincan.apps.dialects.pasted import Kind, unpack
from tincan.apps.dialects.qr import qr
from tincan.apps.dialects.reading import TERMINAL_LINE, Paste, from_file, is_whole, read_file
from tincan.apps.dialects.static_url import StaticDescription, read_pasted, url
from tincan.errors import ProtocolError, UsageError
from tincan.link.description import MAX_CANDIDATES, Candidate, Description
from unit.apps.dialects.talks import PATIENCE
from unit.apps.dialects.test_classic import SDP, wrapped


def candidates(count: int) -> tuple[Candidate, ...]:
    addresses = ["2001:db8:113:4:5:6:7:{}", "198.51.100.{}"]
    kinds = ["host", "srflx", "relay"]
    return tuple(
        Candidate(kinds[n % 3], addresses[n % 2].format(n + 1), 50000 + n, str(n + 1), 2**31 - 1 - n)
        for n in range(count)
    )


def offer(
    count: int = 6, *, sealed: bool = False, kind: Kind = Kind.OFFER, answers: bytes = b""
) -> StaticDescription:
    description = Description("aB3d", "0123456789abcdefghijkl", bytes(range(32)), candidates(count), True)
    return StaticDescription(kind, description, sealed, answers)


def read(text: str, kind: Kind = Kind.OFFER) -> StaticDescription:
    return read_pasted(unpack(text), kind)


@pytest.mark.parametrize("count", [0, 1, 6, MAX_CANDIDATES])
def test_round_trip(count: int) -> None:
    for sent in (offer(count), offer(count, sealed=True), offer(count, kind=Kind.ANSWER, answers=b"abcd")):
        assert read(url(sent), sent.kind) == sent
        assert read(wrapped(url(sent)), sent.kind) == sent
        assert read(f"<{url(sent)}>", sent.kind) == sent


def test_they_are_short() -> None:
    """Six candidates (two hosts, reflexive, relayed, of both families) are what a usual machine has."""
    assert len(url(offer(6))) < 350
    assert len(url(offer(16))) < 600


def test_the_recorded_form() -> None:
    description = Description(
        "abcd", "p" * 22, b"\x11" * 32, (Candidate("host", "192.0.2.1", 4096, "1", 255),), complete=True
    )
    body = (
        b"\x96"  # an array of 6
        + b"\xa4abcd"
        + b"\xb6"
        + b"p" * 22
        + b"\xc4\x20"
        + b"\x11" * 32
        + b"\xc2"  # false
        + b"\xc4\x00"
        + b"\x91\x94\x00\xc4\x04\xc0\x00\x02\x01\xcd\x10\x00\xcc\xff"
    )
    data = base64.urlsafe_b64encode(body + hashlib.sha256(body).digest()[:4]).decode().rstrip("=")
    assert url(StaticDescription(Kind.OFFER, description, False)) == f"tin-can:1#o={data}"


def test_an_answer_names_its_offer() -> None:
    assert offer(3).name == read(url(offer(3))).name
    assert offer(3).name != offer(4).name
    assert len(offer(3).name) == 4


def made_of(body: bytes) -> str:
    data = base64.urlsafe_b64encode(body + hashlib.sha256(body).digest()[:4]).decode().rstrip("=")
    return f"tin-can:1#o={data}"


GOOD = url(offer())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD[:-3], "damaged"),
        (GOOD[:40] + GOOD[41:], "damaged"),
        (GOOD.replace("#o=", "#"), "damaged"),
        ("tin-can:1#o=", "damaged"),
        ("tin-can:1#o=AAAA", "damaged"),
        (GOOD.replace("tin-can:1", "tin-can:7"), "newer"),
        (GOOD.replace("#o=", "#a="), "This is an answer"),
        (made_of(b"\x90"), "another version"),
        (made_of(b"\xff" * 40), "another version"),
        (made_of(b"\x96\xa4abcd\xb6" + b"p" * 22 + b"\xc4\x20" + b"\x11" * 32 + b"\xc2\xc4\x00\x91\x94\x00\xc4\x05"
                 + b"\0" * 5 + b"\xcd\x10\x00\xcc\xff"), "another version"),
        (made_of(b"\x96\xa4a\x1bcd\xb6" + b"p" * 22 + b"\xc4\x20" + b"\x11" * 32 + b"\xc2\xc4\x00\x90"),
         "not allowed"),
    ],
)  # fmt: skip
def test_what_is_no_offer_is_told_in_a_sentence(text: str, words: str) -> None:
    with pytest.raises(ProtocolError, match=words) as caught:
        read(text)
    assert str(caught.value).endswith(".")


@given(st.binary())
def test_reading_takes_anything(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read(made_of(body))


@given(st.integers(0, len(GOOD) - 1), st.characters(codec="ascii"))
def test_no_changed_character_goes_unnoticed(place: int, character: str) -> None:
    changed = GOOD[:place] + character + GOOD[place + 1 :]
    try:
        found = read(changed)
    except ProtocolError:
        return
    assert found == offer()


# -- pasting and files ---------------------------------------------------------------

TEXTS = [GOOD, classic.url(Kind.OFFER, SDP), classic.blob(Kind.ANSWER, SDP)]


@pytest.mark.parametrize("text", TEXTS)
def test_lines_are_collected_until_the_text_is_whole(text: str) -> None:
    paste = Paste()
    *first, last = [text[i : i + 50] for i in range(0, len(text), 50)]
    assert all(paste.add(line) is None for line in first)
    whole = paste.add(last)
    assert whole is not None
    assert "".join(whole.split()) == text
    assert paste.add(text) is not None, "it begins anew"


def test_an_empty_line_ends_a_damaged_text() -> None:
    paste = Paste()
    assert paste.add("") is None
    assert paste.add(GOOD[:30]) is None
    assert paste.add("") == GOOD[:30] + "\n"


def test_a_line_that_the_terminal_cut() -> None:
    long = classic.url(Kind.OFFER, SDP + "a=x\r\n" * 1000)
    paste = Paste()
    with pytest.raises(ProtocolError, match=r"4,095 characters; give the text in a file \(--file PATH\)"):
        paste.add(long[:TERMINAL_LINE])
    assert paste.add(GOOD) is not None


@given(st.lists(st.text(alphabet="tin-can:1#oa=AB/+_", max_size=30)))
def test_pasting_takes_anything(lines: list[str]) -> None:
    paste = Paste()
    for line in lines:
        paste.add(line)


def test_whole_or_not() -> None:
    for text in TEXTS:
        assert is_whole(text)
        assert not is_whole(text[:-8])


async def test_an_answer_from_a_file_that_comes_later(tmp_path: Path) -> None:
    path = tmp_path / "answer"
    reading = asyncio.create_task(from_file(str(path))())  # type: ignore[arg-type]
    await asyncio.sleep(0)
    path.write_text(wrapped(GOOD))
    async with asyncio.timeout(PATIENCE):
        assert "".join((await reading).split()) == GOOD


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_file(str(tmp_path / "none"))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not text"):
        read_file(str(tmp_path / "binary"))


# -- QR codes ------------------------------------------------------------------------


def test_a_qr_code_that_fits() -> None:
    shown = qr(GOOD)
    assert shown is not None
    lines = shown.splitlines()
    assert {len(line) for line in lines} == {len(lines[0])}
    assert len(lines[0]) <= 80
    assert len(lines) == (len(lines[0]) + 1) // 2
    assert set(shown) <= set(" ▀▄█\n")
    # The finder pattern of the upper left corner: 7 dark modules, drawn as what is not light.
    assert lines[1].startswith("██ ▄▄▄▄▄ █")


def test_a_qr_code_that_does_not_fit() -> None:
    assert qr(GOOD, columns=40) is None
    assert qr(GOOD, lines=20) is None
    assert qr("x" * 459) is None
    assert qr("x" * 5000, columns=1000) is None
