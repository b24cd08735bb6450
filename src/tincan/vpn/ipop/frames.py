"""Frames for controllers: they see Ethernet always, and the tap has none in IP mode."""

from __future__ import annotations

from typing import Final

from tincan.vpn.module.methods import Mode

_EVERYBODY: Final = b"\xff" * 6
_IPV4: Final = b"\x08\x00"
_IPV6: Final = b"\x86\xdd"
_TYPES: Final = {4: _IPV4, 6: _IPV6}
_HEADER: Final = 14


def from_tap(packet: bytes, mode: Mode, mac: str) -> bytes | None:
    """Return a packet of the tap as the frame that the original's tap would have had; None for what is none."""
    if mode == "switch":
        return packet if len(packet) >= _HEADER else None
    kind = _TYPES.get(packet[0] >> 4) if packet else None
    return None if kind is None else _EVERYBODY + bytes.fromhex(mac.replace(":", "")) + kind + packet


def to_tap(frame: bytes, mode: Mode) -> bytes | None:
    """Return a controller's frame as the tap takes it; None for what an IP tap has no use for (ARP, say)."""
    if len(frame) < _HEADER:
        return None
    if mode == "switch":
        return frame
    packet = frame[_HEADER:]
    kind = _TYPES.get(packet[0] >> 4) if packet else None
    return packet if kind is not None and frame[12:14] == kind and len(packet) >= 20 else None
