"""Every screen, in both themes, as the picture in docs/screens.

After a change that is meant: UPDATE_SCREENS=1 pytest tests/unit/tui/test_snapshots.py, and look at the pictures.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tincan.meet.events import PlaceReady, PlaceTrouble, Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import parse
from tincan.tui.seam import Dialect, Request
from tincan.tui.talk import Phase
from unit.tui.memory import PHRASE, CallingExchange, Exchange
from unit.tui.seats import Seat, answered, seated

PICTURES = Path(__file__).parents[3] / "docs" / "screens"
_FONTS = re.compile(r"\s*@font-face \{.*?\}", re.DOTALL)
_PREFIX = re.compile(r"terminal-\d+")


async def compare(seat: Seat, name: str) -> None:
    """Compare what the seat shows with the pictures of this name, in both themes."""
    for theme in ("dark", "light"):
        seat.app.theme = f"tin-can-{theme}"
        seat.still()
        await seat.pilot.pause()
        picture = PICTURES / f"{name}-{theme}.svg"
        shown = normal(seat.app.export_screenshot())
        if os.environ.get("UPDATE_SCREENS"):
            PICTURES.mkdir(exist_ok=True)
            picture.write_text(shown, encoding="utf-8")
        assert picture.exists(), f"{picture.name} is missing; see the head of this file"
        assert shown == picture.read_text(encoding="utf-8"), f"{picture.name} differs; see the head of this file"
    seat.app.theme = "tin-can-dark"
    await seat.pilot.pause()


def normal(svg: str) -> str:
    """Without the number that depends on everything, and without fonts from elsewhere."""
    svg = _FONTS.sub("", _PREFIX.sub("terminal", svg)).replace("Fira Code", "DejaVu Sans Mono")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


async def test_start_palette_and_doctor() -> None:
    async with seated(Exchange().make) as ada:
        await ada.sees("Two cans, one string.")
        await compare(ada, "start")
        await ada.press("ctrl+p")
        await ada.sees("Search for commands", "Host (h)")
        await compare(ada, "palette")
        await ada.press("escape")
        await ada.sees("Two cans, one string.")
        await ada.press("d")
        await ada.sees("Two cans can meet and be connected here.")
        await compare(ada, "doctor")


async def test_host() -> None:
    async with seated(Exchange().make, Side.ATTACH) as ada:
        await ada.sees("Make the string")
        await ada.press(*"blue banana")
        await ada.sees("This phrase is weak")
        await compare(ada, "host")


async def test_join() -> None:
    async with seated(Exchange().make, Side.TAP, dialects=(Dialect.NATIVE, Dialect.PYPEER)) as bob:
        await bob.sees("Join the string")
        await bob.press("enter")
        await bob.sees("Type what the other one tells you.")
        await compare(bob, "join")


async def test_join_room() -> None:
    async with seated(Exchange().make, Side.TAP, dialects=(Dialect.PYPEER,)) as bob:
        await bob.sees("Password")
        await bob.press(*"K7QX2M")
        await bob.sees("K7QX2M")
        await compare(bob, "join-room")


@pytest.mark.parametrize(("name", "side"), [("waiting", Side.ATTACH), ("looking", Side.TAP)])
async def test_waiting(name: str, side: Side) -> None:
    async with seated(Exchange().make, Request(side, PHRASE)) as ada:
        await ada.sees("the LAN: reached")
        controller = ada.app.controller
        assert controller is not None
        for event in (
            Waiting("0123456789ab", parse(PHRASE)),
            PlaceReady("wss://can.example"),
            PlaceTrouble("wss://other.example", "The switchboard wss://other.example does not answer; trying again."),
        ):
            controller.talk.take(event, controller.now())
        controller.note("")
        await ada.sees("! wss://other.example")
        await compare(ada, name)


async def test_code() -> None:
    async with seated(Exchange().make, Request(Side.ATTACH, PHRASE), size=(60, 20)) as ada:
        await ada.sees("the LAN: reached")
        await ada.press("r")
        await ada.sees("██ ▄▄▄▄▄ █")
        await compare(ada, "code")


async def test_talking_and_the_end_of_it() -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, bob):
        await bob.type("Hello Ada, can you hear me?")
        await ada.sees("can you hear me?")
        await ada.type("Loud and clear. This line is long enough to be wrapped, so that one sees how it hangs.")
        await bob.sees("how it hangs")
        await bob.conversation.send("pulls the string tight", action=True)
        await ada.sees("pulls the string tight")
        await ada.type("Nothing in between:\n  no account,\n  no server that could read this.")
        await bob.sees("no server that could")
        await ada.until(lambda: ada.screen().count("✓✓") == 2)
        await bob.conversation.typing(True)
        await ada.sees("Bob is typing ...")
        await ada.press(*"So we are talking.")
        await ada.sees("So we are talking.")
        await compare(ada, "talking")
        await ada.press("f1")
        await ada.sees("Everywhere")
        await compare(ada, "help")
        await ada.press("escape")
        await ada.sees_no("Everywhere")
        for conversation in exchange.all:
            assert conversation.link is not None
            conversation.link.alter = lambda _, frame: None
        await ada.press("enter")
        await ada.until(lambda: any(line.endswith(" ✓") for line in ada.lines()))
        assert exchange.all[1].link is not None
        exchange.all[1].link.vanish()
        await ada.sees("1 message of yours")
        await compare(ada, "lost")


async def test_reconnecting() -> None:
    async with answered() as (ada, _):
        controller = ada.app.controller
        assert controller is not None
        controller.talk.phase = Phase.RECONNECTING
        controller.note("The path went silent; looking for another one ...")
        await ada.sees("reconnecting ...")
        await compare(ada, "reconnecting")


async def test_a_call() -> None:
    exchange = CallingExchange()
    async with answered(exchange) as (ada, bob):
        await bob.type("Shall we talk? My fingers are cold.")
        await ada.sees("cold.")
        exchange.calls.ring()
        await ada.sees("Bob calls you.")
        await ada.until(lambda: not ada.app.screen.query_one("#answers").disabled)
        await compare(ada, "ringing")
        await ada.press("y")
        await ada.sees("You are talking with Bob.")
        exchange.calls.show(
            seconds=151.4, level=-14.0, peer_level=-31.0, speaking=True, rtt=0.0234, loss=0.012, loss_there=0.0,
            jitter_ms=4.2, mouth_to_ear_ms=78.3, redundant=True, bitrate=32000, echo=True,
        )  # fmt: skip
        await ada.sees("2:31", "78 ms to the ear")
        await compare(ada, "call")
        exchange.calls.show(muted=True, level=-127.0, speaking=False, peer_muted=True)
        await ada.sees("muted")
        await compare(ada, "call-muted")


@pytest.mark.parametrize(("name", "size"), [("offer", (80, 24)), ("offer-small", (60, 20))])
async def test_offer(name: str, size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    holidays = tmp_path / "holidays"
    holidays.mkdir()
    for number in range(3):
        (holidays / f"beach-{number}.jpg").write_bytes(bytes(1_400_000))
    async with answered(size=size) as (ada, bob):
        monkeypatch.chdir("/")
        files = bob.conversation.files
        assert files is not None
        files.send(str(holidays))
        await ada.sees("They would be put into /")
        await ada.until(lambda: not ada.app.screen.query_one("#answers").disabled)
        await compare(ada, name)
        if name == "offer":
            await ada.press("n")
            await ada.sees("you declined it.")
            await compare(ada, "declined")
