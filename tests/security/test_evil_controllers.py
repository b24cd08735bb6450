"""Who may talk to a TinCan module: root and its own user, and nobody else on the machine; and what they may say."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import socket
import sys
import tempfile

import pytest

from tincan.vpn.module.api import Asked, ServerSide
from tincan.vpn.module.memory import MemoryNetwork
from tincan.vpn.module.methods import METHODS
from tincan.vpn.module.server import listening

WITHIN = 120.0
NOBODY = 65534

ASKS = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(120)
try:
    s.connect(sys.argv[1])
except PermissionError:
    sys.exit("refused")
try:
    s.sendall(b'{"jsonrpc":"2.0","id":1,"method":"identity"}\\n')
    said = s.recv(1000)
except ConnectionError:
    said = b""
sys.exit("answered" if said else "hung up on")
"""


async def as_user(uid: int, path: str) -> str:
    """Ask the module at a path as somebody; return what came of it."""
    python = shutil.which("python3", path="/usr/bin:/bin")  # this one may be where others cannot read
    if python is None:
        pytest.skip("no Python that every user may run")
    process = await asyncio.create_subprocess_exec(
        python, "-I", "-c", ASKS, path, stderr=asyncio.subprocess.PIPE, user=uid, group=uid, extra_groups=[]
    )
    _, said = await process.communicate()
    return said.decode().strip()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="to be another user takes root, on Linux")
async def test_a_local_user_without_rights_cannot_talk_to_the_api() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # the socket alone shall keep others out
        path = f"{folder}/linkd.sock"
        async with asyncio.timeout(WITHIN), listening(MemoryNetwork().module("alice"), path):
            assert await as_user(0, path) == "answered"
            assert await as_user(NOBODY, path) == "refused"
            os.chmod(path, 0o666)  # somebody means well: the second lock still holds
            assert await as_user(NOBODY, path) == "hung up on"
            assert await as_user(0, path) == "answered"


def noise(chance: random.Random) -> bytes:
    """A line that is nearly a call."""
    method = chance.choice([*METHODS, "identity ", "", "event", "__init__"])
    values = [None, True, 0, -1, 2**70, 1e308, "", "x" * 3000, "\0", [], [[]], {}, {"a": {}}, "100.64.0.1/10", "AAAA"]
    names = [
        "peer",
        "link",
        "controlling",
        "servers",
        "description",
        "candidates",
        "addresses",
        "data",
        "mode",
        "ip4",
    ]
    params = {chance.choice(names): chance.choice(values) for _ in range(chance.randrange(4))}
    call: dict[str, object] = {"jsonrpc": "2.0", "id": chance.choice([*values[:8], 7]), "method": method}
    call["params"] = chance.choice([params, params, params, *values])
    for name in chance.sample(sorted(call), chance.choice([0, 0, 0, 1])):
        del call[name]
    line = bytearray(json.dumps(call).encode())
    for _ in range(chance.choice([0, 0, 1, 8])):
        line[chance.randrange(len(line))] = chance.randrange(256)
    return bytes(line[: chance.choice([len(line), len(line), chance.randrange(1, len(line) + 1)])])


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_is_said_is_answered_and_breaks_nothing(seed: int) -> None:
    """Thousands of lines, cut anywhere: each that asks for an answer gets one, and the module lives."""
    chance = random.Random(seed)
    lines = [noise(chance).replace(b"\n", b" ") for _ in range(1500)]
    answered = 0
    side = ServerSide()  # says which of them are to be answered
    for line in lines:
        for heard in side.receive(line + b"\n"):
            answered += heard.answered if isinstance(heard, Asked) else bool(heard.line)
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        module = MemoryNetwork().module("alice")
        async with asyncio.timeout(WITHIN), listening(module, path):
            reader, writer = await asyncio.open_unix_connection(path, limit=2**20)
            said = []

            async def read() -> None:
                while b"the end" not in (line := await reader.readline()):
                    said.append(json.loads(line))

            reading = asyncio.create_task(read())
            stream = b"\n".join([*lines, b'{"jsonrpc":"2.0","id":"the end","method":"state"}', b""])
            while stream:
                size = chance.choice([1, 7, 1000, 60_000])
                writer.write(stream[:size])
                await writer.drain()
                stream = stream[size:]
            await reading
            writer.close()
    assert len(said) == answered > 1000
    for one in said:
        assert one["jsonrpc"] == "2.0"
        assert ("result" in one) != ("error" in one)
        if "error" in one:
            assert -32700 <= one["error"]["code"] <= -32001
            assert one["error"]["message"]


async def test_a_flood_without_line_ends_costs_no_memory() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/s"
        async with asyncio.timeout(WITHIN), listening(MemoryNetwork().module("alice"), path):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(path)

            def flood() -> int:
                sent = 0
                try:
                    for _ in range(1000):
                        sent += sock.send(b"x" * 65536)
                except ConnectionError:
                    pass
                return sent

            with sock:
                assert await asyncio.to_thread(flood) < 4 * 1024 * 1024
