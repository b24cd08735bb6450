"""People at terminals: they press keys, and read what the screen shows."""

from __future__ import annotations

import asyncio
import contextlib
import html
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any

from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from tincan.apps.chat.events import MessageReceived
from tincan.apps.doctor import Finding, Verdict
from tincan.meet.mailbox import Side
from tincan.tasks import settle
from tincan.tui.app import TinCanApp
from tincan.tui.seam import Dialect, MakeConversation, Opening, Outcome, Request, Services
from unit.tui.memory import PHRASE, Exchange, MemoryConversation

PATIENCE = 120.0
"""Seconds after which a test gives up; only a hang takes as long."""

NOON = datetime(2026, 3, 14, 12, 1)

_NAMES = {" ": "space", "/": "slash", "-": "minus", "?": "question_mark"}

_TEXT = re.compile(r'<text [^>]*?x="([0-9.]+)" y="([0-9.]+)"[^>]*>(.*?)</text>')
_CELL, _LINE = 12.2, 24.4

FINDINGS = (
    Finding("addresses", True, "192.0.2.7 (eth0), 2001:db8::7 (eth0)"),
    Finding("NAT", None, "address-dependent mapping (symmetric): direct links work with most peers"),
    Finding("LAN discovery", True, "multicast works: cans on this LAN find each other without a server"),
    Finding("tap", False, "/dev/net/tun is missing: virtual networks cannot be made here"),
)


async def healthy(show: Callable[[Finding], None]) -> Verdict:
    for finding in FINDINGS:
        show(finding)
    return Verdict.GOOD


class Seat:
    """One person at one terminal."""

    def __init__(self, app: TinCanApp, pilot: Pilot[Outcome]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        """Press keys, as quickly as a terminal sends them. They are handled later: wait for what they do."""
        for key in keys:
            self.app.post_message(Key(_NAMES.get(key, key), key if len(key) == 1 else None))
        await asyncio.sleep(0)

    async def type(self, text: str) -> None:
        """Type a text and Enter."""
        await self.press(*("ctrl+j" if character == "\n" else character for character in text), "enter")

    def lines(self) -> list[str]:
        """What the screen shows, line by line."""
        rows: dict[int, str] = {}
        for x, y, text in _TEXT.findall(self.app.export_screenshot()):
            if "clip-path" not in text:
                row = round(float(y) / _LINE)
                column = round(float(x) / _CELL)
                rows[row] = rows.get(row, "").ljust(column) + html.unescape(text).replace("\xa0", " ")
        return [rows.get(row, "").rstrip() for row in range(max(rows, default=0) + 1)]

    def screen(self) -> str:
        return "\n".join(self.lines())

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.03)

    async def sees(self, *texts: str) -> None:
        """Wait until the screen shows all of these."""
        try:
            await self.until(lambda: all(text in self.screen() for text in texts))
        except TimeoutError:
            raise AssertionError(f"{texts} not in:\n{self.screen()}") from None

    async def sees_no(self, text: str) -> None:
        """Wait until the screen does not show this any more."""
        await self.until(lambda: text not in self.screen())

    async def focuses(self, widget: str) -> None:
        """Wait until the keys go to this widget."""
        await self.until(lambda: self.app.focused is not None and self.app.focused.id == widget)

    async def left(self) -> Outcome:
        """Wait until the screens are left."""
        await self.until(lambda: self.app.return_value is not None)
        outcome = self.app.return_value
        assert outcome is not None
        return outcome

    def still(self) -> None:
        """Stop what moves by itself."""
        for kind in (Input, TextArea):
            for widget in self.app.screen.query(kind):
                widget.cursor_blink = False


class Peer:
    """Somebody at the other end whose screen does not matter: he talks, and takes what comes."""

    def __init__(self, conversation: MemoryConversation) -> None:
        self.conversation = conversation
        self.heard: list[str] = []

    async def take(self) -> None:
        async with self.conversation as conversation:
            async for event in conversation.events():
                if isinstance(event, MessageReceived):
                    self.heard.append(event.text)

    async def type(self, text: str) -> None:
        await self.conversation.send(text)

    async def sees(self, text: str) -> None:
        """Wait until this was said."""
        async with asyncio.timeout(PATIENCE):
            while not any(text in heard for heard in self.heard):
                await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def answered(exchange: Exchange | None = None, **options: Any) -> AsyncIterator[tuple[Seat, Peer]]:
    """Ada at her screen, connected with Bob, who has none."""
    exchange = exchange or Exchange()
    async with seated(exchange.make, Request(Side.ATTACH, PHRASE, name="Ada"), **options) as ada:
        bob = Peer(exchange.make(Request(Side.TAP, PHRASE, name="Bob")))
        taking = asyncio.create_task(bob.take())
        await ada.sees("Bob is here.", "23 ms")
        yield ada, bob
        await settle(taking)


@contextlib.asynccontextmanager
async def talking(**options: Any) -> AsyncIterator[tuple[Seat, Seat]]:
    """Ada and Bob, connected, each at a screen."""
    exchange = Exchange()
    async with (
        seated(exchange.make, Request(Side.ATTACH, PHRASE, name="Ada"), **options) as ada,
        seated(exchange.make, Request(Side.TAP, PHRASE, name="Bob"), **options) as bob,
    ):
        await ada.sees("Bob is here.")
        await bob.sees("Ada is here.")
        yield ada, bob


@contextlib.asynccontextmanager
async def seated(
    make: MakeConversation,
    opening: Opening = None,
    *,
    name: str = "",
    size: tuple[int, int] = (80, 24),
    dialects: tuple[Dialect, ...] = (Dialect.NATIVE,),
    examine: Callable[[Callable[[Finding], None]], Awaitable[Verdict]] = healthy,
    goodbye: float = PATIENCE,
) -> AsyncIterator[Seat]:
    """Sit somebody down at a terminal with the screens open."""
    services = Services(make, examine, dialects=dialects, name=name, now=lambda: NOON, goodbye=goodbye)
    app = TinCanApp(services, opening)
    async with app.run_test(size=size) as pilot:
        yield Seat(app, pilot)
