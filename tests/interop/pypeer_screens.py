"""Drives the unmodified pypeer through its own screens, with its buttons and keys.

stdin takes a JSON list a line: ["host", PASSWORD], ["join", ROOM, PASSWORD], ["again", PASSWORD] (after a
wrong one), ["say", TEXT], ["quit"]. stdout tells what the screens show, one JSON object a line:
{"room": ...}, {"screen": ...}, {"line": ...} of the conversation, {"toast": ...}.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from pypeer.main import PyPeer
from textual.events import Paste
from textual.pilot import Pilot
from textual.widgets import RichLog

SHOWN = 200
"""Characters of a line; of a longer one its length is told."""


class Screens:
    """The application, and what has been told of it."""

    def __init__(self, pilot: Pilot[Any]) -> None:
        self._pilot = pilot
        self._app = pilot.app
        self._told: set[str] = set()
        self._screen = ""
        self._lines = 0

    async def do(self, what: str, *words: str) -> None:
        if what == "host":
            await self._pilot.click("#btn-host")
            await self._type("#host-password-input", words[0])
            await self._pilot.click("#btn-start-hosting")
        elif what == "join":
            await self._pilot.click("#btn-join")
            await self._type("#join-code-input", words[0])
            await self._type("#join-password-input", words[1])
            await self._pilot.click("#btn-connect")
        elif what == "again":
            self._app.screen.query_one("#join-password-input").clear()
            await self._type("#join-password-input", words[0])
            await self._pilot.click("#btn-connect")
        elif what == "say":
            await self._type("#message-input", words[0])
            await self._pilot.press("enter")
        elif what == "quit":
            await self._pilot.press("ctrl+q")

    async def _type(self, field: str, text: str) -> None:
        while not self._app.screen.query_one(field).region:  # before it has its place, a click goes elsewhere
            await self._pilot.pause()
        await self._pilot.click(field)
        self._app.post_message(Paste(text))  # as a terminal tells it; quicker than key by key
        await self._pilot.pause()

    def look(self) -> None:
        """Tell what is new on the screen."""
        screen = self._app.screen
        if type(screen).__name__ != self._screen:
            self._screen = type(screen).__name__
            tell(screen=self._screen)
        for label in screen.query("#host-code-display"):
            if not label.has_class("hidden"):
                self._once(room=str(label.render()))
        for log in screen.query("#messages-log").results(RichLog):
            for strip in log.lines[self._lines :]:
                text = strip.text.rstrip()
                tell(line=text if len(text) < SHOWN else f"{text[:20]}... {len(text)} characters")
            self._lines = len(log.lines)
        for toast in screen.query("Toast"):
            self._once(toast=str(toast.render()))

    def _once(self, **what: str) -> None:
        text = json.dumps(what)
        if text not in self._told:
            self._told.add(text)
            print(text, flush=True)


def tell(**what: str) -> None:
    print(json.dumps(what), flush=True)


async def main() -> None:
    loop = asyncio.get_running_loop()
    orders: asyncio.Queue[list[str]] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(orders.put_nowait, json.loads(line))
        loop.call_soon_threadsafe(orders.put_nowait, ["quit"])

    async with PyPeer().run_test(size=(120, 40), notifications=True) as pilot:
        screens = Screens(pilot)
        threading.Thread(target=read, daemon=True).start()
        while pilot.app.is_running:
            screens.look()
            try:
                async with asyncio.timeout(0.05):  # how often the screen is looked at
                    order = await orders.get()
            except TimeoutError:
                continue
            await screens.do(*order)
    tell(screen="")


if __name__ == "__main__":
    asyncio.run(main())
