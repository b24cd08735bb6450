"""What this machine and network can do: the examination behind `tin-can doctor` and the doctor's screen.

It prints nothing: each `Finding` is handed to whoever shows it, as soon as it is known.
"""

from __future__ import annotations

import asyncio
import enum
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from tincan.errors import TinCanError
from tincan.nat.addresses import Interface, interfaces
from tincan.nat.servers import IceServer

PATIENCE: Final = 8.0
"""Seconds for one question."""


@dataclass(frozen=True)
class Finding:
    """One answer. ``good`` None: neither good nor bad."""

    about: str
    good: bool | None
    text: str


class Verdict(enum.Enum):
    """What it all comes to; the value is the exit code of `tin-can doctor`."""

    GOOD = 0
    """Two cans can meet and be connected here."""

    NOWHERE_TO_MEET = 3
    NO_PATH_OUT = 6


async def examine(boards: Sequence[str], known: Sequence[IceServer], show: Callable[[Finding], None]) -> Verdict:
    """Examine this machine, the switchboards at the URLs ``boards`` and the STUN and TURN servers ``known``."""
    found = interfaces()
    show(_addresses(found))
    stun = [s for s in known if s.kind == "stun"]
    turn = [s for s in known if s.kind == "turn"]
    # Asked side by side, told in this order as soon as each is known.
    questions: list[tuple[str, Awaitable[Finding]]] = [
        ("NAT", _nat(stun, found)),
        *((f"TURN {s.host}", _turn(s)) for s in turn),
        *((f"switchboard {url}", _switchboard(url)) for url in boards),
        ("LAN discovery", _lan()),
        ("audio", _audio()),
    ]
    answers: list[Finding] = []
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_ask(about, question)) for about, question in questions]
        for task in tasks:
            answers.append(await task)
            show(answers[-1])
    show(_tap())
    if not boards:
        show(Finding("switchboard", None, "none is named: only cans on this LAN or machine can be met"))
    return _verdict(found, answers, bool(boards))


def _verdict(found: list[Interface], answers: list[Finding], boards: bool) -> Verdict:
    places = [a.good for a in answers if a.about.startswith(("switchboard", "LAN"))]
    if not any(places):
        return Verdict.NOWHERE_TO_MEET
    outward = any(not i.address.is_loopback for i in found)
    ways = [a.good for a in answers if a.about.startswith(("NAT", "TURN"))]
    good = outward and (any(way is not False for way in ways) or not boards)
    return Verdict.GOOD if good else Verdict.NO_PATH_OUT


async def _ask(about: str, question: Awaitable[Finding]) -> Finding:
    try:
        async with asyncio.timeout(PATIENCE):
            return await question
    except TimeoutError:
        return Finding(about, False, "does not answer")
    except OSError as exc:
        return Finding(about, False, exc.strerror or str(exc) or type(exc).__name__)
    except TinCanError as exc:
        return Finding(about, False, str(exc))


def _addresses(found: list[Interface]) -> Finding:
    outward = [f"{i.address} ({i.name})" for i in found if not i.address.is_loopback]
    if not outward:
        return Finding("addresses", None, "only loopback: cans on this machine can be met, and nobody else")
    return Finding("addresses", True, ", ".join(outward))


async def _nat(stun: list[IceServer], found: list[Interface]) -> Finding:
    from tincan.link.ice import mapped_addresses

    if not stun:
        return Finding("NAT", None, "not examined: no STUN server is named")
    answers = await mapped_addresses(stun, PATIENCE / 2)
    if not answers:
        return Finding("NAT", False, "no STUN server answers: UDP is blocked, or there is no way out")
    mapped = {f"{host}:{port}" for host, port in answers}
    if any(host == str(i.address) for i in found for host, _ in answers):
        return Finding("NAT", True, f"none: this machine is {answers[0][0]} to the outside")
    if len(answers) == 1:
        return Finding("NAT", True, f"yes: the outside sees {mapped.pop()} (two STUN servers would tell its kind)")
    if len(mapped) == 1:
        return Finding("NAT", True, f"endpoint-independent mapping, seen as {mapped.pop()}: direct links work")
    text = "address-dependent mapping (symmetric): direct links work with most peers, else a TURN server is needed"
    return Finding("NAT", None, text)


async def _turn(server: IceServer) -> Finding:
    from tincan.link.ice import probe_turn

    host, port = await probe_turn(server)
    return Finding(f"TURN {server.host}", True, f"relays over {server.transport} from {host}:{port}")


async def _switchboard(url: str) -> Finding:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidHandshake

    started = time.monotonic()
    try:
        async with connect(url, open_timeout=PATIENCE, user_agent_header=None) as socket:
            await (await socket.ping())
    except InvalidHandshake as exc:
        return Finding(f"switchboard {url}", False, f"answers, but not as a switchboard does ({exc})")
    return Finding(f"switchboard {url}", True, f"answers, {(time.monotonic() - started) * 1000:.0f} ms to connect")


async def _lan() -> Finding:
    """Announce something by mDNS and look for it ourselves."""
    import secrets

    from tincan.meet.places.mdns import announcing, asking

    tag = secrets.token_hex(8)
    async with announcing(tag, 9), asking(tag, 2.0) as answers:
        async for _ in answers:
            break
    return Finding("LAN discovery", True, "multicast works: cans on this LAN find each other without a server")


async def _audio() -> Finding:
    """Which devices a call would take; no device is opened, and no sound is made."""
    from tincan.audio import echo, opus
    from tincan.audio.devices import Choice, set_up
    from tincan.audio.system import SystemSound

    opus.library()  # raises `DeviceMissing` with what to install
    there = await SystemSound().devices()
    setup = set_up(Choice(), there)
    if setup.nothing:
        return Finding("audio", None, "there is no microphone and no speaker here: calls carry text only")
    microphone = f"microphone '{setup.microphone.name}'" if setup.microphone else "no microphone (one can listen)"
    speaker = f"speaker '{setup.speaker.name}'" if setup.speaker else "no speaker (one can talk)"
    canceller = echo.available()
    cancels = f"is cancelled by {canceller.value}" if canceller else "is not cancelled: use a headset"
    return Finding("audio", True, f"{microphone}, {speaker}, echo {cancels}; try it with: tin-can talk --test")


def _tap() -> Finding:
    if not sys.platform.startswith("linux"):
        return Finding("tap", None, "virtual networks need Linux")
    if not os.path.exists("/dev/net/tun"):
        return Finding("tap", False, "/dev/net/tun is missing: virtual networks cannot be made here")
    usable = os.access("/dev/net/tun", os.R_OK | os.W_OK) and hasattr(os, "geteuid") and os.geteuid() == 0
    text = "/dev/net/tun can be used" if usable else "/dev/net/tun is there; using it needs root or CAP_NET_ADMIN"
    return Finding("tap", True if usable else None, text)
