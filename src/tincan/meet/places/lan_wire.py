"""What cans say to each other on the LAN: names that follow from a string code, a greeting and frames.

docs/protocol.md section 2. What comes from the network is bounded here.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import Final

from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed
from tincan.nat.addresses import interfaces

GREETING_TIMEOUT: Final = 5.0
"""Seconds that a connection has to name the string code, and the other end to answer."""

LOOPBACK_PORTS: Final = 3

BUSY: Final = "The line is busy: somebody else is already on that string."


def lan_tag(code: str) -> str:
    """Return the instance name under which a string code is announced."""
    return hashlib.sha256(b"tin-can/1 lan " + code.encode()).hexdigest()[:16]


def loopback_port(code: str, n: int) -> int:
    """Return the n-th loopback port of a string code, in the dynamic range (RFC 6335)."""
    digest = hashlib.sha256(b"tin-can/1 loopback %d " % n + code.encode()).digest()
    return 49152 + int.from_bytes(digest[:4], "big") % 16384


async def write_frame(writer: asyncio.StreamWriter, message: bytes) -> None:
    """Send one frame."""
    writer.write(len(message).to_bytes(4, "big") + message)
    await writer.drain()


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """Return one frame; raise `MailboxClosed` at the end of the connection or for a bad length."""
    try:
        length = int.from_bytes(await reader.readexactly(4), "big")
        if length > MAX_MESSAGE:
            raise MailboxClosed("The other end sent an oversized frame.")
        return await reader.readexactly(length)
    except (asyncio.IncompleteReadError, OSError):
        raise MailboxClosed("The other can left.") from None


def greeting(code: str) -> bytes:
    """Return what a visitor says first."""
    return b"tin-can/1 " + code.encode()


def loopback() -> str:
    """Return this machine's loopback address."""
    return "127.0.0.1" if any(str(i.address) == "127.0.0.1" for i in interfaces()) else "::1"


def multicast_refused(exc: OSError) -> str:
    """Return the sentence for a network without multicast."""
    reason = exc.strerror or str(exc) or "no reason given"
    return f"This network refuses multicast ({reason}), so cans on other machines of the LAN are not found by it."
