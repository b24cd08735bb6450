"""The answers of a name server that knows the members of networks, and nobody else. Pure (RFC 1035).

It is authoritative for ``can`` and for the addresses of its members; asked
about anything else it says REFUSED. There is no recursion, and nothing that
it is asked changes it. One question makes one answer, in which only the
question, never more of the query, is copied.
"""

from __future__ import annotations

import enum
import ipaddress
import struct
from collections.abc import Iterable, Mapping
from typing import Final

SUFFIX: Final = "can"
TTL: Final = 30
"""Seconds that an answer may be kept: friends come and go, their addresses stay."""

MAX_QUERY: Final = 4096
MAX_ANSWERS: Final = 16
"""Addresses of one name that are told: the answer stays far below 512 bytes."""

_header = struct.Struct("!HHHHHH")
_record = struct.Struct("!HHIH")

_RESPONSE, _AUTHORITATIVE, _RECURSION_DESIRED = 0x8000, 0x0400, 0x0100
_IN, _ANY_CLASS = 1, 255

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Type(enum.IntEnum):
    """The types of records that are known here."""

    A = 1
    SOA = 6
    PTR = 12
    AAAA = 28
    OPT = 41
    ANY = 255


class Code(enum.IntEnum):
    """How a query went (RFC 1035, section 4.1.1)."""

    FINE = 0
    FORMAT_ERROR = 1
    NO_SUCH_NAME = 3
    NOT_IMPLEMENTED = 4
    REFUSED = 5


class Zone:
    """Names and the addresses they have. Replaced as a whole when something changes.

    Names are as `tincan.vpn.names.safe.label` makes them, with dots between, and end with ``.can``.
    """

    def __init__(self, names: Mapping[str, Iterable[Address]] = {}) -> None:
        self._names: dict[str, tuple[Address, ...]] = {}
        self._reverse: dict[str, str] = {}
        self._between = {SUFFIX}
        for name, addresses in names.items():
            lower = name.lower()
            self._names[lower] = tuple(addresses)[:MAX_ANSWERS]
            for address in self._names[lower]:
                self._reverse.setdefault(address.reverse_pointer, lower)
            parent = lower.partition(".")[2]
            while parent:
                self._between.add(parent)
                parent = parent.partition(".")[2]

    def answer(self, query: bytes) -> bytes | None:
        """Return what to send back, None for what is no query."""
        if not 12 <= len(query) <= MAX_QUERY:
            return None
        number, flags, questions, *_ = _header.unpack_from(query)
        if flags & _RESPONSE:
            return None  # two servers must not talk to each other for ever
        if flags >> 11 & 0xF:
            return _reply(number, flags, Code.NOT_IMPLEMENTED)
        try:
            if questions != 1:
                raise ValueError("one question at a time")
            name, place = _read_name(query, 12)
            kind, group = struct.unpack_from("!HH", query, place)
        except (ValueError, IndexError, struct.error):
            return _reply(number, flags, Code.FORMAT_ERROR)
        question = query[12 : place + 4]
        extended = _extended(query, place + 4)
        if group not in (_IN, _ANY_CLASS):
            return _reply(number, flags, Code.REFUSED, question, extended=extended)
        code, records = self._look_up(name, kind)
        authority = _soa() if not records and code in (Code.FINE, Code.NO_SUCH_NAME) else b""
        return _reply(number, flags, code, question, records, authority, extended=extended)

    def _look_up(self, name: str, kind: int) -> tuple[Code, list[bytes]]:
        if (target := self._reverse.get(name)) is not None:
            wanted = kind in (Type.PTR, Type.ANY)
            return Code.FINE, [_answer(Type.PTR, _wire(target))] if wanted else []
        if name != SUFFIX and not name.endswith(f".{SUFFIX}"):
            return Code.REFUSED, []
        addresses = self._names.get(name)
        if addresses is None:
            # RFC 8020: a name between others exists, without records.
            return Code.FINE if name in self._between else Code.NO_SUCH_NAME, []
        found = []
        for address in addresses:
            of = Type.A if address.version == 4 else Type.AAAA
            if kind in (of, Type.ANY):
                found.append(_answer(of, address.packed))
        return Code.FINE, found


def _reply(
    number: int,
    flags: int,
    code: Code,
    question: bytes = b"",
    records: list[bytes] | None = None,
    authority: bytes = b"",
    *,
    extended: bool = False,
) -> bytes:
    records = records or []
    own = code in (Code.FINE, Code.NO_SUCH_NAME)
    said = _RESPONSE | flags & (0x7800 | _RECURSION_DESIRED) | (_AUTHORITATIVE if own else 0) | code
    head = _header.pack(number, said, bool(question), len(records), bool(authority), extended)
    # RFC 6891, section 6.1.1: whoever speaks EDNS is answered in it. 1232 bytes fit every path.
    option = b"\0" + _record.pack(Type.OPT, 1232, 0, 0) if extended else b""
    return head + question + b"".join(records) + authority + option


def _answer(kind: Type, data: bytes) -> bytes:
    return b"\xc0\x0c" + _record.pack(kind, _IN, TTL, len(data)) + data  # a pointer to the question's name


def _soa() -> bytes:
    """Say who is responsible, and for how long there is no such name (RFC 2308)."""
    root = _wire(SUFFIX)
    data = root + _wire(f"nobody.{SUFFIX}") + struct.pack("!IIIII", 1, 3600, 600, 86400, TTL)
    return root + _record.pack(Type.SOA, _IN, TTL, len(data)) + data


def _wire(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def _read_name(query: bytes, place: int) -> tuple[str, int]:
    """Return a question's name in lower case, and where it ends. A question has nothing to point back to."""
    labels, start = [], place
    while length := query[place]:
        if length > 63 or place - start > 253:
            raise ValueError("no plain name")
        label = query[place + 1 : place + 1 + length]
        if b"." in label or len(label) != length:
            raise ValueError("no plain label")
        labels.append(label.decode("ascii", "replace").lower())
        place += 1 + length
    return ".".join(labels), place + 1


def _extended(query: bytes, place: int) -> bool:
    """Whether an OPT record follows the question, as clients put it there."""
    [records] = struct.unpack_from("!H", query, 10)
    return records > 0 and query[place : place + 3] == b"\0\0\x29"
