"""The server over real sockets: what two cans see of it, and what an operator sees."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import socket
import time

import pytest

from tincan.errors import UsageError
from tincan.meet.nameplate import nameplate_code
from tincan.switchboard.app import SwitchboardSettings, serve
from tincan.switchboard.listening import CannotListen
from tincan.switchboard.quotas import MailboxLimits
from unit.switchboard.wire import CODE, PATIENCE, Client, http, metric, switchboard

connected = Client.connected


async def test_two_cans_meet() -> None:
    async with switchboard() as url, connected(url) as one, connected(url) as two:
        opened = await one.open("attach", "one")
        assert opened == {"type": "opened", "mailbox": opened["mailbox"]}
        assert await two.open("tap", "two") == opened
        await one.send(0, b"\x00offer")
        await two.send(0, b"answer\xff")
        assert await two.hear() == {
            "type": "message",
            "seq": 0,
            "body": base64.b64encode(b"\x00offer").decode(),
        }
        assert await one.body() == b"answer\xff"
        await one.say(type="close", done=True)
        await two.say(type="close", done=True)
        assert await one.ended() == await two.ended() == 1000
        assert await metric(url, "meetings_completed_total") == 1
        assert await metric(url, "mailboxes_open") == 0


async def test_a_full_mailbox_of_the_largest_messages() -> None:
    bodies = [bytes([seq]) * 32 * 1024 for seq in range(64)]
    async with switchboard() as url, connected(url) as one, connected(url) as two:
        await one.open("attach", "one")
        for seq, body in enumerate(bodies):
            await one.send(seq, body)
        await two.open("tap", "two")
        assert [await two.body() for _ in bodies] == bodies


async def test_a_nameplate() -> None:
    async with switchboard() as url, connected(url) as one, connected(url) as two:
        opened = await one.open("attach", "one", None)
        answer = await two.open("tap", "two", nameplate_code(int(opened["nameplate"])))
        assert answer == {"type": "opened", "mailbox": opened["mailbox"]}
        await one.say(type="close", done=False)
        assert await two.hear() == {"type": "gone"}
        await two.ended()


async def test_a_can_comes_back_after_losing_its_connection() -> None:
    async with switchboard() as url, connected(url) as two:
        async with connected(url) as one:
            name = (await one.open("attach", "one"))["mailbox"]
            await two.open("tap", "two")
            await two.send(0, b"heard")
            assert await one.body() == b"heard"
            one.socket.transport.abort()
        await two.send(1, b"missed")
        async with connected(url) as one:
            assert (await one.open("attach", "one", resume=name, seen=1))["mailbox"] == name
            assert await one.body() == b"missed"
            await one.send(0, b"here again")
            assert await two.body() == b"here again"


async def test_the_same_can_replaces_its_own_connection() -> None:
    async with switchboard() as url, connected(url) as old, connected(url) as new:
        opened = await old.open("attach", "one")
        assert await new.open("attach", "one") == opened
        assert await old.ended() == 1000


async def test_busy_and_takeover() -> None:
    async with switchboard() as url, connected(url) as two:
        async with connected(url) as one, connected(url) as third:
            await one.open("attach", "one")
            await two.open("tap", "two")
            busy = await third.open("attach", "third")
            assert (busy["type"], busy["code"]) == ("error", "busy")
            await third.ended()
        async with connected(url) as fourth:
            fresh = (await fourth.open("attach", "fourth"))["mailbox"]
            assert await two.hear() == {"type": "reset", "mailbox": fresh}


async def test_servers_for_the_path_are_handed_out() -> None:
    settings = {
        "stun": ("stun:s.example",),
        "turn_urls": ("turn:t.example?transport=udp",),
        "turn_secret": "north",
    }
    async with switchboard(**settings) as url, connected(url) as one:
        opened = await one.open("attach", "one")
        assert opened["stun"] == ["stun:s.example"]
        turn = opened["turn"]
        expiry, _, label = turn["username"].partition(":")
        assert label == "tin-can"
        assert abs(int(expiry) - time.time() - 3600) < 60
        digest = hmac.digest(b"north", turn["username"].encode(), hashlib.sha1)
        assert turn["credential"] == base64.b64encode(digest).decode()
        assert (turn["urls"], turn["ttl"]) == (["turn:t.example?transport=udp"], 3600)


async def test_expiry_is_pushed() -> None:
    async with switchboard(mailboxes=MailboxLimits(lifetime=0.1)) as url, connected(url) as one:
        await one.open("attach", "one")
        assert await one.error() == "expired"
        assert await metric(url, "expired_total") == 1


# -- what is refused --


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("{}", "malformed"),
        ("[" * 40_000, "malformed"),
        (b"binary", "malformed"),
        ('{"type": "send", "seq": 0, "body": ""}', "malformed"),
        ('{"type": "close", "done": true}'.ljust(48 * 1024), "malformed"),
        (" " * (48 * 1024 + 1), "too-large"),
    ],
    ids=["no type", "nested", "binary", "before open", "largest", "too large"],
)
async def test_a_bad_frame_ends_the_conversation(data: str | bytes, code: str) -> None:
    async with switchboard() as url, connected(url) as can:
        await can.socket.send(data)
        assert await can.error() == code


async def test_a_huge_message_is_cut_off() -> None:
    async with switchboard() as url, connected(url) as can:
        await can.socket.send(" " * 1_000_000)
        assert await can.ended() == 1009


async def test_a_bad_frame_leaves_the_side_to_its_can() -> None:
    async with switchboard() as url, connected(url) as two:
        async with connected(url) as one:
            name = (await one.open("attach", "one"))["mailbox"]
            await one.socket.send(b"binary")
            assert await one.error() == "malformed"
        async with connected(url) as one:
            assert (await one.open("attach", "one", resume=name))["mailbox"] == name
            await two.open("tap", "two")
            await one.send(0, b"x")
            assert await two.body() == b"x"


async def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=f"already listens on 127.0.0.1:{port}"):
            await serve(SwitchboardSettings(port=port), stop=asyncio.Event())


@pytest.mark.parametrize(
    ("host", "port", "error"),
    [
        ("192.0.2.1", 0, CannotListen),
        ("no such host", 0, UsageError),
        ("x" * 300, 0, UsageError),
        ("127.0.0.1", 65_536, UsageError),
    ],
)
async def test_a_place_where_nobody_can_listen(host: str, port: int, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        await serve(SwitchboardSettings(host=host, port=port), stop=asyncio.Event())
    assert str(caught.value).endswith(".")


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
async def test_ipv6_and_both() -> None:
    async with switchboard(host="::1") as url, connected(url) as can:
        assert url.startswith("ws://[::1]:")
        await can.open("attach", "one")
    async with switchboard(host="::") as url:
        assert url.startswith("ws://[::]:")
        port = url.rpartition(":")[2]
        async with connected(f"ws://127.0.0.1:{port}") as one, connected(f"ws://[::1]:{port}") as two:
            assert await one.open("attach", "one") == await two.open("tap", "two")
    async with switchboard(host="localhost") as url:
        port = url.rpartition(":")[2]
        async with connected(f"ws://localhost:{port}") as can:
            await can.open("attach", "one")


async def test_a_can_that_answers_nothing_does_not_hold_up_the_stop() -> None:
    async with asyncio.timeout(PATIENCE), contextlib.AsyncExitStack() as outlives_it:
        async with switchboard() as url:
            can = await outlives_it.enter_async_context(connected(url))
            await can.open("attach", "one")
            can.socket.transport.pause_reading()
        can.socket.transport.resume_reading()
        assert await can.error() == "closing"


# -- for the operator --


async def test_healthz() -> None:
    async with switchboard() as url:
        assert await http(url, "/healthz") == ("HTTP/1.1 200 OK", "ok\n")
        assert (await http(url, "/"))[0] == "HTTP/1.1 404 Not Found"
        assert (await http(url, "/v1"))[0] == "HTTP/1.1 400 Bad Request"


async def test_metrics_count_and_tell_nothing_else() -> None:
    async with switchboard() as url, connected(url) as one, connected(url) as two:
        plate = (await one.open("attach", "one", None))["nameplate"]
        await two.open("tap", "two")
        await one.send(0, b"12345")
        async with connected(url) as third:
            assert (await third.open("tap", "third"))["code"] == "busy"
            await third.ended()
        _, body = await http(url, "/metrics")
        lines = body.splitlines()
        for line in (
            "connections 2",
            "mailboxes_open 2",
            "opened_total 2",
            "messages_total 1",
            "message_bytes_total 5",
            'errors_total{code="busy"} 1',
        ):
            assert f"tincan_switchboard_{line}" in lines
        for secret in (CODE, nameplate_code(int(plate)), "127.0.0.1"):
            assert secret not in body
