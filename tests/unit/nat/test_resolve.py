"""Names to addresses, and a resolver that does not answer."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from typing import Any

import pytest

from tincan.nat.resolve import MAX_ASKING, is_address, resolve

PATIENCE = 120.0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "192.0.2.1", "fe80::1%lo"])
async def test_addresses_need_no_resolver(host: str) -> None:
    before = threading.active_count()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    assert is_address(host)
    assert await resolve(host, 80) == [(family, host)]
    assert threading.active_count() == before


async def test_localhost() -> None:
    async with asyncio.timeout(PATIENCE):
        found = await resolve("localhost", 80)
    assert {address for _, address in found} & {"127.0.0.1", "::1"}
    assert len(found) == len(set(found))
    assert all(family == (socket.AF_INET6 if ":" in address else socket.AF_INET) for family, address in found)


@pytest.mark.parametrize(
    "host", ["", ".", "..", "a" * 64 + ".invalid", "no spaces", "nul\0.invalid", "\udc80.invalid"]
)
async def test_what_is_no_name(host: str) -> None:
    assert not is_address(host)
    async with asyncio.timeout(PATIENCE):
        try:
            found = await resolve(host)
        except OSError:
            return
    assert host == ""  # the system may take that for itself
    assert found


async def test_a_name_that_does_not_exist() -> None:
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(OSError):
            await resolve("does-not-exist.invalid", 80)


async def test_nobody_waits_any_more() -> None:
    task = asyncio.create_task(resolve("localhost"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(PATIENCE):
        while any(thread.name == "resolve" for thread in threading.enumerate()):
            await asyncio.sleep(0)


async def test_not_without_number_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those count that have been given up: their threads cannot be."""
    answering = threading.Event()
    known = socket.getaddrinfo

    def slow(*args: Any, **kwargs: Any) -> Any:
        answering.wait(PATIENCE)
        return known(*args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    tasks = [asyncio.create_task(resolve("localhost")) for _ in range(MAX_ASKING)]
    try:
        await asyncio.sleep(0)
        for task in tasks[1:]:
            task.cancel()
        with pytest.raises(OSError, match="too many"):
            await resolve("localhost")
    finally:
        answering.set()
    async with asyncio.timeout(PATIENCE):
        assert await tasks[0]
        while any(thread.name == "resolve" for thread in threading.enumerate()):
            await asyncio.sleep(0)
        assert await resolve("localhost")


SLOW = """
import asyncio, socket, time
from tincan.nat.resolve import resolve

def silent(*args, **kwargs):
    time.sleep(600)

async def main():
    socket.getaddrinfo = silent  # a resolver that does not answer
    try:
        async with asyncio.timeout(0.1):
            await resolve("can.example", 80)
    except TimeoutError:
        print("gave up")

asyncio.run(main())
"""


def test_a_silent_resolver_does_not_hold_up_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "gave up\n"
    assert done.stderr == ""
