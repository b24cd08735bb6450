"""The sockets, for real, on this machine's loopback."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator

import pytest

from ports import free_port
from tincan.errors import WorldError
from tincan.vpn.ipop.overlay import MemoryServer
from tincan.vpn.ipop.senders import TABLES
from tincan.vpn.ipop.service import DANGERS, serve, users
from tincan.vpn.ipop.start import NoOverlay
from tincan.vpn.ipop.wire import Release
from tincan.vpn.module.memory import MemoryNetwork

pytestmark = pytest.mark.skipif(not os.path.exists(TABLES[0]), reason="needs Linux")


@contextlib.asynccontextmanager
async def serving(port: int, said: list[str], release: Release = Release.V14) -> AsyncIterator[None]:
    module = MemoryNetwork().module("here")
    ready = asyncio.Event()
    overlay = MemoryServer().overlay()
    async with asyncio.TaskGroup() as group:
        work = serve(module, overlay, release, port=port, say=said.append, told=lambda *_: None, ready=ready.set)
        task = group.create_task(work)
        waiting = group.create_task(ready.wait())
        await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            yield
        finally:
            task.cancel()


def ask(host: str, port: int, data: bytes) -> bytes:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(120)
        sock.sendto(data, (host, port))
        return sock.recv(65507)


async def test_both_families_are_answered() -> None:
    said: list[str] = []
    port = free_port()
    async with serving(port, said):
        for host in ("127.0.0.1", *(["::1"] if len(said) == len(DANGERS) else [])):
            answer = await asyncio.to_thread(ask, host, port, b'\x02\x01{"m": "echo_request", "msg": "hello"}')
            assert answer[:2] == b"\x02\x01"
            assert json.loads(answer[2:]) == {"type": "echo_request", "msg": "hello"}
    assert said[-len(DANGERS) :] == list(DANGERS)


async def test_a_port_that_is_taken() -> None:
    port = free_port()
    async with serving(port, []):
        with pytest.raises(WorldError, match="--ipop-port"):
            await serve(
                MemoryNetwork().module("other"),
                MemoryServer().overlay(),
                Release.V16,
                port=port,
                say=lambda _: None,
                told=lambda *_: None,
            )


@pytest.mark.parametrize(("by", "more"), [("1234", {1234}), ("", set()), ("x", set()), ("-1", set())])
def test_who_is_listened_to(monkeypatch: pytest.MonkeyPatch, by: str, more: set[int]) -> None:
    monkeypatch.setenv("SUDO_UID", by)
    assert users() == {0, os.geteuid(), os.getuid()} | more


async def test_without_xmpp_every_login_fails_and_says_why() -> None:
    from tincan.vpn.ipop.effects import Login

    overlay = NoOverlay()
    await overlay.run(Login("a@can.test", "xmpp.test", 5222, "aa" * 20, "secret"))
    assert "pip install" in getattr(await overlay.event(), "reason", "")
    assert not overlay.send("aa" * 20, "ping", "")
