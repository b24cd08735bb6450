"""Turn the names that a peer gives its files into places below the target folder.

Two kinds of bad names, two answers:

* **Hostile structure is refused.** No honest sender makes a name that is
  empty or absolute, climbs (``..``), hides a separator of another system (a
  backslash) or a NUL, or is longer than file systems take. Such a name raises
  `ProtocolError`, and the whole offer with it.
* **What is merely awkward is made safe.** Files with control characters, or
  with names that only Windows cannot hold, do exist. Each such character
  becomes ``_``. When two names become the same by that, the offer is refused:
  guessing which one was meant would lose a file.

Names like those of our own partial files are made safe too, so that no offer
can plant one or reach into one.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

import msgspec

from tincan.apps.text import visible
from tincan.errors import ProtocolError

MAX_COMPONENT = 255
"""UTF-8 bytes in one component: what ext4, APFS and NTFS take, give or take."""

MAX_NAME = 4096
"""UTF-8 bytes in a whole name: Linux' PATH_MAX."""

MAX_DEPTH = 128
"""Components in one name. Deeper trees than this are not made by people."""

PARTIAL = ".tin-can-partial"
"""How the name of a file ends that has not arrived completely."""

_ASIDE = ".old-"
_ROOM = MAX_COMPONENT - len("." + PARTIAL + _ASIDE + "0")

_PLAIN = re.compile(r"[A-Za-z0-9_\-][A-Za-z0-9_\-+=,@ ]*(\.[A-Za-z0-9_\-+=,@]+)*")
"""Most names of this world: nothing to look at more closely (devices of Windows excepted)."""

_WINDOWS_CHARACTERS = frozenset('<>:"|?*')
_DRIVE = re.compile(r"[A-Za-z]:(/|$)")
_DEVICES = frozenset(
    ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$"]
    + [f"{port}{digit}" for port in ("COM", "LPT") for digit in "0123456789\u00b9\u00b2\u00b3"]
)
_UNSAFE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


MAX_FOLDER_TEXT = 64 * 2**20
"""Characters of all folders' paths together: each level of a deep one is kept."""


class System(msgspec.Struct, frozen=True):
    """What the receiving side's names are like."""

    windows: bool = False
    """Its characters and device names are forbidden."""
    folded: bool = False
    """``A`` and ``a`` are one file (Windows, macOS)."""


def safe_parts(name: str, *, windows: bool = False) -> tuple[str, ...]:
    """Return the components of a peer's name, safe to create below the target; `ProtocolError` if it is hostile."""
    _check_whole(name)
    parts = name.split("/")
    if len(parts) > MAX_DEPTH:
        raise _refused(name, f"it has more than {MAX_DEPTH} levels")
    return tuple(_safe_component(part, name, windows) for part in parts)


def places(names: Iterable[tuple[str, bool]], system: System) -> list[tuple[str, ...]]:
    """Return the safe parts of every ``(name, is a folder)`` of an offer.

    Raises `ProtocolError` when one is hostile, or when two would be the same
    file, or one file would be the folder of another.
    """
    found: list[tuple[str, ...]] = []
    places = _Places(system)
    for name, folder in names:
        found.append(places.add(name, folder))
    return found


class _Places:
    """What is taken so far; looking into a parent once is what makes 100,000 names quick."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._parents: dict[str, tuple[tuple[str, ...], str]] = {"": ((), "")}
        self._files: set[str] = set()
        self._folders: dict[str, str] = {}  # key to the name that the peer gave
        self._declared: set[str] = set()
        self._room = MAX_FOLDER_TEXT

    def add(self, name: str, folder: bool) -> tuple[str, ...]:
        above, slash, last = name.rpartition("/")
        if slash and not above:
            raise _refused(name, "it is absolute")
        known = self._parents.get(above)
        parent, parent_key = self._parent(above) if known is None else known
        if len(parent) >= MAX_DEPTH:
            raise _refused(name, f"it has more than {MAX_DEPTH} levels")
        _check_whole(name)
        part = _safe_component(last, name, self._system.windows)
        key = f"{parent_key}/{_folded(part) if self._system.folded else part}"
        if key in self._files or key in self._declared or (not folder and key in self._folders):
            raise _twice(name)
        if folder:
            self._claim(key, name)
            self._declared.add(key)
        else:
            self._files.add(key)
        return (*parent, part)

    def _parent(self, above: str) -> tuple[tuple[str, ...], str]:
        """Look at a folder for the first time; those above it exist by that too."""
        parts = safe_parts(above, windows=self._system.windows)
        raw, key = "", ""
        for given, part in zip(above.split("/"), parts, strict=True):
            raw = f"{raw}/{given}" if raw else given
            key = f"{key}/{_folded(part) if self._system.folded else part}"
            self._claim(key, raw)
        self._parents[above] = parts, key
        return parts, key

    def _claim(self, key: str, name: str) -> None:
        if key not in self._folders:
            self._room -= len(key) + len(name)
            if self._room < 0:
                raise ProtocolError("The peer's folders are too many and too deep to be kept in mind; refused.")
        if key in self._files or self._folders.setdefault(key, name) != name:
            raise _twice(name)


def partial_name(name: str) -> str:
    """Return what a file is called until it is complete; long names are cut and told apart by a checksum."""
    raw = name.encode()
    if len(raw) > _ROOM:
        mark = f"~{_checksum(raw):016x}"
        name = raw[: _ROOM - len(mark)].decode(errors="ignore") + mark
    return f".{name}{PARTIAL}"


def aside_name(name: str, number: int) -> str:
    """Return where a partial file goes that is not the beginning of what arrives now."""
    return f"{partial_name(name)}{_ASIDE}{number}"


def is_partial_name(component: str) -> bool:
    """Whether it could be one of our own partial files, on any system."""
    return component.startswith(".") and PARTIAL in component.casefold()


def _check_whole(name: str) -> None:
    if not name:
        raise ProtocolError("The peer offers a file without a name; refused.")
    if name.startswith("/") or _DRIVE.match(name):
        raise _refused(name, "it is absolute")
    if "\\" in name:
        raise _refused(name, "it holds a backslash")
    if "\0" in name:
        raise _refused(name, "it holds a NUL")
    if len(name) > MAX_NAME or len(_encoded(name)) > MAX_NAME:
        raise _refused(name, f"it is longer than {MAX_NAME} bytes")


def _safe_component(part: str, name: str, windows: bool) -> str:
    if part in {"", ".", ".."}:
        raise _refused(name, "it has an empty or climbing component")
    if len(part) > MAX_COMPONENT or (not part.isascii() and len(_encoded(part)) > MAX_COMPONENT):
        raise _refused(name, f"a component is longer than {MAX_COMPONENT} bytes")
    if _PLAIN.fullmatch(part) is None or part.endswith(" "):
        if not (part.isascii() and part.isprintable()):
            part = "".join("_" if unicodedata.category(c) in _UNSAFE_CATEGORIES else c for c in part)
        if is_partial_name(part):
            part = "_" + part[1:]
        if windows:
            part = "".join("_" if c in _WINDOWS_CHARACTERS else c for c in part)
            kept = part.rstrip(". ")
            part = kept + "_" * (len(part) - len(kept))
    if windows and part.partition(".")[0].rstrip(" ").upper() in _DEVICES:
        part = ("_" + part).encode()[:MAX_COMPONENT].decode(errors="ignore").rstrip(". ")
    return part


def _folded(part: str) -> str:
    if part.isascii():
        return part.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", part).casefold())


def _checksum(raw: bytes) -> int:
    """FNV-1a: only to tell cut names apart, and the same on every machine."""
    value = 0xCBF29CE484222325
    for byte in raw:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _refused(name: str, why: str) -> ProtocolError:
    return ProtocolError(f"The peer offers a file named {visible(name[:80])!r}, which is refused: {why}.")


def _twice(name: str) -> ProtocolError:
    return ProtocolError(
        f"The peer offers {visible(name[:80])!r} twice, or two names that are the same here; refused."
    )
