"""Names that a peer may send, and where they lead."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.files.names import (
    MAX_COMPONENT,
    PARTIAL,
    System,
    aside_name,
    is_partial_name,
    partial_name,
    places,
    safe_parts,
)
from tincan.errors import ProtocolError

POSIX = System()
MAC = System(folded=True)
WINDOWS = System(windows=True, folded=True)

HOSTILE = [
    "", "/", "/etc/passwd", "//server/share", "..", "../x", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "a/",
    "C:/x", "c:", "C:/", "\\\\server\\share", "a\\b", "..\\x", "C:\\x", "a\0b", "\0",
    "x" * 256, "a/" + "x" * 256, "ä" * 128, "/".join(["d"] * 129), "/".join(["x" * 250] * 17), "\ud800" * 86,
]  # fmt: skip

AWKWARD = [
    ("plain.txt", "plain.txt", "plain.txt"),
    ("with space", "with space", "with space"),
    (".hidden", ".hidden", ".hidden"),
    ("...", "...", "___"),
    ("a\nb", "a_b", "a_b"),
    ("\x1b[31mred", "_[31mred", "_[31mred"),
    ("gnp.\u202eexe", "gnp._exe", "gnp._exe"),
    ("zero\u200bwidth", "zero_width", "zero_width"),
    ("\x7f\x80", "__", "__"),
    ("a:b", "a:b", "a_b"),
    ('<>:"|?*', '<>:"|?*', "_______"),
    ("ends.", "ends.", "ends_"),
    ("ends . ", "ends . ", "ends___"),
    ("CON", "CON", "_CON"),
    ("con.txt", "con.txt", "_con.txt"),
    ("nul .txt", "nul .txt", "_nul .txt"),
    ("AUX.tar.gz", "AUX.tar.gz", "_AUX.tar.gz"),
    ("COM1", "COM1", "_COM1"),
    ("com\u00b9", "com\u00b9", "_com\u00b9"),
    ("LPT\u00b3.x", "LPT\u00b3.x", "_LPT\u00b3.x"),
    ("CONIN$", "CONIN$", "_CONIN$"),
    ("COM10", "COM10", "COM10"),
    ("console", "console", "console"),
    (".x.tin-can-partial", "_x.tin-can-partial", "_x.tin-can-partial"),
    (".X.TIN-CAN-PARTIAL.old-1", "_X.TIN-CAN-PARTIAL.old-1", "_X.TIN-CAN-PARTIAL.old-1"),
    ("grüße 日本", "grüße 日本", "grüße 日本"),
]


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("windows", [False, True])
def test_hostile_names_are_refused(name: str, windows: bool) -> None:
    with pytest.raises(ProtocolError, match="refused"):
        safe_parts(name, windows=windows)
    for folder in (False, True):
        with pytest.raises(ProtocolError, match="refused"):
            places([(name, folder)], System(windows=windows))


@pytest.mark.parametrize(("name", "posix", "windows"), AWKWARD)
def test_awkward_names_are_made_safe(name: str, posix: str, windows: str) -> None:
    assert safe_parts(name) == (posix,)
    assert safe_parts(name, windows=True) == (windows,)
    assert places([(f"d/{name}", False)], POSIX) == [("d", posix)]


@given(st.text(max_size=300), st.booleans())
def test_whatever_is_let_through_is_safe(name: str, windows: bool) -> None:
    try:
        parts = safe_parts(name, windows=windows)
    except ProtocolError:
        return
    assert parts
    for part in parts:
        assert part not in {"", ".", ".."}
        assert not set(part) & {"/", "\\", "\0"}
        assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for c in part)
        assert len(part.encode()) <= MAX_COMPONENT
        assert not is_partial_name(part)
        if windows:
            assert not set(part) & set('<>:"|?*')
            assert part[-1] not in ". "
    assert safe_parts("/".join(parts), windows=windows) == parts


@pytest.mark.parametrize(
    ("names", "system"),
    [
        ([("a", False), ("a", False)], POSIX),
        ([("a", True), ("a", True)], POSIX),
        ([("a", True), ("a", False)], POSIX),
        ([("a", False), ("a", True)], POSIX),
        ([("a", False), ("a/b", False)], POSIX),
        ([("a/b", False), ("a", False)], POSIX),
        ([("a/b/c", False), ("a/b", False)], POSIX),
        ([("x\x01", False), ("x\x02", False)], POSIX),
        ([("d\x01/x", False), ("d\x02/y", False)], POSIX),
        ([("A", False), ("a", False)], MAC),
        ([("D/x", False), ("d/y", False)], MAC),
        ([("stra\u00dfe", False), ("STRASSE", False)], MAC),
        ([("\u00e9", False), ("e\u0301", False)], MAC),
        ([("a:b", False), ("a?b", False)], WINDOWS),
        ([("x.", False), ("x_", False)], WINDOWS),
    ],
)
def test_two_names_for_one_file_are_refused(names: list[tuple[str, bool]], system: System) -> None:
    with pytest.raises(ProtocolError, match="refused"):
        places(names, system)


def test_folders_may_come_before_or_after_what_is_in_them() -> None:
    given_names = [("a/b/c", False), ("a/b", True), ("a", True), ("a/d", False), ("A", False)]
    assert places(given_names, POSIX) == [tuple(name.split("/")) for name, _ in given_names]


def test_a_hundred_thousand_names_are_quick() -> None:
    names = [(f"top/folder {n // 100}/file-{n}.jpeg", False) for n in range(100_000)]
    began = time.process_time()
    assert len(places(names, WINDOWS)) == 100_000
    assert time.process_time() - began < 100  # some steps for each; with all the others for each it took hours


@pytest.mark.parametrize("name", ["x", "x" * 255, "ä" * 127, "日" * 85, "." * 200])
def test_partial_names_fit_and_are_known(name: str) -> None:
    for partial in (partial_name(name), aside_name(name, 3)):
        assert len(partial.encode()) <= 255
        assert is_partial_name(partial)
        assert PARTIAL in partial


def test_long_names_have_partials_of_their_own() -> None:
    assert partial_name("x" * 250 + "a") != partial_name("x" * 250 + "b")
