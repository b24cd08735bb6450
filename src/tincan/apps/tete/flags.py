"""Options as Go's ``flag`` package reads them, so that what was written for a Go program works here.

One dash or two, ``-name value`` or ``-name=value``; a switch takes a value only
after ``=``; the first word that is no option, or ``--``, ends them, and what
follows is left alone. Messages and the list of options have the form that
package gives them.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tincan.errors import UsageError

Value = bool | int | str | None


class Kind(enum.Enum):
    """What an option takes."""

    SWITCH = ""
    INT = "int"
    STRING = "string"


@dataclass(frozen=True)
class Flag:
    """One option; ``default`` says of what kind it is, None being that of a string which was not given."""

    name: str
    default: Value
    says: str

    @property
    def kind(self) -> Kind:
        """What it takes."""
        if isinstance(self.default, bool):
            return Kind.SWITCH
        return Kind.INT if isinstance(self.default, int) else Kind.STRING


class FlagError(UsageError):
    """A command line that Go's package would not take; the text is what it would say."""


_TRUE: Final = frozenset(["1", "t", "T", "true", "TRUE", "True"])
_FALSE: Final = frozenset(["0", "f", "F", "false", "FALSE", "False"])

# An underscore may stand between digits and after a prefix, and nowhere else.
_INTEGER: Final = re.compile(r"[+-]?(0[xX](_?[0-9a-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])+|[1-9](_?[0-9])*|0)")
_INT_BITS: Final = 63


def parse(flags: Sequence[Flag], arguments: Sequence[str]) -> dict[str, Value] | None:
    """Return the value of every option; None when ``-help`` asks for the list of them. Raises `FlagError`."""
    known = {flag.name: flag for flag in flags}
    values = {flag.name: flag.default for flag in flags}
    waiting = list(arguments)
    while waiting and len(waiting[0]) > 1 and waiting[0].startswith("-"):
        word = waiting.pop(0)
        if word == "--":
            break
        name, equals, given = word[2 if word.startswith("--") else 1 :].partition("=")
        if not name or name.startswith("-"):
            raise FlagError(f"bad flag syntax: {word}")
        flag = known.get(name)
        if flag is None:
            if name in ("help", "h"):
                return None
            raise FlagError(f"flag provided but not defined: -{name}")
        if not equals:
            if flag.kind is Kind.SWITCH:
                given = "true"
            elif waiting:
                given = waiting.pop(0)
            else:
                raise FlagError(f"flag needs an argument: -{name}")
        values[name] = _value(flag, given)
    return values


def _value(flag: Flag, text: str) -> Value:
    if flag.kind is Kind.STRING:
        return text
    if flag.kind is Kind.SWITCH:
        if text in _TRUE | _FALSE:
            return text in _TRUE
        raise FlagError(f"invalid boolean value {_quoted(text)} for -{flag.name}: parse error")
    if not _INTEGER.fullmatch(text):
        raise FlagError(f"invalid value {_quoted(text)} for flag -{flag.name}: parse error")
    number = _integer(text)
    if not -(2**_INT_BITS) <= number < 2**_INT_BITS:
        raise FlagError(f"invalid value {_quoted(text)} for flag -{flag.name}: value out of range")
    return number


def _integer(text: str) -> int:
    digits = text.lstrip("+-").replace("_", "").lower()
    if len(digits) > 1 and digits[0] == "0" and digits[1] not in "xbo":
        digits = f"0o{digits[1:]}"  # a leading zero alone means octal
    # Longer ones are out of range in any base, and Python refuses to convert very long decimal ones.
    number = int(digits, 0) if len(digits) < 100 else 2**_INT_BITS + 1
    return -number if text.startswith("-") else number


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def listing(program: str, flags: Sequence[Flag]) -> str:
    """Return the list of options as Go's package prints it."""
    lines = [f"Usage of {program}:"]
    for flag in sorted(flags, key=lambda flag: flag.name):
        head = f"  -{flag.name} {flag.kind.value}".rstrip()
        # A name of one letter leaves room for the explanation on its line.
        between = "\t" if len(head) == len("  -x") else "\n    \t"
        default = f" (default {flag.default})" if flag.default else ""
        lines.append(head + between + flag.says + default)
    return "\n".join(lines)
