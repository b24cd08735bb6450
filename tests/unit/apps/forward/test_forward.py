"""Forwarding between real sockets of this machine, over a string within this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys

import pytest

from tincan.apps.forward import (
    ConnectionClosed,
    ConnectionOpened,
    Forwarder,
    Listening,
    NotForwarded,
    StringMended,
)
from tincan.apps.forward.frames import PREFACE
from unit.apps.forward.helpers import Can, FakeString, ask, closed, forwarding, plan, reset, serving


def refusal(event: object) -> bool:
    return isinstance(event, NotForwarded)


async def is_closed(reader: asyncio.StreamReader) -> bool:
    """Wait for the end of a connection, of either kind."""
    with contextlib.suppress(ConnectionResetError):
        return await reader.read() == b""
    return True


# Carrying


@pytest.mark.parametrize("size", [0, 1, 100_000, 5_000_000])
async def test_what_is_sent_comes_back_whole(size: int) -> None:
    question = os.urandom(size)
    async with (
        serving() as port,
        forwarding(plan([f"0:localhost:{port}"]), plan(allow=[f"localhost:{port}"])) as cans,
    ):
        assert await ask(await cans[0].listening(), question) == question
        for can in cans:
            ending = await can.hears(lambda event: isinstance(event, ConnectionClosed))
            assert ending == ConnectionClosed(1, size, size)
            assert ConnectionOpened(1, f"localhost:{port}") in can.told


async def test_the_tapping_side_may_listen_as_well() -> None:
    async with serving() as port, forwarding(plan(allow=["*:*"]), plan([f"0:127.0.0.1:{port}"])) as (_, far):
        assert await ask(await far.listening(), b"hello") == b"hello"


async def test_both_directions_end_by_themselves() -> None:
    async def backwards(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"greeting")
        writer.write_eof()
        heard.append(await reader.read())

    heard: list[bytes] = []
    async with (
        serving(backwards) as port,
        forwarding(plan([f"0:127.0.0.1:{port}"]), plan(allow=["*:*"])) as (near, _),
    ):
        reader, writer = await asyncio.open_connection(*await near.listening())
        assert await reader.read() == b"greeting"
        writer.write(b"said after the other end")
        writer.write_eof()
        await near.hears(lambda event: isinstance(event, ConnectionClosed))
        await closed(writer)
    assert heard == [b"said after the other end"]


async def test_a_question_ends_before_its_answer_comes() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        question = await reader.read()
        writer.write(b"answer to " + question)
        await writer.drain()

    async with serving(answer) as port, forwarding(plan([f"0:127.0.0.1:{port}"]), plan(allow=["*:*"])) as (near, _):
        assert await ask(await near.listening(), b"question") == b"answer to question"


async def test_many_at_once() -> None:
    questions = [os.urandom(20_000) for _ in range(100)]
    async with serving() as port, forwarding(plan([f"0:127.0.0.1:{port}"]), plan(allow=["*:*"])) as (near, _):
        address = await near.listening()
        assert await asyncio.gather(*(ask(address, question) for question in questions)) == questions


async def test_a_slow_reader_does_not_block_the_others() -> None:
    stuck = asyncio.Event()

    async def stubborn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stuck.wait()

    async with (
        serving(stubborn) as slow,
        serving() as quick,
        forwarding(plan([f"0:127.0.0.1:{slow}", f"0:127.0.0.1:{quick}"]), plan(allow=["127.0.0.1:*"])) as (near, _),
    ):
        _, writer = await asyncio.open_connection(*await near.listening(0))
        writer.write(bytes(30_000_000))  # far more than all windows and buffers on the way
        assert await ask(await near.listening(1), b"x" * 2_000_000) == b"x" * 2_000_000
        assert writer.transport.get_write_buffer_size() > 10_000_000
        writer.transport.abort()
        stuck.set()


# Resets


async def test_a_reset_stays_a_reset_towards_the_target() -> None:
    seen: asyncio.Queue[type[BaseException]] = asyncio.Queue()

    async def watch(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(await reader.readexactly(2))
            await reader.read()
        except OSError as exc:
            seen.put_nowait(type(exc))

    async with serving(watch) as port, forwarding(plan([f"0:127.0.0.1:{port}"]), plan(allow=["*:*"])) as (near, _):
        reader, writer = await asyncio.open_connection(*await near.listening())
        writer.write(b"hi")
        assert await reader.readexactly(2) == b"hi"
        reset(writer)
        assert await seen.get() is ConnectionResetError


async def test_a_reset_stays_a_reset_towards_the_caller() -> None:
    async def slam(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(2)
        reset(writer)

    async with serving(slam) as port, forwarding(plan([f"0:127.0.0.1:{port}"]), plan(allow=["*:*"])) as (near, _):
        reader, writer = await asyncio.open_connection(*await near.listening())
        writer.write(b"hi")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await closed(writer)


# Rules


async def test_nothing_is_dialled_that_the_user_has_not_named() -> None:
    async with (
        serving() as port,
        forwarding(plan([f"0:localhost:{port}"]), plan(allow=[f"localhost:{port + 1}"])) as cans,
    ):
        reader, writer = await asyncio.open_connection(*await cans[0].listening())
        assert await is_closed(reader)
        for can in cans:
            event = await can.hears(refusal)
            assert isinstance(event, NotForwarded)
            assert event.target == f"localhost:{port}"
            assert f"--allow localhost:{port}" in event.text
        assert not any(isinstance(event, ConnectionOpened) for can in cans for event in can.told)
        await closed(writer)


async def test_nothing_is_listened_on_that_the_user_has_not_named() -> None:
    async with forwarding(plan(remote=["8080:localhost:80"]), plan(allow_listen=["8081"])) as cans:
        for can in cans:
            event = await can.hears(refusal)
            assert isinstance(event, NotForwarded)
            assert "--allow-listen 8080" in event.text
        assert not any(isinstance(event, Listening) for can in cans for event in can.told)


async def test_a_door_at_the_other_side_leads_to_the_own_target() -> None:
    async with (
        serving() as port,
        forwarding(plan(remote=[f"0:127.0.0.1:{port}"]), plan(allow_listen=["0"])) as (near, far),
    ):
        told = await near.hears(lambda event: isinstance(event, Listening))
        assert isinstance(told, Listening)
        assert told.there
        assert told.spec == f"0:127.0.0.1:{port}"
        assert await near.listening() == (address := await far.listening())
        assert await ask(address, b"from there") == b"from there"


async def test_who_asks_twice_for_the_same_door_gets_it_once_and_is_told() -> None:
    twice = ["0:127.0.0.1:1", "0:127.0.0.1:1"]
    async with forwarding(plan(remote=twice), plan(allow_listen=["0"])) as (near, _):
        event = await near.hears(refusal)
        assert isinstance(event, NotForwarded)
        assert event.text == "The other can listens on localhost:0 for you already."
        await near.hears(lambda event: isinstance(event, Listening))


async def test_a_dial_that_fails_closes_the_connection_and_says_why() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    wish = plan([f"0:127.0.0.1:{port}", "0:no-such-host.invalid:80"])
    async with forwarding(wish, plan(allow=["*:*"])) as cans:
        for number, (target, why) in enumerate(
            [(f"127.0.0.1:{port}", "nothing listens there"), ("no-such-host.invalid:80", "no such name")]
        ):
            reader, writer = await asyncio.open_connection(*await cans[0].listening(number))
            assert await is_closed(reader)
            await closed(writer)
            for can in cans:
                event = await can.hears(lambda event: getattr(event, "target", "") == target)  # noqa: B023
                assert isinstance(event, NotForwarded)
                assert why in event.text


SILENT = """
import asyncio, socket, threading, time
from unit.apps.forward.helpers import forwarding, plan

asked = threading.Event()

def silent(*args, **kwargs):
    asked.set()
    time.sleep(600)

async def main():
    async with forwarding(plan(["0:slow.example:80"]), plan(allow=["*:*"])) as (near, _):
        address = await near.listening()
        socket.getaddrinfo = silent  # a resolver that does not answer
        _, writer = await asyncio.open_connection(*address)
        while not asked.is_set():
            await asyncio.sleep(0.01)
        writer.close()

asyncio.run(main())
print("over")
"""


def test_a_resolver_that_is_silent_does_not_hold_up_the_end() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", SILENT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)
    assert done.stdout == "over\n", done.stderr


# The string


async def test_callers_wait_for_the_string() -> None:
    strings = FakeString.pair()
    near, far = Can(strings[0]), Can(strings[1])
    async with (
        serving() as port,
        Forwarder(plan([f"0:127.0.0.1:{port}"]), near.tell) as a,
        Forwarder(plan(allow=["*:*"]), far.tell) as b,
    ):
        asking = asyncio.create_task(ask(await near.listening(), b"patience"))
        await asyncio.sleep(0.05)
        tasks = [asyncio.create_task(a.run(strings[0])), asyncio.create_task(b.run(strings[1]))]
        async with asyncio.timeout(120):
            assert await asking == b"patience"
            tasks[1].cancel()
            await asyncio.wait(tasks)
        assert tasks[0].exception() is None  # the other can hung up


@pytest.mark.parametrize("who", [0, 1])
async def test_doors_stay_open_while_the_string_is_mended(who: int) -> None:
    async with serving() as port:
        wishes = plan([f"0:127.0.0.1:{port}"], [f"0:127.0.0.1:{port}"]), plan(allow=["*:*"], allow_listen=["0"])
        async with forwarding(*(wishes if who == 0 else wishes[::-1])) as cans:
            here, there = (cans[who], cans[1 - who])
            addresses = [await here.listening(0), await there.listening(0)]
            assert [await ask(address, b"before") for address in addresses] == [b"before"] * 2
            reader, writer = await asyncio.open_connection(*addresses[0])
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            here.string.break_now()
            assert await is_closed(reader)
            asking = [asyncio.create_task(ask(address, b"meanwhile")) for address in addresses]
            await asyncio.sleep(0.05)
            here.string.mend_now()
            assert await asyncio.gather(*asking) == [b"meanwhile"] * 2
            assert [await ask(address, b"after") for address in addresses] == [b"after"] * 2
            await closed(writer)


async def test_the_string_is_mended_when_the_peer_is_heard_again() -> None:
    """The link may stand though the peer has died; whoever connects meanwhile waits for the next one."""
    strings = FakeString.pair()
    near = Can(strings[0])
    async with (
        serving() as port,
        Forwarder(plan([f"0:127.0.0.1:{port}"]), near.tell) as here,
        Forwarder(plan(allow=["*:*"]), lambda event: None) as there,
        asyncio.timeout(20),
        asyncio.TaskGroup() as group,
    ):
        running = group.create_task(here.run(strings[0]))
        asking = []
        for _ in range(2):
            silent = await strings[1].accept_stream()
            assert await silent.read(len(PREFACE)) == PREFACE
            asking.append(group.create_task(ask(await near.listening(), b"meanwhile")))
            await asyncio.wait(asking, timeout=0.05)
            assert not any(isinstance(event, StringMended) for event in near.told)
            strings[0].break_now()
            strings[0].mend_now()
        other = group.create_task(there.run(strings[1]))
        assert [await answer for answer in asking] == [b"meanwhile"] * 2
        await near.hears(lambda event: isinstance(event, StringMended))
        running.cancel()
        await asyncio.wait([other])


async def test_a_peer_that_hangs_up_while_the_string_is_broken_ends_it() -> None:
    async with forwarding(plan(allow=["*:*"]), plan(allow=["*:*"])) as (near, far):
        while near.string.stream is None:
            await asyncio.sleep(0)
        for can in (near, far):
            can.string.hung_up = True
        near.string.break_now()
        near.string.mend_now()
        assert near.task is not None
        await near.task
