"""How one end of a link is written for the other: ``FINGERPRINT CANDIDATE CANDIDATE ...`` (``con_resp``).

A candidate has twelve fields with colons between them: id, component,
protocol, address, port, priority, username, password, type, interface,
generation, foundation. The ICE credentials are in every candidate. So an IPv6
address cannot stand there as it is: its colons are written as dashes, and the
suffix that Windows gave to such names is put after it
(``2001-db8--1.ipv6-literal.net``), which no other module takes for IPv4.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from tincan.link.description import MAX_CANDIDATES, Candidate, Description

NO_FINGERPRINT: Final = ":".join(["00"] * 32)
"""What stands for the fingerprint before there is one; as long as one, for controllers cut by its length."""

_FINGERPRINT = re.compile(r"[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){31}")
_CREDENTIAL = re.compile(r"[A-Za-z0-9+/]+")
_FOUNDATION = re.compile(r"[A-Za-z0-9+/]{1,32}")
_WORD = re.compile(r"[A-Za-z0-9+/.:_-]+")
_FIELDS = 12
_LITERAL = ".ipv6-literal.net"
_TYPES = {"host": "local", "srflx": "stun", "relay": "relay"}
_KINDS = {name: kind for kind, name in _TYPES.items()} | {"host": "host", "srflx": "srflx"}


def type_of(kind: str) -> str:
    """Return how the original names a kind of candidate: ``local``, ``stun`` or ``relay``."""
    return _TYPES.get(kind, kind)


def write_fingerprint(digest: bytes) -> str:
    """Write a SHA-256 fingerprint as RFC 8122 does."""
    return ":".join(f"{byte:02X}" for byte in digest)


def read_fingerprint(text: str) -> bytes | None:
    """Read a SHA-256 fingerprint; None for anything else, all zeros included.

    What follows it after a space is passed over: v16 hands the whole text of
    a ``con_resp`` where the fingerprint belongs.
    """
    first = text.split(" ", 1)[0]
    if not _FINGERPRINT.fullmatch(first) or first == NO_FINGERPRINT:
        return None
    return bytes.fromhex(first.replace(":", ""))


def write_candidates(description: Description) -> str:
    """Write an end's candidates, with its ICE credentials, for a controller."""
    return " ".join(
        ":".join(
            [
                str(count),
                "1",
                "udp",
                _write_address(candidate.address),
                str(candidate.port),
                str(candidate.priority),
                description.ufrag,
                description.pwd,
                _TYPES[candidate.kind],
                "net",
                "0",
                candidate.foundation,
            ]
        )
        for count, candidate in enumerate(description.candidates)
        if candidate.kind in _TYPES
    )


def read_candidates(text: str, fingerprint: bytes) -> Description | None:
    """Read the other end's candidates; None when there is none of use.

    Candidates with a form of their own are passed over one by one, as are
    those with other credentials than the first good one: an end has one pair.
    """
    found: list[Candidate] = []
    credentials: tuple[str, str] | None = None
    for word in text.split()[:MAX_CANDIDATES]:
        read = _read_candidate(word)
        if read is None:
            continue
        candidate, theirs = read
        credentials = credentials or theirs
        if theirs == credentials:
            found.append(candidate)
    if credentials is None:
        return None
    ufrag, pwd = credentials
    return Description(ufrag=ufrag, pwd=pwd, fingerprint=fingerprint, candidates=tuple(found), complete=True)


def write_end(description: Description) -> str:
    """Return the text of a ``con_resp``."""
    return f"{write_fingerprint(description.fingerprint)} {write_candidates(description)}"


def is_end(text: str) -> bool:
    """Whether this has the form of a ``con_resp``; candidates may be of kinds that are passed over here."""
    fingerprint, _, candidates = text.partition(" ")
    words = candidates.split()
    return bool(_FINGERPRINT.fullmatch(fingerprint)) and all(
        word.count(":") == _FIELDS - 1 and _WORD.fullmatch(word) for word in words
    )


def is_fingerprint(text: str) -> bool:
    """Whether this is a fingerprint and nothing else, zeros included."""
    return _FINGERPRINT.fullmatch(text) is not None


def distinct(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Leave out repetitions, and what is beyond the limit of a description."""
    return tuple(dict.fromkeys(candidates))[:MAX_CANDIDATES]


def _read_candidate(word: str) -> tuple[Candidate, tuple[str, str]] | None:
    fields = word.split(":")
    if len(fields) != _FIELDS:
        return None
    _, component, protocol, address, port, priority, ufrag, pwd, kind, _, _, foundation = fields
    where = _read_address(address)
    if component != "1" or protocol.lower() != "udp" or where is None or kind not in _KINDS:
        return None
    if not (_whole(port, 1, 65535) and _whole(priority, 1, 2**31 - 1) and _FOUNDATION.fullmatch(foundation)):
        return None
    if not (_CREDENTIAL.fullmatch(ufrag) and 4 <= len(ufrag) <= 256):
        return None
    if not (_CREDENTIAL.fullmatch(pwd) and 22 <= len(pwd) <= 256):
        return None
    return Candidate(_KINDS[kind], where, int(port), foundation, int(priority)), (ufrag, pwd)


def _write_address(address: str) -> str:
    if ":" not in address:
        return address
    return address.partition("%")[0].replace(":", "-") + _LITERAL


def _read_address(text: str) -> str | None:
    literal = text.removesuffix(_LITERAL)
    try:
        if literal == text:
            return str(ipaddress.IPv4Address(text))
        return str(ipaddress.IPv6Address(literal.replace("-", ":")))
    except ValueError:
        return None


def _whole(text: str, low: int, high: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10 and low <= int(text) <= high
