"""PCP, the Port Control Protocol (RFC 6887): its MAP request and answer. IPv4 mappings only.

The epoch time of an answer is not kept: it serves to notice a router that
forgot its mappings, and the renewal that would tell us restores ours anyway.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import Final

from tincan.nat.portmap.mapping import Granted, Refused, Transport, Wanted

PORT: Final = 5351
NONCE_BYTES: Final = 12

_VERSION: Final = 2
_MAP: Final = 1
_ANSWER: Final = 0x80
_LARGEST: Final = 1100  # RFC 6887, 7
_PROTOCOL: Final[dict[Transport, int]] = {"udp": 17, "tcp": 6}
_UNSUPPORTED_VERSION: Final = 1

# version, opcode, reserved, lifetime, client address; MAP: nonce, protocol, reserved, internal port, external port
# and address (RFC 6887, 7.1 and 11.1).
_REQUEST: Final = struct.Struct("!BBxxI16s12sBxxxHH16s")
# version, opcode, reserved, result, lifetime, epoch, reserved (RFC 6887, 7.2).
_HEAD: Final = struct.Struct("!BBxBII12x")
_MAPPED: Final = struct.Struct("!12sBxxxHH16s")

_RESULTS: Final = {
    1: "unsupported version",
    2: "not authorised",
    3: "malformed request",
    4: "unsupported opcode",
    5: "unsupported option",
    6: "malformed option",
    7: "network failure",
    8: "no resources",
    9: "unsupported protocol",
    10: "quota exceeded",
    11: "cannot provide that external address",
    12: "address mismatch",
    13: "too many remote peers",
}


def map_request(wanted: Wanted, nonce: bytes, granted: Granted | None = None) -> bytes:
    """Return a MAP request; with what was granted, to renew that. A lease of 0 deletes (RFC 6887, 15)."""
    address = granted.address if granted else "0.0.0.0"  # noqa: S104 - "no preference" in the protocol
    return _REQUEST.pack(
        _VERSION,
        _MAP,
        wanted.lease,
        _in_ipv6(wanted.local),
        nonce,
        _PROTOCOL[wanted.transport],
        wanted.port,
        granted.port if granted else wanted.port,
        _in_ipv6(address),
    )


def parse_answer(data: bytes, wanted: Wanted, nonce: bytes) -> Granted | Refused | None:
    """Read an answer to that request; None when it is no such thing, and to be ignored (RFC 6887, 8.3)."""
    if not _HEAD.size <= len(data) <= _LARGEST or len(data) % 4:
        return _not_pcp(data)
    version, opcode, result, lifetime, _epoch = _HEAD.unpack_from(data)
    if version != _VERSION:
        return _not_pcp(data)
    if opcode != _ANSWER | _MAP:
        return None
    if result == _UNSUPPORTED_VERSION:  # nothing behind the head need be ours then
        return Refused(_RESULTS[result])
    if len(data) < _HEAD.size + _MAPPED.size:
        return None
    echo, protocol, internal, external, address = _MAPPED.unpack_from(data, _HEAD.size)
    if (echo, protocol, internal) != (nonce, _PROTOCOL[wanted.transport], wanted.port):
        return None
    if result:
        return Refused(_RESULTS.get(result, f"result {result}"))
    mapped = ipaddress.IPv6Address(address).ipv4_mapped
    if mapped is None:
        return Refused("an external address that is not IPv4")
    return Granted(str(mapped), external, lifetime)


def _not_pcp(data: bytes) -> Refused | None:
    """Recognise what a router of another version says: "unsupported version" (RFC 6887, 9; RFC 6886, 3.5)."""
    if len(data) >= 4 and data[0] != _VERSION and data[1] & _ANSWER and data[2:4] == b"\x00\x01":
        return Refused(_RESULTS[_UNSUPPORTED_VERSION])
    return None


def _in_ipv6(address: str) -> bytes:
    return b"\x00" * 10 + b"\xff\xff" + ipaddress.IPv4Address(address).packed
