"""A switchboard that reads, changes, replays, drops and invents what two real cans say to each other.

In every case both cans end with exit code 5 and one plain sentence, and no
message passes; where the documentation promises something else, the test says
so. A new run afterwards works: see `test_after_an_attack_a_new_run_works`.
"""

from __future__ import annotations

import asyncio
import contextlib
import http
import ipaddress
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from security.cans import NO_STUN, PATIENCE, Can, control_bytes, converse, meet
from security.evil import (
    NAMEPLATE,
    WRONG,
    Board,
    Seat,
    changed,
    flight_to,
    flipped,
    kind_of,
    shares,
)
from security.stun import StunServer
from tincan.errors import AuthenticationFailed
from tincan.meet.handshake import Handshake
from tincan.meet.mailbox import Side
from tincan.meet.phrase import StringKeys, derive, parse
from tincan.nat.addresses import interfaces

ATTACH, TAP = Side.ATTACH, Side.TAP
PHRASE = f"{NAMEPLATE}-guitar-banana"
WRONG_PHRASE = f"{NAMEPLATE}-guitar-cactus"


def options(board: Board, *more: str) -> list[str]:
    return ["--switchboard", board.url, *NO_STUN, *more]


@contextlib.asynccontextmanager
async def pair(board: Board, *more: str, tap_phrase: str = PHRASE) -> AsyncIterator[tuple[Can, Can]]:
    """Start two cans that know the same phrase, the attaching one first."""
    async with Can.started("attach-string", PHRASE, *options(board, *more)) as attach:
        await attach.event("waiting")
        async with Can.started("tap", tap_phrase, *options(board, *more)) as tap:
            yield attach, tap


async def both_fail(board: Board, *more: str, tap_phrase: str = PHRASE) -> tuple[str, str]:
    """Let two cans meet at a board; both must end with code 5, having sent and judged one guess at most."""
    async with pair(board, *more, tap_phrase=tap_phrase) as (attach, tap):
        said = await asyncio.gather(attach.fails(5), tap.fails(5))
        for can in (attach, tap):
            assert not can.told("connected")
            assert not can.told("message")
    assert board.kinds(TAP).count("flight") <= 1
    assert board.kinds(ATTACH).count("answer") <= 1
    return said[0], said[1]


async def side_by_side(*cases: tuple[str, Callable[[], Coroutine[Any, Any, None]]], at_once: int = 3) -> None:
    """Run cases together, since most of their time is spent waiting; a failure says which case it was."""
    room = asyncio.Semaphore(at_once)

    async def run(name: str, case: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with room:
            try:
                await case()
            except Exception as exc:
                exc.add_note(f"case: {name}")
                raise

    async with asyncio.TaskGroup() as group:
        for name, case in cases:
            group.create_task(run(name, case))


# -- reading ---------------------------------------------------------------------------


FIELDS = {
    "share": {"kind", "version", "share"},
    "flight": {"kind", "version", "share", "tag", "envelope"},
    "answer": {"kind", "tag", "envelope"},
    "sealed": {"kind", "envelope"},
}


async def test_reading_everything_tells_nothing() -> None:
    async with Board.running() as board:
        transcripts = []
        for _ in range(2):
            async with pair(board) as (attach, tap):
                await converse(attach, tap)
                tap.end_input()
                assert (await attach.ended(), await tap.ended()) == (0, 0)
            transcripts.append([*board.seats[ATTACH].left, *board.seats[TAP].left])
            for text in board.frames:
                for secret in ("guitar", "banana", PHRASE, "and back"):
                    assert secret not in text.lower()
            for body in transcripts[-1]:
                frame = msgspec.msgpack.decode(body)
                assert set(frame) == FIELDS[frame["kind"]]
                assert_tells_no_address(body)
                # With their lengths, as MessagePack has them: three letters alone come about by chance.
                for word in ("candidates", "ufrag", "pwd", "fingerprint", "host", "srflx", "there"):
                    assert msgspec.msgpack.encode(word) not in body
            board.forget()
        first, second = (
            {v for body in bodies for k, v in msgspec.msgpack.decode(body).items() if k not in ("kind", "version")}
            for bodies in transcripts
        )
        assert not first & second  # the same phrase twice looks like two phrases


def assert_tells_no_address(body: bytes) -> None:
    for interface in interfaces():
        assert str(interface.address).encode() not in body
        if not interface.address.is_loopback and isinstance(interface.address, ipaddress.IPv6Address):
            assert interface.address.packed not in body


async def test_a_transcript_gives_nothing_to_check_guesses_against() -> None:
    """Whoever has the messages and the right phrase can do no more with them than with a wrong one."""
    async with Board.running() as board:
        async with pair(board) as (attach, tap):
            await converse(attach, tap)
        share, flight, answer = board.seats[ATTACH].left[0], board.seats[TAP].left[0], board.seats[ATTACH].left[1]
    keys = derive(parse(PHRASE))
    for guess in (keys, WRONG, StringKeys(keys.code, b"tin-can/1 words guitar-cactus")):
        judge = Handshake(ATTACH, guess)
        with pytest.raises(AuthenticationFailed):
            judge.receive(flight)
        speaker = Handshake(TAP, guess)
        speaker.receive(share)
        speaker.seal(b"offer")
        with pytest.raises(AuthenticationFailed):
            speaker.receive(answer)


# -- changing, replaying, inventing ------------------------------------------------------


class Changing(Board):
    """Changes one field of every message of one kind."""

    def __init__(self, kind: str, part: str, change: Callable[[bytes], bytes]) -> None:
        super().__init__()
        self._kind, self._part, self._change = kind, part, change

    async def on_body(self, seat: Seat, body: bytes) -> None:
        if kind_of(body) == self._kind:
            body = changed(body, self._part, self._change)
        await super().on_body(seat, body)


A_CHANGED_MESSAGE = [
    ("share", "share", flipped, "share flipped"),
    ("share", "share", lambda _: bytes(32), "share of low order"),
    ("flight", "share", flipped, "flight's share flipped"),
    ("flight", "share", lambda _: (1).to_bytes(32, "little"), "flight's share of low order"),
    ("flight", "tag", lambda tag: flipped(tag, 0), "flight's tag flipped"),
    ("flight", "envelope", lambda text: flipped(text, 40), "offer flipped, where a fingerprint is"),
    ("flight", "envelope", lambda text: text[:-1], "offer cut"),
    ("answer", "tag", flipped, "answer's tag flipped"),
    ("answer", "envelope", lambda text: flipped(text, 40), "answer flipped"),
    ("flight", "version", lambda _: 2, "another version"),
]


async def test_a_changed_message() -> None:
    await side_by_side(*((name, partial(_a_changed_message, *case)) for *case, name in A_CHANGED_MESSAGE))


async def _a_changed_message(kind: str, part: str, change: Callable[[bytes], bytes]) -> None:
    async with Changing.running(kind, part, change) as board:
        await both_fail(board)


class Truncating(Board):
    async def on_body(self, seat: Seat, body: bytes) -> None:
        await super().on_body(seat, body[:-1])


class Duplicating(Board):
    async def on_body(self, seat: Seat, body: bytes) -> None:
        await super().on_body(seat, body)
        await super().on_body(seat, body)


class Reflecting(Board):
    """Gives a can its own messages back."""

    async def on_body(self, seat: Seat, body: bytes) -> None:
        if seat.side is ATTACH and self.seats[TAP].socket is None:
            seat.waiting.append(body)  # until the other one is there to be attacked too
            await self.give(TAP, body)
        else:
            await self.give(seat.side, body)
            await self.give(seat.side.other, seat.left[0])

    async def on_open(self, seat: Seat) -> None:
        await super().on_open(seat)
        other = self.seats[seat.side.other]
        waiting, other.waiting = other.waiting, []
        for body in waiting:
            await self.give(seat.side.other, body)


class Meddling(Board):
    """Runs a handshake of its own with each of the two, with a guess at the phrase: a man in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: dict[Side, str] = {}
        self._to_tap, self._share = shares()

    async def on_open(self, seat: Seat) -> None:
        await self.tell_opened(seat)
        if seat.side is TAP:
            await self.give(TAP, self._share)

    async def on_body(self, seat: Seat, body: bytes) -> None:
        kind = kind_of(body)
        if seat.side is TAP and kind == "flight":
            with pytest.raises(AuthenticationFailed):
                self._to_tap.receive(body)  # this was the one guess against the tapping can
            await self.give(TAP, msgspec.msgpack.encode({"kind": "answer", "tag": bytes(64), "envelope": bytes(99)}))
            _, flight = flight_to(self.seats[ATTACH].left[0])
            await self.give(ATTACH, flight)  # and this the one against the attaching can
        self.outcomes[seat.side] = kind


@pytest.mark.parametrize("attack", [Truncating, Duplicating, Reflecting, Meddling], ids=lambda a: a.__name__.lower())
async def test_both_ends_refuse(attack: type[Board]) -> None:
    async with attack.running() as board:
        await both_fail(board)
        assert board.kinds(TAP).count("flight") <= 1


async def test_a_wrong_phrase_has_one_guess() -> None:
    async with Board.running() as board:
        said, _ = await both_fail(board, tap_phrase=WRONG_PHRASE)
        assert "guessing" in said
        assert board.kinds(TAP) == ["flight", "refusal"] or board.kinds(TAP) == ["flight"]
        assert board.kinds(ATTACH) == ["share", "refusal"]


class Replaying(Board):
    """Gives the attaching can the flight of an earlier meeting with the same phrase."""

    def __init__(self) -> None:
        super().__init__()
        self.earlier = b""

    async def on_body(self, seat: Seat, body: bytes) -> None:
        if seat.side is TAP and self.earlier and kind_of(body) == "flight":
            body = self.earlier
        await super().on_body(seat, body)


async def test_a_replayed_session() -> None:
    async with Replaying.running() as board:
        async with pair(board) as (attach, tap):
            await converse(attach, tap)
        earlier = board.seats[TAP].left[0]
        board.forget()
        board.earlier = earlier
        await both_fail(board)


class Reordering(Board):
    """Keeps the flight until two later envelopes are there, and gives those in the wrong order."""

    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self._order = order

    async def on_body(self, seat: Seat, body: bytes) -> None:
        left = self.seats[TAP].left
        if seat.side is ATTACH and kind_of(body) == "answer":
            return  # the tapping can would connect, and nothing more be read
        if seat.side is ATTACH or kind_of(body) == "refusal":
            await super().on_body(seat, body)
        elif len(left) == 3:
            for number in self._order:
                await self.give(ATTACH, left[number])


@pytest.mark.parametrize(
    "order",
    [
        pytest.param((0, 2, 1), id="swapped"),
        pytest.param((0, 2), id="one left out"),
        pytest.param((0, 1, 1), id="one twice"),
        pytest.param((1, 0, 2), id="before the flight"),
    ],
)
async def test_envelopes_out_of_order(order: tuple[int, ...]) -> None:
    """Two STUN servers that answer late make two envelopes after the flight."""
    async with Reordering.running(order) as board, StunServer.running() as one, StunServer.running() as two:
        where = ["--switchboard", board.url, "--no-lan", "--stun", one.url, "--stun", two.url]
        async with Can.started("attach-string", PHRASE, *where) as attach:
            await attach.event("waiting")
            async with Can.started("tap", PHRASE, *where) as tap:
                await tap.event("meeting")
                for number, server in enumerate((one, two), start=2):
                    server.answer_all(9000 + number)
                    async with asyncio.timeout(PATIENCE):
                        while len(board.seats[TAP].left) < number:
                            await asyncio.sleep(0.01)
                await asyncio.gather(attach.fails(5), tap.fails(5))
                assert not attach.told("connected")
        assert board.kinds(TAP)[:3] == ["flight", "sealed", "sealed"]


# -- third parties, resets ------------------------------------------------------------------


class Guessing(Board):
    """Plays the other can, with a wrong guess, and then wants more guesses by `reset`."""

    def __init__(self, resets: int = 20) -> None:
        super().__init__()
        self._resets = resets
        self.guesses = 0

    async def on_open(self, seat: Seat) -> None:
        await self.tell_opened(seat)
        if seat.side is TAP:
            await self._guess_at_tap()

    async def on_body(self, seat: Seat, body: bytes) -> None:
        if kind_of(body) == "share":
            self.guesses += 1
            _, flight = flight_to(body)
            await self.give(ATTACH, flight)
        if kind_of(body) in ("share", "flight"):
            for _ in range(self._resets):
                await self.reset(seat.side)
                if seat.side is TAP:
                    await self._guess_at_tap()
                else:
                    await self.give(ATTACH, flight_to(body)[1])

    async def _guess_at_tap(self) -> None:
        await self.give(TAP, shares()[1])


@pytest.mark.parametrize("resets", [0, 20])
async def test_a_stranger_answers_the_attaching_can(resets: int) -> None:
    async with Guessing.running(resets) as board:
        async with Can.started("attach-string", PHRASE, *options(board)) as attach:
            await attach.fails(5)
        assert "answer" not in board.kinds(ATTACH)


@pytest.mark.parametrize("resets", [1, 20])
async def test_a_stranger_waits_for_the_tapping_can_and_resets(resets: int) -> None:
    async with Guessing.running(resets) as board:
        async with Can.started("tap", PHRASE, *options(board)) as tap:
            await tap.fails(5)
        assert board.kinds(TAP).count("flight") == 1


class ResettingFirst(Board):
    """Resets both cans again and again, then does its work."""

    async def on_open(self, seat: Seat) -> None:
        await self.tell_opened(seat)
        seat.waiting.clear()
        for _ in range(30):
            await self.reset(ATTACH, TAP)


async def test_resets_before_the_guess_cost_nothing() -> None:
    async with ResettingFirst.running() as board, pair(board) as (attach, tap):
        await converse(attach, tap)
        assert board.kinds(TAP).count("flight") == 1


# -- hanging up, errors ----------------------------------------------------------------------


class Interrupting(Board):
    """Says something at one moment of the tapping can's meeting; it plays the other can itself."""

    def __init__(self, moment: str, frame: dict[str, Any]) -> None:
        super().__init__()
        self._moment, self._frame = moment, frame

    async def on_connect(self, socket: ServerConnection) -> None:
        if self._moment == "connected":
            await socket.send(msgspec.json.encode(self._frame).decode())

    async def on_open(self, seat: Seat) -> None:
        await self._interrupt(seat, "opening")
        await self.tell_opened(seat)
        await self._interrupt(seat, "opened")
        await self.give(TAP, shares()[1])
        await self._interrupt(seat, "share")

    async def on_body(self, seat: Seat, body: bytes) -> None:
        await self._interrupt(seat, "flight")

    async def _interrupt(self, seat: Seat, moment: str) -> None:
        if moment == self._moment:
            await self.say(seat.side, **self._frame)


GONE = {"type": "gone"}


def error(code: str) -> dict[str, Any]:
    return {"type": "error", "code": code, "text": "\x1b]0;obey\x07 \u202e"}


GONE_AND_ERRORS_AT_EVERY_MOMENT = [
    # Before the guess the can waits, and comes back: it ends when its time is over.
    ("opened", GONE, {4, 5}, "gone when opened"),
    # Once the flight is on its way, any end of the line is the end of the phrase. An interruption that
    # comes while the flight is being made meets the can before or after it.
    ("share", GONE, {4, 5}, "gone with the share"),
    ("flight", GONE, {5}, "gone after the flight"),
    ("connected", error("busy"), {7}, "busy at once"),
    ("opened", error("busy"), {7}, "busy when opened"),
    ("flight", error("busy"), {5, 7}, "busy after the flight"),
    ("opening", error("malformed"), {3}, "malformed instead of opened"),
    ("share", error("malformed"), {3, 5}, "malformed with the share"),
    ("flight", error("malformed"), {5}, "malformed after the flight"),
    ("opened", error("expired"), {4, 5}, "expired when opened"),
    ("opening", error("\x9b31m"), {4, 5}, "unknown error"),
]


async def test_gone_and_errors_at_every_moment() -> None:
    await side_by_side(
        *((name, partial(_gone_and_errors_at_every_moment, *case)) for *case, name in GONE_AND_ERRORS_AT_EVERY_MOMENT)
    )


async def _gone_and_errors_at_every_moment(moment: str, frame: dict[str, Any], codes: set[int]) -> None:
    async with Interrupting.running(moment, frame) as board:
        patience = "8" if 4 in codes else "120"  # only who goes on waiting has to be stopped
        async with Can.started("tap", PHRASE, *options(board, "--timeout", patience)) as tap:
            code = await tap.ended()
            assert code in codes, tap.report()
            await tap.fails(code)
            assert b"obey" not in tap.stderr
        assert board.kinds(TAP).count("flight") <= 1


# -- floods and nonsense of a server ------------------------------------------------------------


class Flooding(Board):
    """Sends one thing as often as it can."""

    def __init__(self, *texts: str | bytes, times: int = 1) -> None:
        super().__init__()
        self._texts = texts * times

    async def on_open(self, seat: Seat) -> None:
        await self.tell_opened(seat)
        for text in self._texts:
            await self.say_raw(seat.side, text)


MESSAGE = '{"type": "message", "seq": 0, "body": "AAAA"}'


FLOODS_AND_NONSENSE = [
    ([MESSAGE, *(MESSAGE.replace("0", str(n)) for n in range(1, 64))], 50, 5, "messages"),
    (['{"type": "message", "seq": 63, "body": ""}'], 3000, 5, "holes"),
    (['{"type": "reset", "mailbox": "x"}'], 3000, 4, "resets"),
    (['{"type": "opened", "mailbox": "x"}', '{"type": "opened", "mailbox": "y"}'], 1000, 4, "opened"),
    (['{"type": "message", "seq": 0, "body": "' + "A" * 200_000 + '"}'], 3, 4, "oversized"),
    (["x", "[]", "{}", '{"type": "gone", "x": ' + "[" * 30_000], 1, 4, "nonsense"),
    ([b"\x00\xff" * 100], 10, 4, "binary"),
]


async def _floods_and_nonsense(texts: list[str | bytes], times: int, code: int) -> None:
    """4: the can goes on trying until its time is over, as with every switchboard in trouble."""
    async with Flooding.running(*texts, times=times) as board:

        async def suffer(command: str) -> None:
            async with Can.started(command, PHRASE, *options(board, "--timeout", "8")) as can:
                await can.event("waiting")
                found = await can.ended()
                assert found in (code, 4), can.report()
                await can.fails(found)
                assert can.peak < 200 * 2**20

        await asyncio.gather(suffer("tap"), suffer("attach-string"))
        assert "flight" not in board.kinds(TAP)


class Misleading(Board):
    """Is no switchboard when asked by HTTP."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        super().__init__()
        self._answer = Response(
            status, http.HTTPStatus(status).phrase, Headers(headers | {"Content-Length": "0"}), b""
        )

    def on_request(self, connection: ServerConnection, request: Request) -> Response | None:
        return self._answer


# -- servers to ask -------------------------------------------------------------------------------


class Recommending(Board):
    def __init__(self, **extra: Any) -> None:
        super().__init__()
        self.extra = extra


def turn(*urls: str) -> dict[str, Any]:
    return {"urls": urls, "username": "\x1b[31m", "credential": "x" * 4000, "ttl": -1}


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param({"stun": ["stun:127.0.0.1:99999", "http://127.0.0.1/", "", "\x1b[31m"]}, id="nonsense"),
        pytest.param({"stun": ["stun:....:1", "stun:localhost:1", "stun:[::1]:1"]}, id="names"),
        pytest.param({"turn": turn("turn:127.0.0.1:1?transport=tcp", "turns:127.0.0.1:1", "turn:[::]:1")}, id="turn"),
    ],
)
async def test_hostile_servers_do_not_hinder_a_meeting(extra: dict[str, Any]) -> None:
    async with Recommending.running(**extra) as board:
        assert await meet(board.url) == (0, 0)


@pytest.mark.parametrize("evil", ["no address", "port 0", "garbage", "error"])
async def test_a_hostile_stun_server_does_not_hinder_a_meeting(evil: str) -> None:
    """Neither the one that the switchboard recommends nor one that the user chose."""
    async with (
        StunServer.running(evil=evil) as server,
        Recommending.running(stun=[server.url]) as board,
        Can.started("attach-string", PHRASE, *options(board)) as attach,
    ):
        await attach.event("waiting")
        await server.asked()  # and it has answered before anybody else came
        async with Can.started("tap", PHRASE, *options(board)) as tap:
            await converse(attach, tap)
            tap.end_input()
            assert (await attach.ended(), await tap.ended()) == (0, 0)


async def test_a_switchboard_cannot_add_servers_without_end() -> None:
    """Sixteen servers are asked at most besides those of the user, who may have chosen more than that."""
    async with StunServer.running() as more, Recommending.running(stun=[more.url, "stun:127.0.0.1:9"]) as board:
        own = [option for port in range(20, 37) for option in ("--stun", f"stun:127.0.0.1:{port}")]
        where = ("--switchboard", board.url, "--no-lan", *own)
        async with Can.started("attach-string", PHRASE, *where) as attach:
            await attach.event("waiting")
            async with Can.started("tap", PHRASE, *where) as tap:
                await converse(attach, tap)
        assert more.requests == 0


# -- what takes its time: all of it at once -----------------------------------------------------------


class Swallowing(Board):
    """Passes nothing on of one kind."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    async def on_body(self, seat: Seat, body: bytes) -> None:
        if kind_of(body) != self._kind:
            await super().on_body(seat, body)


async def test_floods_and_attacks_that_let_a_can_wait() -> None:
    """Twenty seconds and more for some of them, so all of them at once."""
    async with asyncio.TaskGroup() as group:
        group.create_task(
            side_by_side(*((name, partial(_floods_and_nonsense, *case)) for *case, name in FLOODS_AND_NONSENSE))
        )
        group.create_task(_swallowed_answer())
        group.create_task(_swallowed_flight())
        group.create_task(_no_switchboard(Misleading(302, {"Location": "ws://127.0.0.1:1/v1"})))
        group.create_task(_no_switchboard(Misleading(302, {"Location": "\x80\x9b31m://"})))
        group.create_task(_no_switchboard(Misleading(200, {})))
        group.create_task(_words_for_a_terminal())
        group.create_task(_no_switchboard(Recommending(stun=["stun:127.0.0.1:1"] * 30)))


async def _swallowed_answer() -> None:
    """The tapping can waits 20 s for the answer. The attaching one knows its peer, and finds no path to it."""
    async with Swallowing.running("answer") as board, pair(board) as (attach, tap):
        await asyncio.gather(attach.fails(6), tap.fails(5))


async def _swallowed_flight() -> None:
    """Nobody has come to the attaching can, as far as it can know."""
    async with (
        Swallowing.running("flight") as board,
        Can.started("attach-string", PHRASE, *options(board, "--timeout", "22")) as attach,
    ):
        await attach.event("waiting")
        async with Can.started("tap", PHRASE, *options(board, "--timeout", "120")) as tap:
            await asyncio.gather(attach.fails(4), tap.fails(5))
        assert board.kinds(TAP) == ["flight"] or board.kinds(TAP) == ["flight", "refusal"]


async def _no_switchboard(made: Board) -> None:
    class Ready(type(made)):  # type: ignore[misc]
        def __new__(cls) -> Any:
            return made

        def __init__(self) -> None:
            pass

    async with Ready.running() as board, Can.started("tap", PHRASE, *options(board)) as tap:
        await tap.fails(3)
        assert not control_bytes(tap.stderr)


async def _words_for_a_terminal() -> None:
    """A header that says CSI in one byte, as ISO 8859-1 has it: it is part of the error, and of the log."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
        writer.write(b"Sec-WebSocket-Accept: \x9b31mred\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        where = ("--switchboard", f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}", *NO_STUN)
        async with Can.started("tap", PHRASE, *where) as can, Can.started("tap", PHRASE, *where, "-v") as verbose:
            said = await can.fails(3)
            assert r"\x9b31mred" in said  # it got as far as this, and is shown
            assert await verbose.ended() == 3
            assert rb"switchboard trouble: answered" in verbose.stderr
            assert not control_bytes(verbose.stderr)


# -- and then ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", [Meddling, Truncating])
async def test_after_an_attack_a_new_run_works(attack: type[Board]) -> None:
    async with attack.running() as board:
        await both_fail(board)
    async with Board.running() as board, pair(board) as (attach, tap):
        await converse(attach, tap)
        tap.end_input()
        assert (await attach.ended(), await tap.ended()) == (0, 0)
