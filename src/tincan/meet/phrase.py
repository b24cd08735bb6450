"""Phrases: the secret two people share, and what is derived from it.

Two kinds:

* **generated**, ``417-guitar-banana``: a nameplate, which says where to meet
  and is no secret, and two words of the EFF short word list 2, which are the
  password. Nothing derived from the words leaves the machine except through
  CPace, so whoever watches or runs a place has one guess, and then the line
  is dead.
* **chosen**, any other text: one Argon2id run gives both the string code,
  which the places see, and the password. A place could therefore try phrases
  offline against the code; Argon2id makes each try cost 64 MiB and about a
  tenth of a second. That is why a weak chosen phrase is warned about.

Everything here is pure. `derive` takes 0.1 to 0.3 s for a chosen phrase and
releases the GIL meanwhile, so callers run it in a thread.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from tincan.errors import UsageError
from tincan.meet.nameplate import nameplate_code

MAX_PHRASE = 1024
"""Characters in a phrase; more is a mistake (a pasted file)."""

MIN_PREFIX = 3
"""Every word of the list is known by its first three letters."""

CHOSEN_SALT = b"tin-can/1 phrase"
"""A domain label in the place of a salt: both ends must derive the same without meeting first."""

# RFC 9106 section 4, the second recommended option (64 MiB, 3 passes, 4
# lanes): the first needs 2 GiB, which a small machine does not have. These
# numbers are part of the protocol: both ends must use the same.
ARGON2_MEMORY_KIB = 64 * 1024
ARGON2_PASSES = 3
ARGON2_LANES = 4

WEAK_BITS = 50
"""Below this a chosen phrase is called weak: 2**50 tries of 0.1 s are 3.5 million core-years."""

# The one word of the list with a dash in it is yo-yo.
_WORD = r"(yo[\s_-]*yo|[a-z]+)"
_GENERATED = re.compile(rf"([1-9][0-9]{{0,7}})[\s_-]+{_WORD}[\s_-]+{_WORD}", re.IGNORECASE)
_SEPARATORS = re.compile(r"[\s_-]+")


@dataclass(frozen=True)
class Phrase:
    """A phrase as the user knows it. ``nameplate`` is None for a chosen one."""

    text: str = field(repr=False)
    nameplate: int | None = None

    @property
    def generated(self) -> bool:
        """Whether it has the form that `generate` makes."""
        return self.nameplate is not None


@dataclass(frozen=True)
class StringKeys:
    """What two cans derive from a phrase: where to meet, and what to prove there."""

    code: str
    """The string code, 12 hex digits. Places see it."""

    password: bytes = field(repr=False)
    """The password for CPace (its PRS). Never leaves the machine."""


@cache
def words() -> tuple[str, ...]:
    """Return the 1,296 words of the EFF short word list 2."""
    # Not by importlib.resources, which would take a twentieth of the start.
    return tuple(Path(__file__).with_name("words.txt").read_text("ascii").split())


@cache
def _by_prefix() -> dict[str, str]:
    return {word.replace("-", "")[:MIN_PREFIX]: word for word in words()}


def complete_word(text: str) -> str | None:
    """Return the word of the list that ``text`` is, or begins, in any case; else None."""
    text = _SEPARATORS.sub("", text.lower())
    word = _by_prefix().get(text[:MIN_PREFIX])
    return word if word is not None and word.replace("-", "").startswith(text) else None


def parse(text: str) -> Phrase:
    """Read what a user typed.

    It is put in Unicode's NFKC form, outer white space gone, inner white space
    single. A generated phrase is recognised with words cut to three letters or
    more, capitals, and spaces, dashes or underscores between the parts.
    Anything else is a chosen phrase, its case kept.

    Raises `UsageError` when there is nothing left, or far too much.
    """
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    if len(text) > MAX_PHRASE:
        raise UsageError(f"A phrase has at most {MAX_PHRASE} characters.")
    match = _GENERATED.fullmatch(text)
    if match:
        first, second = complete_word(match[2]), complete_word(match[3])
        if first and second:
            return _generated(int(match[1]), (first, second))
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("The phrase is not valid text in this terminal's encoding.") from None
    if not text:
        raise UsageError("The phrase is empty.")
    return Phrase(text)


def generate(nameplate: int, choose: Callable[[Sequence[str]], str]) -> Phrase:
    """Make a phrase for a nameplate; ``choose`` is `secrets.choice` outside of tests."""
    return _generated(nameplate, (choose(words()), choose(words())))


def _generated(nameplate: int, pair: tuple[str, str]) -> Phrase:
    return Phrase(f"{nameplate}-{pair[0]}-{pair[1]}", nameplate)


def looks_mistyped(text: str) -> str | None:
    """Return the word that keeps ``text`` from being a generated phrase, if it nearly is one."""
    match = _GENERATED.fullmatch(text.strip())
    if match:
        for word in (match[2], match[3]):
            if complete_word(word) is None:
                return word
    return None


def derive(phrase: Phrase) -> StringKeys:
    """Return where to meet and the password. Slow for a chosen phrase: see the module."""
    if phrase.nameplate is not None:
        secret = phrase.text.split("-", 1)[1]
        return StringKeys(nameplate_code(phrase.nameplate), b"tin-can/1 words " + secret.encode())
    from cryptography.hazmat.primitives.hashes import SHA256  # only chosen phrases need it
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
    from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

    root = Argon2id(
        salt=CHOSEN_SALT,
        length=32,
        iterations=ARGON2_PASSES,
        lanes=ARGON2_LANES,
        memory_cost=ARGON2_MEMORY_KIB,
    ).derive(phrase.text.encode())
    # Two labels, so that the code, which places see, tells nothing of the password (RFC 5869 section 3.2).
    code = HKDFExpand(SHA256(), 6, b"tin-can/1 string code").derive(root)
    password = HKDFExpand(SHA256(), 32, b"tin-can/1 password").derive(root)
    return StringKeys(code.hex(), password)


def guess_bits(phrase: Phrase) -> float:
    """Estimate how many bits a guesser lacks. Crude and pessimistic on purpose.

    Generated phrases: exact. Chosen ones: the smaller of what its words
    (13 bits each, a list of 8,000) and its characters would give, where runs
    of digits count 3.3 bits a digit. What is repeated counts once.
    """
    if phrase.generated:
        return 2 * math.log2(len(words()))
    total = 0.0
    for part in set(re.findall(r"[^\W\d_]+|\d+|[\W_]", phrase.text.lower())):
        if part.isdigit():
            total += 3.3 * min(len(part), len(set(part)) * 2)
        elif part.isalpha():
            total += min(13.0, 4.7 * len(part))
        elif not part.isspace():
            total += 5.0
    return total


def describe_strength(phrase: Phrase) -> str:
    """Say in words how hard the phrase is to guess."""
    if phrase.generated:
        return f"one guess in {len(words()) ** 2 / 1e6:.1f} million, then the line is dead"
    bits = guess_bits(phrase)
    if bits < WEAK_BITS:
        return (
            "weak: whoever runs a switchboard you use could find it by trying likely phrases; "
            "take four or more unrelated words, or let tin-can make one"
        )
    return "fair: long enough that trying likely phrases would take years"
