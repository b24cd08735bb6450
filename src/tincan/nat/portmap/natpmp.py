"""NAT-PMP, the NAT Port Mapping Protocol (RFC 6886): four messages, IPv4 only."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final

from tincan.nat.portmap.mapping import Refused, Transport, Wanted

PORT: Final = 5351

_VERSION: Final = 0
_ADDRESS: Final = 0
_ANSWER: Final = 128
_MAP: Final[dict[Transport, int]] = {"udp": 1, "tcp": 2}

# version, opcode, reserved, internal port, suggested external port, lifetime (RFC 6886, 3.3).
_REQUEST: Final = struct.Struct("!BBxxHHI")
# version, opcode, result, seconds since the router's start.
_HEAD: Final = struct.Struct("!BBHI")
_MAPPED: Final = struct.Struct("!HHI")

_RESULTS: Final = {
    1: "unsupported version",
    2: "not authorised",
    3: "network failure",
    4: "no resources",
    5: "unsupported opcode",
}


@dataclass(frozen=True)
class Mapped:
    """A mapping; NAT-PMP tells the address by itself."""

    port: int
    lifetime: int


def address_request() -> bytes:
    """Ask for the external address (RFC 6886, 3.2)."""
    return bytes((_VERSION, _ADDRESS))


def map_request(wanted: Wanted, suggested: int) -> bytes:
    """Ask for a mapping, if possible on that external port. A lease of 0 deletes; port 0 is suggested then."""
    return _REQUEST.pack(_VERSION, _MAP[wanted.transport], wanted.port, suggested, wanted.lease)


def parse_address(data: bytes) -> str | Refused | None:
    """Read the external address; None when this is no such answer, and to be ignored."""
    body = _body(data, _ADDRESS, 4)
    return str(ipaddress.IPv4Address(body)) if isinstance(body, bytes) else body


def parse_mapped(data: bytes, wanted: Wanted) -> Mapped | Refused | None:
    """Read the answer to a request for a mapping; None when it is no such thing."""
    body = _body(data, _MAP[wanted.transport], _MAPPED.size)
    if not isinstance(body, bytes):
        return body
    internal, external, lifetime = _MAPPED.unpack(body)
    return Mapped(external, lifetime) if internal == wanted.port else None


def _body(data: bytes, opcode: int, size: int) -> bytes | Refused | None:
    """Return what follows the head. A refusal may end with the head (RFC 6886, 3.5)."""
    # A router that speaks only PCP refuses with PCP's version, and the result where PCP has it.
    if len(data) >= 4 and data[0] == 2 and data[1] & _ANSWER and data[3]:
        return Refused(_RESULTS[1])
    if len(data) < _HEAD.size:
        return None
    version, kind, result, _epoch = _HEAD.unpack_from(data)
    if version != _VERSION or kind != _ANSWER + opcode:
        return None
    if result:
        return Refused(_RESULTS.get(result, f"result {result}"))
    return data[_HEAD.size :] if len(data) == _HEAD.size + size else None
