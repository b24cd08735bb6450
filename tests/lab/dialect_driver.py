"""Drives the conversations of the dialects as the command line will: options in, lines in, JSON events out.

    dialect_driver.py attach-string SECRET --classic --relay URL [--stun URL]
    dialect_driver.py attach-string --static-link [--file PATH]     the answer: from PATH, or pasted
    dialect_driver.py tap OFFER --static-link                       or the offer from --file PATH

Until it is connected, lines of stdin are pasted; then they are messages. The end of stdin is a goodbye.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from tincan.apps.chat import Closed, Delivered, MessageReceived, PeerHello
from tincan.apps.conversation import Conversation
from tincan.apps.dialects.classic_relay import classic_conversation
from tincan.apps.dialects.reading import Paste, from_file, read_file
from tincan.apps.dialects.static_link import static_conversation
from tincan.apps.dialects.static_news import AnswerReady, AnswerUnusable, OfferReady, StaticNews, WordsReady
from tincan.errors import TinCanError
from tincan.link.dial import Connected
from tincan.meet.events import PeerFound, PlaceTrouble, Waiting
from tincan.meet.phrase import parse
from tincan.nat.servers import parse_server

MODES = {"attach-string": "attach", "tap": "tap", "talk": "talk"}


def say(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


def show(news: StaticNews) -> None:
    match news:
        case OfferReady(url):
            say("offer", url=url)
        case AnswerReady(url):
            say("answer", url=url)
        case AnswerUnusable(text):
            say("trouble", text=text)
        case WordsReady(words):
            say("words", words=words)


class Lines:
    """The lines of stdin, for whoever wants the next one."""

    def __init__(self) -> None:
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._rest = b""
        asyncio.get_running_loop().add_reader(0, self._read)

    def _read(self) -> None:
        data = os.read(0, 65536)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._lines.put_nowait(line.decode())
        if not data:
            asyncio.get_running_loop().remove_reader(0)
            self._lines.put_nowait(None)

    async def next(self) -> str | None:
        return await self._lines.get()

    async def paste(self) -> str:
        paste = Paste()
        while True:
            line = await self.next()
            if line is None:
                raise TinCanError("The input ended before an answer was pasted.")
            if (text := paste.add(line)) is not None:
                return text


def conversation(given: argparse.Namespace, lines: Lines) -> Conversation:
    options: dict[str, Any] = {"mode": MODES[given.command], "timeout": given.timeout}
    options["servers"] = tuple(parse_server(url) for url in given.stun)
    if given.classic and not given.static_link:
        return classic_conversation(secret=given.phrase, relay=given.relay, **options)
    offers = given.command == "attach-string"
    offer = None if offers else given.phrase or read_file(given.file)
    phrase = os.environ.get("TIN_CAN_PHRASE")
    return static_conversation(
        offer_text=offer,
        show=show,
        read_answer=from_file(given.file) if given.file else lines.paste,
        phrase=parse(phrase) if phrase else None,
        name=given.name,
        classic=given.classic,
        **options,
    )


async def speak(talk: Conversation, lines: Lines) -> None:
    while (line := await lines.next()) is not None:
        await talk.send(line)
    await talk.goodbye(asyncio.get_running_loop().time() + 10)


def tell(event: object) -> None:
    match event:
        case Waiting(code):
            say("waiting", code=code)
        case PlaceTrouble(_, text):
            say("trouble", text=text)
        case PeerFound(place):
            say("meeting", place=place)
        case PeerHello(name, agent):
            say("hello", name=name, agent=agent)
        case Connected(path, place):
            say("connected", path=path, place=place)
        case MessageReceived(number, text):
            say("message", text=text, id=number)
        case Delivered(number):
            say("delivered", id=number)


async def run(given: argparse.Namespace) -> int:
    lines = Lines()
    speaking = None
    async with conversation(given, lines) as talk:
        async for event in talk.events():
            tell(event)
            if isinstance(event, Connected):
                speaking = asyncio.create_task(speak(talk, lines))
            if isinstance(event, Closed):
                if speaking is not None:
                    speaking.cancel()
                if event.error is not None:
                    raise event.error
                say("closed", reason=event.reason.value)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=MODES)
    parser.add_argument("phrase", nargs="?")
    for flag in ("--classic", "--static-link", "--json"):
        parser.add_argument(flag, action="store_true")
    for option in ("--relay", "--file", "--name"):
        parser.add_argument(option, default="")
    parser.add_argument("--stun", action="append", default=[])
    parser.add_argument("--timeout", type=float, default=600.0)
    try:
        return asyncio.run(run(parser.parse_args()))
    except TinCanError as exc:
        say("error", code=exc.exit_code, text=str(exc))
        print(f"tin-can: {exc}", file=sys.stderr)
        return exc.exit_code


if __name__ == "__main__":
    sys.exit(main())
