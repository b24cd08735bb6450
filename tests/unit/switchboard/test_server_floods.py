"""Clients that are silent, greedy or deaf, and those beside them who must not notice."""

from __future__ import annotations

import asyncio
import contextlib
import sys

import pytest
from websockets.exceptions import ConnectionClosed

from tincan.switchboard.limits import RateLimits
from unit.switchboard.wire import PATIENCE, Client, metric, switchboard

connected = Client.connected
two_addresses = pytest.mark.skipif(sys.platform != "linux", reason="needs 127.0.0.2")


async def test_a_can_that_says_nothing_is_sent_away() -> None:
    async with switchboard(handshake=0.1) as url, connected(url) as can:
        assert await can.ended() == 1008


async def test_pings_are_no_first_frame() -> None:
    async with switchboard(handshake=2) as url, connected(url) as can:
        pongs = 0
        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(PATIENCE):
                while True:
                    await (await can.socket.ping())
                    pongs += 1
                    await asyncio.sleep(0.02)  # the pace of the pings, so that no limit is met
        assert can.socket.close_code == 1008
        assert pongs > 1


async def test_a_can_that_has_opened_may_be_silent() -> None:
    async with switchboard(handshake=2) as url, connected(url) as one, connected(url) as two:
        await one.open("attach", "one")
        async with connected(url) as silent:
            assert await silent.ended() == 1008  # it came after the others
        assert not one.socket.close_code
        await two.ended()
        await one.send(0, b"still here")
        async with connected(url) as late:
            await late.open("tap", "two")
            assert await late.body() == b"still here"


@pytest.mark.parametrize("said", [b"", b"GET /v1 HTTP/1.1\r\nHost: ", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
async def test_half_a_request_does_not_hold_a_socket(said: bytes) -> None:
    async with switchboard(handshake=0.1) as url:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        writer.write(said)
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
        writer.close()


async def test_more_sockets_than_allowed_are_cut() -> None:
    async with switchboard(rates=RateLimits(sockets=3)) as url:
        port = int(url.rpartition(":")[2])
        streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        async with asyncio.timeout(PATIENCE):
            for reader, _ in streams[3:]:
                assert await reader.read() == b""
        assert not any(reader.at_eof() for reader, _ in streams[:3])
        for _, writer in streams:
            writer.close()
            await writer.wait_closed()


async def test_too_many_connections_from_one_address() -> None:
    async with switchboard(rates=RateLimits(connections=1)) as url, connected(url) as first:
        await first.open("attach", "one")
        async with connected(url) as second:
            assert await second.error() == "rate"
        await first.send(0, b"x")
        assert await metric(url, "rate_limited_total") == 1


async def test_places_are_given_back() -> None:
    async with switchboard(rates=RateLimits(connections=1, sockets=3)) as url:
        for _ in range(6):
            async with connected(url) as can:
                assert (await can.open("attach", "one"))["type"] == "opened"
            async with asyncio.timeout(PATIENCE):
                while await metric(url, "connections"):
                    pass


async def test_too_many_connections_in_all() -> None:
    async with switchboard(connections=1) as url, connected(url) as first:
        await first.open("attach", "one")
        async with connected(url) as second:
            assert await second.error() == "full"


async def test_too_many_opens() -> None:
    async with switchboard(rates=RateLimits(opens_burst=2, opens_per_minute=0.001)) as url:
        for _ in range(2):
            async with connected(url) as can:
                assert (await can.open("attach", "one"))["type"] == "opened"
        async with connected(url) as can:
            assert (await can.open("attach", "one"))["code"] == "rate"


async def test_pings_are_limited_like_frames() -> None:
    async with switchboard(rates=RateLimits(frames_per_second=0.001)) as url, connected(url) as can:
        await can.open("attach", "one")
        for _ in range(300):
            await can.socket.ping()
        assert await can.error() == "rate"


@pytest.mark.parametrize(
    ("forwarded", "alike"),
    [(("1.1.1.1", "2.2.2.2"), False), (("9.9.9.9, 1.1.1.1", "8.8.8.8, 1.1.1.1"), True)],
)
async def test_behind_a_proxy_the_forwarded_address_counts(forwarded: tuple[str, str], alike: bool) -> None:
    async with switchboard(rates=RateLimits(opens_burst=1, opens_per_minute=0.001), trust_forwarded=True) as url:
        answers = []
        for index, address in enumerate(forwarded):
            async with connected(url, additional_headers={"X-Forwarded-For": address}) as can:
                answers.append((await can.open("attach", "one", str(index) * 12)).get("code"))
        assert answers == [None, "rate" if alike else None]


async def test_without_a_proxy_the_forwarded_address_is_ignored() -> None:
    async with switchboard(rates=RateLimits(opens_burst=1, opens_per_minute=0.001)) as url:
        answers = []
        for address in ("1.1.1.1", "2.2.2.2"):
            async with connected(url, additional_headers={"X-Forwarded-For": address}) as can:
                answers.append((await can.open("attach", "one")).get("code"))
        assert answers == [None, "rate"]


async def flood(url: str, source: str) -> int:
    """Do too much of everything; return how many of the attempts were answered with an error or cut."""
    refused = 0
    async with connected(url, source) as can:
        await can.open("attach", "flood", "0" * 12)
        try:
            for seq in range(1000):
                await can.send(seq % 64, bytes(1000))
        except ConnectionClosed:
            refused += 1
    for number in range(60):
        try:
            async with connected(url, source) as can:
                answer = await can.open("attach", "flood", f"{number:012x}")
                refused += answer["type"] == "error"
        except (ConnectionClosed, ConnectionResetError):
            refused += 1
    return refused


@two_addresses
async def test_a_flood_from_one_address_does_not_disturb_a_meeting_of_another() -> None:
    async with (
        switchboard(rates=RateLimits(opens_per_minute=0.001)) as url,
        connected(url, "127.0.0.2") as one,
        connected(url, "127.0.0.2") as two,
    ):
        await one.open("attach", "one")
        await two.open("tap", "two")
        async with asyncio.TaskGroup() as tasks:
            flooding = tasks.create_task(flood(url, "127.0.0.1"))
            said = 0
            while said < 40 or not flooding.done():
                if said < 60:
                    await one.send(said, b"%d" % said)
                    assert await two.body() == b"%d" % said
                    said += 1
                else:
                    await asyncio.wait([flooding])
        assert flooding.result() > 20
        async with connected(url, "127.0.0.2") as three:
            assert (await three.open("attach", "three", "f" * 12))["type"] == "opened"
        assert await metric(url, "rate_limited_total") > 20


async def test_a_can_that_does_not_read_is_dropped() -> None:
    rates = RateLimits(frames_burst=100_000, opens_burst=1000)
    async with switchboard(rates=rates) as url, connected(url, max_queue=1) as deaf:
        await deaf.open("attach", "deaf")
        name = 0
        async with asyncio.timeout(PATIENCE):
            while await metric(url, "dropped_total") == 0:
                # Each new can resets the mailbox and may fill it once more.
                name += 1
                async with connected(url) as loud:
                    assert (await loud.open("tap", f"loud{name}"))["type"] == "opened"
                    for seq in range(64):
                        await loud.send(seq, bytes(32 * 1024))
        async with connected(url) as one, connected(url) as two:
            await one.open("attach", "one", "1" * 12)
            await two.open("tap", "two", "1" * 12)
            await one.send(0, b"x")
            assert await two.body() == b"x"
