"""The switchboard as a place, against one that the test plays."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest

from ports import free_port
from tincan.errors import PeerRefused, PlaceUnreachable, UsageError
from tincan.meet.events import MeetEvent, PlaceReady, PlaceTrouble, ServersOffered
from tincan.meet.mailbox import MAX_MESSAGE, MailboxClosed, MailboxReset, Side
from tincan.meet.nameplate import nameplate_code
from tincan.meet.places.switchboard import SwitchboardPlace, switchboard_url
from tincan.nat.servers import IceServer
from unit.meet.board import CODE, PATIENCE, Board, Can, connected
from unit.meet.places import of_kind


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


# -- names -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("can.example", "wss://can.example/v1"),
        ("can.example:8443", "wss://can.example:8443/v1"),
        ("localhost", "wss://localhost/v1"),
        (" can.example\n", "wss://can.example/v1"),
        ("wss://can.example", "wss://can.example/v1"),
        ("wss://can.example/", "wss://can.example/v1"),
        ("https://can.example", "wss://can.example/v1"),
        ("http://10.0.0.1:8080", "ws://10.0.0.1:8080/v1"),
        ("ws://10.0.0.1:8080", "ws://10.0.0.1:8080/v1"),
        ("ws://10.0.0.1:8080/v1", "ws://10.0.0.1:8080/v1"),
        ("ws://10.0.0.1:8080/v1/", "ws://10.0.0.1:8080/v1"),
        ("https://can.example/tin/can", "wss://can.example/tin/can/v1"),
        ("ws://[::1]:8080", "ws://[::1]:8080/v1"),
        ("[fd00::1]", "wss://[fd00::1]/v1"),
        ("WSS://CAN.example", "wss://CAN.example/v1"),
    ],
)
def test_what_users_call_a_switchboard(text: str, url: str) -> None:
    assert switchboard_url(text) == url
    assert switchboard_url(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "wss://",
        "://can.example",
        "ftp://can.example",
        "file:///etc/passwd",
        "wss:///v1",
        "wss://:8080",
        "can.example:0",
        "can.example:99999",
        "can.example:https",
        "wss://user@can.example",
        "wss://user:secret@can.example",
        "wss://:secret@can.example",
        "wss://[::1",
        "can example",
        "can.example\x00",
        "can\u00a0example",
    ],
)
def test_what_is_no_switchboard(text: str) -> None:
    with pytest.raises(UsageError, match="switchboard"):
        switchboard_url(text)


async def test_the_name_of_the_place() -> None:
    async with asyncio.TaskGroup() as group:
        assert SwitchboardPlace("https://can.example:8443/x", group, lambda event: None).name == "can.example:8443"


# -- one connection ----------------------------------------------------------------


@pytest.mark.parametrize("side", Side)
async def test_how_a_mailbox_is_opened(side: Side) -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening(side)
        caller, frame = await board.caller()
        assert caller.path == "/v1"
        assert re.fullmatch(r"[A-Za-z0-9_-]{22,64}", frame.pop("token"))
        assert frame == {"type": "open", "side": side.value, "code": CODE, "resume": None, "seen": 0}
        assert not opening.done()
        await caller.say(type="opened", mailbox="m1", colour="unknown fields are ignored")
        mailbox = await opening
        assert can.events == [PlaceReady(can.place.name)]
        await mailbox.close(done=True)
        assert await caller.hear() == {"type": "close", "done": True}
        await caller.left()


async def test_every_mailbox_has_its_own_token() -> None:
    async with Board.listening() as board, Can.at(board) as can:
        tasks = [can.opening(), can.opening()]
        tokens = {(await board.caller())[1]["token"] for _ in tasks}
        assert len(tokens) == 2
        for task in tasks:
            task.cancel()


async def test_messages_both_ways() -> None:
    async with connected() as (mailbox, caller, _, _):
        for seq, body in enumerate((b"one", b"", bytes(MAX_MESSAGE))):
            await mailbox.send(body)
            assert await caller.hear_body(seq) == body
            await caller.message(seq, body)
            assert await mailbox.receive() == body
        with pytest.raises(ValueError):
            await mailbox.send(bytes(MAX_MESSAGE + 1))


async def test_messages_that_come_twice_count_once() -> None:
    async with connected() as (mailbox, caller, _, _):
        for seq, body in ((0, b"a"), (0, b"a"), (1, b"b"), (0, b"x"), (1, b"y"), (2, b"c")):
            await caller.message(seq, body)
        assert [await mailbox.receive() for _ in range(3)] == [b"a", b"b", b"c"]


async def test_a_hole_is_left_to_the_handshake_to_find() -> None:
    async with connected() as (mailbox, caller, _, _):
        await caller.message(1, b"the second")
        assert await mailbox.receive() == b""


async def test_the_other_side_gives_up() -> None:
    async with connected() as (mailbox, caller, board, _):
        await caller.message(0, b"last words")
        await caller.say(type="gone")
        assert await mailbox.receive() == b"last words"
        with pytest.raises(MailboxClosed):
            await mailbox.receive()
        await caller.left()
        assert board.nobody_calls()


# -- coming back -------------------------------------------------------------------


async def test_a_lost_connection_is_made_again_where_it_was() -> None:
    async with connected() as (mailbox, caller, board, can):
        await mailbox.send(b"zero")
        await mailbox.send(b"one")
        assert await caller.hear_body(0) == b"zero"
        await caller.message(0, b"theirs")
        assert await mailbox.receive() == b"theirs"
        caller.cut()
        again, frame = await board.caller()
        assert (frame["resume"], frame["seen"]) == ("m1", 1)
        await mailbox.send(b"two, said meanwhile")
        await again.say(type="opened", mailbox="m1")
        assert [await again.hear_body(seq) for seq in range(3)] == [b"zero", b"one", b"two, said meanwhile"]
        await again.message(0, b"theirs")
        await again.message(1, b"theirs too")
        assert await mailbox.receive() == b"theirs too"
        kinds = [type(event) for event in can.events]
        assert kinds in ([PlaceReady, PlaceTrouble, PlaceReady], [PlaceReady, PlaceReady])


async def test_the_token_stays_the_same() -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening()
        caller, first = await board.caller()
        await caller.say(type="opened", mailbox="m1")
        mailbox = await opening
        caller.cut()
        _, second = await board.caller()
        assert first["token"] == second["token"]
        await mailbox.close(done=False)


async def test_a_switchboard_that_lost_its_memory() -> None:
    async with connected() as (mailbox, caller, board, _):
        await mailbox.send(b"old")
        await caller.message(0, b"old")
        assert await mailbox.receive() == b"old"
        caller.cut()
        again, frame = await board.caller()
        assert frame["resume"] == "m1"
        await again.say(type="opened", mailbox="m2")
        with pytest.raises(MailboxReset):
            await mailbox.receive()
        await mailbox.send(b"new")
        assert await again.hear_body(0) == b"new"
        await again.message(0, b"new too")
        assert await mailbox.receive() == b"new too"


async def test_a_new_peer() -> None:
    async with connected() as (mailbox, caller, board, _):
        await mailbox.send(b"old")
        assert await caller.hear_body(0) == b"old"
        await caller.say(type="reset", mailbox="m2")
        with pytest.raises(MailboxReset):
            await mailbox.receive()
        await mailbox.send(b"new")
        assert await caller.hear_body(0) == b"new"
        caller.cut()
        again, frame = await board.caller()
        assert (frame["resume"], frame["seen"]) == ("m2", 0)
        await again.say(type="opened", mailbox="m2")
        assert await again.hear_body(0) == b"new"


async def test_what_is_said_before_the_reset_is_heard_of_does_not_reach_the_new_peer() -> None:
    async with connected() as (mailbox, caller, board, _):
        await caller.say(type="reset", mailbox="m2")
        await caller.say(type="reset", mailbox="m3")
        await caller.message(0, b"from the new peer")
        await caller.end()
        again, frame = await board.caller()
        assert (frame["resume"], frame["seen"]) == ("m3", 1)  # so it knows by now
        await again.say(type="opened", mailbox="m3")
        for _ in range(2):
            await mailbox.send(b"to the old peer")
            with pytest.raises(MailboxReset):
                await mailbox.receive()
        assert await mailbox.receive() == b"from the new peer"
        await mailbox.send(b"to the new peer")
        assert await again.hear_body(0) == b"to the new peer"


# -- errors ------------------------------------------------------------------------


@pytest.mark.parametrize(("side", "hint"), [(Side.ATTACH, "tin-can tap"), (Side.TAP, "tin-can attach-string")])
async def test_a_busy_line(side: Side, hint: str) -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening(side)
        caller, _ = await board.caller()
        await caller.error("busy")
        with pytest.raises(PeerRefused, match=hint) as caught:
            await opening
        assert caught.value.exit_code == 7
        assert board.nobody_calls()


@pytest.mark.parametrize("code", ["malformed", "too-large"])
async def test_errors_where_trying_again_cannot_help(code: str) -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening()
        caller, _ = await board.caller()
        await caller.error(code)
        with pytest.raises(PlaceUnreachable, match="does not understand"):
            await opening
        assert board.nobody_calls()


async def test_an_error_later_reaches_who_receives() -> None:
    async with connected() as (mailbox, caller, _, _):
        await caller.error("busy")
        with pytest.raises(PeerRefused):
            await mailbox.receive()


RETRIED = {
    "rate": "too many requests",
    "full": "is full",
    "closing": "being restarted",
    "expired": "after 10 minutes",
    "news-of-2030": "refuses at the moment",
}


@pytest.mark.parametrize(("code", "text"), RETRIED.items())
async def test_errors_where_it_tries_again(code: str, text: str) -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening()
        caller, _ = await board.caller()
        await caller.error(code)
        again, frame = await board.caller()
        assert frame["resume"] is None
        [trouble] = can.events
        assert isinstance(trouble, PlaceTrouble)
        assert text in trouble.text
        await again.say(type="opened", mailbox="m1")
        mailbox = await opening
        assert can.events[1:] == [PlaceReady(can.place.name)]
        await mailbox.close(done=True)


async def test_one_spell_of_trouble_is_told_once() -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening()
        for code in "closing", "full":
            await (await board.caller())[0].error(code)
        caller, _ = await board.caller()
        await caller.say(type="opened", mailbox="m1")
        mailbox = await opening
        await caller.error("closing")
        caller, _ = await board.caller()
        assert [type(event) for event in can.events] == [PlaceTrouble, PlaceReady, PlaceTrouble]
        await mailbox.close(done=True)


OPENED = {"type": "opened", "mailbox": "m1"}
MALFORMED: list[tuple[list[Any], Any]] = [
    ([], b"\x00\xff"),
    ([], ""),
    ([], "{"),
    ([], "[]"),
    ([], "null"),
    ([], "[" * 30000),
    ([], '{"a":' * 9000),
    ([], "x" * 97 * 1024),
    ([], {}),
    ([], {"type": "welcome"}),
    ([], {"type": 7}),
    ([], {"type": "opened"}),
    ([], {"type": "opened", "mailbox": ""}),
    ([], {"type": "opened", "mailbox": "m" * 129}),
    ([], {"type": "opened", "mailbox": 7}),
    ([], OPENED | {"stun": "stun:a"}),
    ([], OPENED | {"stun": ["stun:a"] * 9}),
    ([], OPENED | {"turn": {"urls": ["turn:a"]}}),
    ([], OPENED | {"turn": []}),
    ([], {"type": "gone"}),
    ([], {"type": "reset", "mailbox": "m2"}),
    ([], {"type": "message", "seq": 0, "body": ""}),
    ([OPENED], OPENED),
    ([OPENED], {"type": "opened", "mailbox": "m2"}),
    ([OPENED], {"type": "message", "seq": 0}),
    ([OPENED], {"type": "message", "seq": -1, "body": ""}),
    ([OPENED], {"type": "message", "seq": 64, "body": ""}),
    ([OPENED], {"type": "message", "seq": True, "body": ""}),
    ([OPENED], {"type": "message", "seq": 0, "body": "???"}),
    ([OPENED], {"type": "message", "seq": 0, "body": "YQ"}),
    ([OPENED], {"type": "message", "seq": 0, "body": "é"}),
    ([OPENED], {"type": "message", "seq": 0, "body": None}),
    ([OPENED], {"type": "reset"}),
    ([OPENED], {"type": "reset", "mailbox": None}),
    ([OPENED], {"type": "error"}),
    ([OPENED], {"type": "error", "code": 7}),
]


async def test_frames_that_no_switchboard_says_end_the_connection() -> None:
    """All at once, because each costs the wait before the next try."""

    async def one(before: list[Any], frame: Any) -> None:
        async with Board.listening() as board, Can.at(board) as can:
            opening = can.opening()
            caller, _ = await board.caller()
            for good in before:
                await caller.say(**good)
            await caller.say_raw(frame if isinstance(frame, str | bytes) else json.dumps(frame))
            again, _ = await board.caller()
            assert of_kind(can.events, PlaceTrouble), frame
            await again.say(type="opened", mailbox="m1")
            await again.message(0, b"well")
            mailbox = await opening
            assert await mailbox.receive() == b"well", frame
            await mailbox.close(done=True)

    await asyncio.gather(*(one(before, frame) for before, frame in MALFORMED))


async def test_something_that_is_no_switchboard_at_all() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(web, "127.0.0.1", 0)
    told = asyncio.Event()
    events: list[MeetEvent] = []

    def tell(event: MeetEvent) -> None:
        events.append(event)
        told.set()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        port = server.sockets[0].getsockname()[1]
        opening = group.create_task(SwitchboardPlace(f"ws://127.0.0.1:{port}", group, tell).open(Side.TAP, CODE))
        await told.wait()
        opening.cancel()
    server.close()
    assert isinstance(events[0], PlaceTrouble)
    assert "not as a switchboard does" in events[0].text


async def test_a_switchboard_that_comes_up_late() -> None:
    port = free_port()
    events: list[MeetEvent] = []
    told = asyncio.Event()

    def tell(event: MeetEvent) -> None:
        events.append(event)
        told.set()

    async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
        place = SwitchboardPlace(f"ws://127.0.0.1:{port}", group, tell)
        opening = group.create_task(place.open(Side.TAP, CODE))
        await told.wait()
        async with Board.listening(port) as board:
            caller, _ = await board.caller()
            await caller.say(type="opened", mailbox="m1")
            mailbox = await opening
            await mailbox.close(done=True)
    assert [type(event) for event in events] == [PlaceTrouble, PlaceReady]
    assert isinstance(events[0], PlaceTrouble)
    assert "cannot be reached" in events[0].text
    assert events[0].place == f"127.0.0.1:{port}"


# -- servers -----------------------------------------------------------------------


TURN = {"urls": ["turn:t.example:3478?transport=udp", "turns:t.example"], "username": "1700000000:tin-can"}


@pytest.mark.parametrize(
    ("offer", "servers"),
    [
        ({}, None),
        ({"stun": []}, None),
        ({"stun": ["stun:s.example"]}, (IceServer("stun", "s.example", 3478),)),
        (
            {"turn": TURN | {"credential": "c", "ttl": 3600}},
            (
                IceServer("turn", "t.example", 3478, "udp", "1700000000:tin-can", "c"),
                IceServer("turn", "t.example", 5349, "tls", "1700000000:tin-can", "c"),
            ),
        ),
        ({"stun": ["http://s.example"]}, None),
        ({"stun": ["stun:s.example:99999"]}, None),
        ({"stun": ["stun:s.example", "nonsense"]}, None),
        ({"turn": TURN | {"credential": "c", "urls": ["nonsense"]}}, None),
        (
            {"stun": ["stun:s.example"], "turn": TURN | {"credential": "c", "urls": ["nonsense"]}},
            (IceServer("stun", "s.example", 3478),),
        ),
    ],
)
async def test_servers_that_are_offered(offer: dict[str, Any], servers: tuple[IceServer, ...] | None) -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening()
        caller, _ = await board.caller()
        await caller.say(type="opened", mailbox="m1", **offer)
        mailbox = await opening
        assert of_kind(can.events, ServersOffered) == ([ServersOffered(servers)] if servers else [])
        assert of_kind(can.events, PlaceReady)
        await mailbox.close(done=True)


# -- nameplates --------------------------------------------------------------------


async def test_a_nameplate_and_its_mailbox() -> None:
    async with Board.listening() as board, Can.at(board) as can, asyncio.TaskGroup() as group:
        allocating = group.create_task(can.place.allocate())
        caller, frame = await board.caller()
        assert (frame["side"], frame["code"]) == ("attach", None)
        await caller.say(type="opened", mailbox="m1", nameplate="417")
        assert await allocating == 417
        heard: list[MeetEvent] = []
        mailbox = await can.place.open(Side.ATTACH, nameplate_code(417), heard.append)
        await mailbox.send(b"share")
        assert await caller.hear_body(0) == b"share"
        caller.cut()
        again, frame = await board.caller()
        assert (frame["code"], frame["resume"]) == (nameplate_code(417), "m1")
        await again.say(type="opened", mailbox="m1")
        assert await again.hear_body(0) == b"share"
        assert heard[-1] == PlaceReady(can.place.name)  # whoever opened it hears of it from then on
        assert can.events == [PlaceReady(can.place.name)]
        await mailbox.close(done=True)


async def test_a_nameplate_that_is_not_taken() -> None:
    async with Board.listening() as board, Can.at(board) as can, asyncio.TaskGroup() as group:
        allocating = group.create_task(can.place.allocate())
        caller, _ = await board.caller()
        await caller.say(type="opened", mailbox="m1", nameplate="417")
        assert await allocating == 417
        opening = can.opening(Side.ATTACH)
        assert await caller.hear() == {"type": "close", "done": False}
        other, frame = await board.caller()
        assert frame["code"] == CODE
        await other.say(type="opened", mailbox="m2")
        await (await opening).close(done=True)


async def test_a_switchboard_that_gives_no_nameplate() -> None:
    async with Board.listening() as board, Can.at(board) as can, asyncio.TaskGroup() as group:
        allocating = group.create_task(can.place.allocate())
        caller, _ = await board.caller()
        await caller.error("malformed")
        assert await allocating is None


async def test_nameplates_that_are_none() -> None:
    async def one(text: str) -> None:
        async with Board.listening() as board, Can.at(board) as can, asyncio.TaskGroup() as group:
            allocating = group.create_task(can.place.allocate())
            caller, _ = await board.caller()
            await caller.say(type="opened", mailbox="m1", nameplate=text)
            again, _ = await board.caller()
            await again.error("malformed")
            assert await allocating is None

    await asyncio.gather(*map(one, ["", "0", "007", "-1", "1.5", "abc", "123456789", "\uff14\uff11\uff17", " 4"]))


# -- leaving -----------------------------------------------------------------------


async def test_leaving_takes_half_a_second_at_most() -> None:
    async with connected() as (mailbox, caller, _, can):
        caller.stop_reading()
        clock = asyncio.get_running_loop()
        began = clock.time()
        await mailbox.close(done=False)
        assert clock.time() - began < 1.0
        assert mailbox.task is not None
        await asyncio.wait([mailbox.task])
        assert clock.time() - began < 2.0
        await mailbox.close(done=True)  # once is enough
        caller.cut()
        assert can.events == [PlaceReady(can.place.name)]


async def test_leaving_while_the_connection_is_lost() -> None:
    async with connected() as (mailbox, caller, board, _):
        caller.cut()
        await mailbox.close(done=False)
        assert mailbox.task is not None
        await asyncio.wait([mailbox.task])
        assert board.nobody_calls()


async def test_cancelled_while_opening() -> None:
    async with Board.listening() as board, Can.at(board) as can:
        opening = can.opening()
        caller, _ = await board.caller()
        opening.cancel()
        await caller.left()
