"""A program for the laboratory: `mapped.py PORT` has a TCP port mapped and answers on it, until its input ends.

Writes "mapping ADDRESS PORT METHOD" for each mapping, and "left" when it has left the context.
"""

from __future__ import annotations

import asyncio
import logging
import sys

from tincan.nat.portmap import PortMapping, mapped_port


def found(mapping: PortMapping) -> None:
    print("mapping", mapping.address, mapping.port, mapping.method, flush=True)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"inside of " + await reader.readline())
    writer.close()


async def main(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(answer, "0.0.0.0", port)
    async with server:
        async with mapped_port(port, found):
            print("listening", flush=True)
            await loop.run_in_executor(None, sys.stdin.read)
        print("left", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.DEBUG, format="%(name)s %(message)s")
    asyncio.run(main(int(sys.argv[1])))
