"""The pumps' processes, as their driver sees them: started, spoken to, ended."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import socket
import sys
from dataclasses import dataclass, field
from typing import Protocol

from tincan.vpn.path.hub import SO_SNDBUFFORCE
from tincan.vpn.path.plane import Interface, Mode
from tincan.vpn.path.words import Done

MESSAGE = 1 << 18
"""Bytes of the longest message."""
END_TIMEOUT = 5.0


class TapLike(Protocol):
    """What a plane needs of a tap; `tincan.vpn.path.tap.Tap`, or one in memory."""

    name: str
    fd: int
    datagram_runs: bool

    def configure(self, mtu: int, addresses: tuple[Interface, ...], segments: int) -> None:
        """Set the interface up."""

    def close(self) -> None:
        """Let go of it."""


class Pump(enum.Enum):
    """What a pump does."""

    IN = "in"
    OUT = "out"
    BOTH = "both"


@dataclass
class PumpProcess:
    """One pump, as its driver sees it."""

    which: Pump
    process: asyncio.subprocess.Process
    control: socket.socket
    asked: int = 0
    why: str = ""
    """What it said of its end."""
    answers: dict[int, asyncio.Future[Done]] = field(default_factory=dict)


async def start(
    stack: contextlib.AsyncExitStack, which: Pump, tap: TapLike, partner: socket.socket, mode: Mode
) -> PumpProcess:
    """Start a pump that ends with the stack; ``partner`` is its end of what the two talk through."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, contextlib.ExitStack() as unfinished:
        unfinished.callback(ours.close)
        for end in (ours, theirs):  # packets of relayed links go through it, in bursts
            for option in (socket.SO_SNDBUF, SO_SNDBUFFORCE):
                with contextlib.suppress(PermissionError):
                    end.setsockopt(socket.SOL_SOCKET, option, 4 * MESSAGE)
        fds = (theirs.fileno(), partner.fileno(), tap.fd)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "tincan.vpn.path.pump",
            which.value,
            *map(str, fds),
            mode.value,
            str(int(tap.datagram_runs)),
            stdin=asyncio.subprocess.DEVNULL,
            pass_fds=fds,
        )
        stack.push_async_callback(_end, process)
        stack.push(unfinished.pop_all())  # the socket is closed first, which ends the process
    ours.setblocking(False)
    return PumpProcess(which, process, ours)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Wait for a pump, which ends when its socket is closed."""
    try:
        async with asyncio.timeout(END_TIMEOUT):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def send(control: socket.socket, message: bytes, fds: list[int]) -> None:
    """Send a message, waiting while the pump is behind."""
    while True:
        try:
            if fds:
                socket.send_fds(control, [message], fds)
            else:
                control.send(message)
            return
        except BlockingIOError:
            await asyncio.sleep(0.01)
