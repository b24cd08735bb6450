"""The sentences of the screens that depend on something."""

from __future__ import annotations

from typing import Final

from tincan.apps.doctor import Verdict
from tincan.meet.mailbox import Side
from tincan.tui.seam import Dialect, Request

PATHS: Final = {
    "lan": "on the LAN",
    "direct-udp": "direct (UDP)",
    "direct-tcp": "direct (TCP)",
    "relayed": "through a relay",
}

VERDICTS: Final = {
    Verdict.GOOD: "Two cans can meet and be connected here.",
    Verdict.NOWHERE_TO_MEET: "There is nowhere to meet: check the network, or name a switchboard.",
    Verdict.NO_PATH_OUT: "There is no path out: a TURN server is needed, or another network.",
}


_FLAGS: Final = {Dialect.NATIVE: "", Dialect.PYPEER: "--pypeer ", Dialect.CLASSIC: "--classic "}


def place_words(place: str) -> str:
    """Return what a place is called in a sentence."""
    return "the LAN" if place == "lan" else place


def path_words(path: str) -> str:
    """Say in words which way the string takes."""
    return PATHS.get(path, path)


def round_trip(seconds: float) -> str:
    """Say how long a message and its answer take."""
    thousandths = seconds * 1000
    return f"{thousandths:.1f} ms" if thousandths < 10 else f"{thousandths:.0f} ms"


def not_arrived(count: int) -> str:
    """Say how many messages the peer did not acknowledge; empty for none."""
    if not count:
        return ""
    return f"{count} message{'s' if count > 1 else ''} of yours did not arrive for sure."


def join_command(request: Request, phrase: str) -> str:
    """Return what the other one types."""
    command = "talk" if request.mode == "talk" else "tap"
    # A phrase of several words must be one argument; quotes inside it are the user's own riddle.
    argument = phrase if phrase.replace("-", "").replace("_", "").isalnum() else '"' + phrase + '"'
    return f"tin-can {command} {_FLAGS[request.dialect]}{argument}"


def side_words(side: Side) -> str:
    """Return what a screen of this side is called."""
    return "Host" if side is Side.ATTACH else "Join"
