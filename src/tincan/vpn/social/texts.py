"""Addresses in what UDP carries: SIP (RFC 3261), SSDP, DNS and mDNS (RFC 1035, 6762). Pure.

Programs that speak these write down their own address, or their peer's, in
their sender's view. Both are known from the packet's own header, and only
they are rewritten. What cannot be understood is left as it was.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping
from typing import Final

SIP: Final = 5060
SSDP: Final = 1900
DNS: Final = 53
MDNS: Final = 5353

_SPOKEN: Final = frozenset({SIP, SSDP, DNS, MDNS})
_ANSWER: Final = b"HTTP/1.1 200"
"""How an answer to an SSDP search begins, which goes to whatever port the question came from."""

_LENGTH: Final = re.compile(rb"^(content-length|l)([ \t]*:[ \t]*)(\d{1,5})[ \t]*$", re.IGNORECASE | re.MULTILINE)
_LOCATION: Final = re.compile(rb"^location[ \t]*:[ \t]*http://[\d.]{7,15}:(\d{1,5})", re.IGNORECASE | re.MULTILINE)

_record = struct.Struct("!HHIH")
_A: Final = 1


class Swap:
    """Addresses that become others, as four bytes and as text."""

    def __init__(self, addresses: Mapping[bytes, bytes]) -> None:
        self.binary = addresses
        self._texts = {_text(old): _text(new) for old, new in addresses.items()}
        self._pattern: re.Pattern[bytes] | None = None

    def text(self, data: bytes) -> bytes:
        """Return a text with the addresses in it replaced."""
        return self._compiled().sub(lambda found: self._texts[found[0]], data)

    def same_length(self, data: bytearray, start: int) -> Iterator[tuple[int, bytes]]:
        """Yield where in a text an address stands that becomes one of the same length, and that one."""
        for found in self._compiled().finditer(bytes(data), start):
            new = self._texts[found[0]]
            if len(new) == len(found[0]) and new != found[0]:
                yield found.start(), new

    def _compiled(self) -> re.Pattern[bytes]:
        if self._pattern is None:  # most links never carry any
            either = b"|".join(re.escape(text) for text in self._texts)
            # Not within a longer number, nor as a part of something with more dots.
            self._pattern = re.compile(rb"(?<![\d.])(?:" + either + rb")(?!\d|\.\d)")
        return self._pattern


def speaks(source: int, destination: int, packet: bytearray, data: int) -> bool:
    """Whether a datagram may have addresses in it; ``data`` is where its payload begins."""
    return source in _SPOKEN or destination in _SPOKEN or packet.startswith(_ANSWER, data)


def rewrite(payload: bytes, source: int, destination: int, swap: Swap) -> bytes:
    """Return the payload with its addresses replaced."""
    if MDNS in (source, destination) or source == DNS:
        return dns(payload, swap)
    if SIP in (source, destination) or SSDP in (source, destination) or payload.startswith(_ANSWER):
        return message(payload, swap)
    return payload


def location_port(payload: bytes) -> int | None:
    """Return the TCP port where the sender of an SSDP message says that it describes itself."""
    if not payload.startswith((_ANSWER, b"NOTIFY ")):
        return None
    found = _LOCATION.search(payload)
    port = int(found[1]) if found is not None else 0
    return port if 0 < port < 65536 else None


def message(payload: bytes, swap: Swap) -> bytes:
    """Rewrite a head of lines and a body, as SIP and SSDP have them; the head says how long the body is."""
    head, empty, rest = payload.partition(b"\r\n\r\n")
    said = _LENGTH.search(head.replace(b"\r\n", b"\n"))
    size = int(said[3]) if said is not None else len(rest)
    if size > len(rest):
        return payload  # cut off
    body = swap.text(rest[:size])
    head = swap.text(head)
    if said is not None and len(body) != size:
        lines = head.split(b"\r\n")
        head = b"\r\n".join(_LENGTH.sub(rb"\g<1>\g<2>%d" % len(body), line) for line in lines)
    return head + empty + body + rest[size:]


def dns(payload: bytes, swap: Swap) -> bytes:
    """Rewrite the addresses of A records, wherever in a message they are."""
    if len(payload) < 12:
        return payload
    questions, *records = struct.unpack_from("!4H", payload, 4)
    made = bytearray(payload)
    try:
        place = 12
        for _ in range(questions):
            place = _after_name(payload, place) + 4
        for _ in range(sum(records)):
            place = _after_name(payload, place)
            kind, _, _, length = _record.unpack_from(payload, place)
            place += _record.size
            if kind == _A and length == 4:
                old = payload[place : place + 4]
                made[place : place + 4] = swap.binary.get(old, old)
            place += length
    except (IndexError, struct.error):
        return payload
    return bytes(made) if place <= len(payload) else payload


def _after_name(payload: bytes, place: int) -> int:
    """Return where a name ends. Labels and a pointer only take place; nothing is followed."""
    while length := payload[place]:
        if length >= 0xC0:
            return place + 2
        if length >= 0x40:
            raise IndexError
        place += 1 + length
    return place + 1


def _text(address: bytes) -> bytes:
    return b"%d.%d.%d.%d" % tuple(address)
