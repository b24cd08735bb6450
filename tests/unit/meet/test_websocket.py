"""The WebSocket to a switchboard: what loading it costs, and that a proxy of the environment is asked."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from unit.cli.programs import run

TRY = """
import asyncio, sys
from tincan.meet.places.websocket import WebSocketTrouble, websocket

async def attempt():
    try:
        async with websocket("ws://192.0.2.1:{port}/v1", max_size=1000, max_queue=1):
            pass
    except WebSocketTrouble as exc:
        print(exc)

asyncio.run(attempt())
print("urllib.request" in sys.modules)
"""


@pytest.mark.skipif(sys.platform in ("darwin", "win32"), reason="systems that name proxies elsewhere, too")
def test_nothing_is_loaded_for_a_proxy_where_none_is_named(tmp_path: Path) -> None:
    code = TRY.format(port=9).replace("192.0.2.1", "127.0.0.1")
    done = run(tmp_path, code=code, no_proxy="*", HTTP_PROXY="")
    assert done.stdout.splitlines() == ["cannot be reached (connection refused)", "False"], done.stderr


async def test_a_proxy_of_the_environment_is_asked(tmp_path: Path) -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        proxy = f"http://127.0.0.1:{port}"
        done = await asyncio.to_thread(run, tmp_path, code=TRY.format(port=4444), http_proxy=proxy, https_proxy=proxy)
    assert asked == [b"CONNECT 192.0.2.1:4444 HTTP/1.1\r\n"], done.stderr
    assert done.stdout.splitlines()[-1] == "True"
