"""A switchboard as a process of its own: signals, exit code, and what it writes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import tincan
from unit.switchboard.wire import CODE, PATIENCE, Client, http

SOURCE = str(Path(tincan.__file__).parents[1])
PROGRAM = """
import logging, sys
logging.basicConfig(level=logging.NOTSET)
from tincan.switchboard.app import SwitchboardSettings, run
run(SwitchboardSettings(port=0), lambda url: print(url, flush=True))
print("stopped")
"""

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are another thing there")


@contextlib.asynccontextmanager
async def process() -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-X",
        "dev",
        "-c",
        PROGRAM,
        env=os.environ | {"PYTHONPATH": SOURCE},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert running.stdout is not None
    try:
        yield running, (await running.stdout.readline()).decode().strip()
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_gracefully(number: signal.Signals) -> None:
    async with process() as (running, url):
        async with Client.connected(url) as one, Client.connected(url) as idle:
            await one.open("attach", "one")
            # A socket on which nobody says anything, and one that does not read, hold nothing up.
            _, silent = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            running.send_signal(number)
            assert await one.error() == "closing"
            assert await idle.error() == "closing"
            async with asyncio.timeout(PATIENCE):
                out, err = await running.communicate()
            silent.close()
        assert running.returncode == 0, err.decode()
        assert out == b"stopped\n"
        assert b"Traceback" not in err
        assert b"Warning" not in err


async def test_it_logs_no_address_code_or_nameplate() -> None:
    async with process() as (running, url):
        async with Client.connected(url, subprotocols=["secret-code"]) as one, Client.connected(url) as two:
            plate = (await one.open("attach", "one", None))["nameplate"]
            await two.open("tap", "two")
            await two.socket.send("nonsense " + CODE)
            assert await two.error() == "malformed"
        await http(url, f"/v1?code={CODE}")
        await http(url, "/v1", "Upgrade: websocket", f"Connection: {CODE}")
        await http(url, f"/{CODE}\x01", "Bad header: ", f"Content-Length: {CODE}")
        running.terminate()
        _, err = await running.communicate()
    written = err.decode()
    assert "attach side: empty -> connected" in written, "the test sees the log"
    for secret in ("127.0.0.1", CODE, "one---", "secret-code", f" {plate}"):
        assert secret not in written, written
