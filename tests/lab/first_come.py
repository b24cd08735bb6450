"""A can without a side of its own, for the laboratory: ``python first_come.py PHRASE [SWITCHBOARD [STUN]]``.

Prints the side it has come to once the string is tied, the path, and what the
other can said.
"""

from __future__ import annotations

import asyncio
import sys

from tincan.errors import TinCanError
from tincan.link.dial import LinkEvent, Settings, tie_string
from tincan.meet.events import SideTaken
from tincan.meet.phrase import parse
from tincan.nat.servers import parse_server


async def main(phrase: str, *servers: str) -> None:
    """Tie the string, say something, hear something."""
    sides: list[str] = []

    def tell(event: LinkEvent) -> None:
        if isinstance(event, SideTaken):
            sides.append(event.side.value)

    settings = Settings(servers[:1], servers=tuple(map(parse_server, servers[1:])), timeout=120)
    print("begun", flush=True)
    async with tie_string(None, parse(phrase), settings, tell) as link:
        print(f"tied {' '.join(sides)} {link.status.path.value}", flush=True)
        await link.control.send(f"from {sides[-1]}".encode())
        print("heard", (await link.control.receive()).decode(), flush=True)
        await link.control.drain()
        sys.stdin.readline()


if __name__ == "__main__":
    try:
        asyncio.run(main(*sys.argv[1:]))
    except TinCanError as exc:
        sys.exit(f"tin-can: {exc}")
