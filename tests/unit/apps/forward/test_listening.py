"""Where connections come in: Unix sockets, and ports that cannot be had."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from ports import free_port
from tincan.apps.forward import Forwarder, Listening
from tincan.apps.forward.listening import CannotListen, MayNotListen, NoSuchPlace
from unit.apps.forward.helpers import closed, echo, forwarding, plan

needs_unix = pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")

# Unix sockets


@needs_unix
async def test_unix_sockets_at_both_ends(tmp_path: Path) -> None:
    server = await asyncio.start_unix_server(echo, tmp_path / "target")
    door = tmp_path / "door"
    async with (
        server,
        forwarding(plan([f"{door}:{tmp_path}/target"]), plan(allow=[f"{tmp_path}/target"])) as (near, _),
    ):
        await near.hears(lambda event: isinstance(event, Listening))
        assert door.stat().st_mode & 0o077 == 0
        reader, writer = await asyncio.open_unix_connection(door)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        await closed(writer)
    assert not door.exists()


@needs_unix
async def test_a_path_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(CannotListen, match="exists already"):
        await opened(f"{tmp_path}/file:localhost:80")
    assert (tmp_path / "file").read_text() == "precious"
    with pytest.raises(NoSuchPlace, match="no directory"):
        await opened(f"{tmp_path}/missing/sock:localhost:80")


# Before anybody is met


async def opened(*local: str) -> None:
    async with Forwarder(plan(local), lambda event: None):
        pass


async def test_a_port_that_is_taken_is_named() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        for spec in (f"{port}:localhost:80", f"127.0.0.1:{port}:localhost:80", f"{port}:localhost:80/udp"):
            if spec.endswith("udp"):
                await opened(spec)  # that is another port
                continue
            with pytest.raises(CannotListen, match=f":{port};") as caught:
                await opened("0:localhost:80", spec)
            assert caught.value.exit_code == 1
    await opened(f"{port}:localhost:80")


async def test_an_address_that_this_machine_does_not_have_is_named() -> None:
    with pytest.raises(NoSuchPlace, match=r"192\.0\.2\.1:8080") as caught:
        await opened("192.0.2.1:8080:localhost:80")
    assert caught.value.exit_code == 2


def test_a_port_that_this_user_may_not_have_is_a_missing_permission() -> None:
    assert MayNotListen("").exit_code == 9
