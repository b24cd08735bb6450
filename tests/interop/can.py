"""Our side of a conversation with pypeer, as the command line speaks it: lines in, events as JSON out.

can.py attach-string|tap [ROOM[:PASSWORD]] --pypeer --firebase URL [--stun URL] [--timeout SECONDS] --json
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import secrets
import signal
import sys
import threading

from tincan.apps.chat import Closed, MessageReceived
from tincan.apps.conversation import Conversation
from tincan.apps.dialects.pypeer import Room, generate_room, parse_room, pypeer_conversation
from tincan.errors import TinCanError
from tincan.link.dial import Connected
from tincan.meet.events import PeerFound, PlaceTrouble, Waiting
from tincan.nat.servers import parse_server


def tell(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), flush=True)


async def speak(conversation: Conversation) -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        with contextlib.suppress(RuntimeError):
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\n"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    while (line := await lines.get()) is not None:
        await conversation.send(line)
    await conversation.goodbye(loop.time() + 10)


async def talk(options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    room = parse_room(options.phrase) if options.phrase else Room(generate_room(secrets.choice))
    async with pypeer_conversation(
        host=options.command == "attach-string",
        room=room.name,
        password=room.password,
        url=options.firebase,
        servers=tuple(parse_server(url) for url in options.stun),
        timeout=options.timeout,
    ) as conversation:
        speaking = None
        try:
            async for event in conversation.events():
                if isinstance(event, Waiting):
                    tell("waiting", code=event.code, phrase=event.phrase.text)
                elif isinstance(event, PlaceTrouble):
                    print(event.text, file=sys.stderr, flush=True)
                elif isinstance(event, PeerFound):
                    tell("meeting", place=event.place)
                elif isinstance(event, Connected):
                    tell("connected", path=event.path, place=event.place)
                    speaking = asyncio.create_task(speak(conversation))
                elif isinstance(event, MessageReceived):
                    tell("message", text=event.text, id=event.id)
                elif isinstance(event, Closed):
                    tell("closed", reason=event.reason.value)
                    if event.error is not None:
                        raise event.error
        finally:
            if speaking is not None:
                speaking.cancel()
                await asyncio.gather(speaking, return_exceptions=True)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["attach-string", "tap"])
    parser.add_argument("phrase", nargs="?")
    parser.add_argument("--firebase", required=True)
    parser.add_argument("--stun", action="append", default=[])
    parser.add_argument("--timeout", type=float, default=180.0)
    parser.add_argument("--name")
    for flag in ("--pypeer", "--json"):
        parser.add_argument(flag, action="store_true", required=True)
    try:
        asyncio.run(talk(parser.parse_args()))
    except TinCanError as exc:
        tell("error", code=exc.exit_code, text=str(exc))
        print(f"tin-can: {exc}", file=sys.stderr)
        return exc.exit_code
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
