"""A peer that asks a forwarder for what it may not have, or for too much; honest connections are served."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ports import free_port
from security.cans import control_bytes
from security.forwards import Mallory, against, by_hand
from tincan.apps.forward import Transport
from tincan.apps.forward.events import Accepted, Asked, Refused
from tincan.apps.forward.frames import MAX_CREDIT, MAX_DATA, PREFACE, FrameReader, Kind, encode, encode_text, header
from tincan.apps.forward.mux import FULL, MAX_CONNECTIONS
from tincan.apps.forward.requests import Dial, Listen, encode_request
from tincan.errors import ProtocolError
from tincan.link.interface import StreamBroken
from unit.apps.forward.helpers import ask, closed, echo, plan, serving

MIB = 2**20
EVIL = "\x1b]0;owned\x07\x1b[2J\u202egpj.\u200b"


class Service:
    """Something on the loopback that counts who comes."""

    def __init__(self) -> None:
        self.visits = 0
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        await echo(reader, writer)


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    made = Service()
    async with serving(made.serve) as made.port:
        yield made


def six(text: str) -> str:
    """The normal form, which not every Python writes alike."""
    return f"[{ipaddress.IPv6Address(text)}]"


# -- what may be reached ------------------------------------------------------------

OTHER_NAMES = [
    "127.0.0.1", "127.1", "127.0.0.2", "0x7f.0.0.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "0",
    "0.0.0.0", six("::1"), six("::"), six("::ffff:127.0.0.1"), six("::127.0.0.1"), "[::1%lo]", "ip6-localhost",
    "localhost.localdomain", "localhost6", "a.localhost", "localhos", "127.0.0.1.nip.example",
]  # fmt: skip


@pytest.mark.parametrize("host", OTHER_NAMES)
async def test_another_name_for_what_is_allowed_is_not_allowed(service: Service, host: str) -> None:
    async with by_hand(plan(allow=[f"localhost:{service.port}"])) as (mallory, _):
        answer = await mallory.asks(Dial(f"{host}:{service.port}", Transport.TCP))
        assert isinstance(answer, Refused)
        assert "must be started with --allow" in answer.text
        assert "which is not allowed" in mallory.refused()[0].text
        assert service.visits == 0
        await mallory.is_served(f"localhost:{service.port}")
        assert service.visits == 1


@pytest.mark.parametrize(
    "spelling",
    [
        "LOCALHOST:{}", "localhost.:{}", "Localhost:{}", " localhost:{}", "localhost:{}\n", "localhost\0:{}",
        "localhost:0{}", "localhost:0", "localhost:+{}", "localhost:{}0000", "localhost", ":{}", "*:{}",
        "[localhost]:{}",
        "user@localhost:{}", "loc%61lhost:{}", "l\u043ecalhost:{}", "\uff4cocalhost:{}", "[0:0:0:0:0:0:0:1]:{}",
        "localhost:{}:localhost:{}", "//localhost:{}", "/run/../run/x", "relative/path", "/run/a\0b", "/" + "x" * 101,
        "x" * 256 + ":{}", "",
    ],
)  # fmt: skip
async def test_a_target_that_is_not_in_normal_form_ends_it(service: Service, spelling: str) -> None:
    async with by_hand(plan(allow=["*:*"])) as (mallory, task):
        target = spelling.format(service.port, service.port)
        mallory.mux.open(encode_request(Dial(target, Transport.TCP)))
        await mallory.says()
        with pytest.raises(ProtocolError):
            await task
        assert service.visits == 0


async def test_a_rule_covers_what_it_names_and_no_more(service: Service, tmp_path: Path) -> None:
    port = service.port
    rules = [f"127.0.0.1:{port}", f"*:{port - 1}", "elsewhere:*", str(tmp_path / "socket")]
    wanted = [f"localhost:{port}", f"127.0.0.1:{port + 1}", f"{six('::1')}:{port}", str(tmp_path / "socket2")]
    async with by_hand(plan(allow=rules, remote=[f"1:localhost:{port - 2}"])) as (mallory, _):
        for target in wanted:
            answer = await mallory.asks(Dial(target, Transport.TCP))
            assert isinstance(answer, Refused)
            assert "must be started with --allow" in answer.text
        # The target of the own -R is allowed, but only for what that -R carries.
        answer = await mallory.asks(Dial(f"localhost:{port - 2}", Transport.UDP))
        assert isinstance(answer, Refused)
        assert "--allow" in answer.text
        assert service.visits == 0
        await mallory.is_served(f"127.0.0.1:{port}")


async def test_nobody_listens_here_where_that_was_not_allowed(service: Service, tmp_path: Path) -> None:
    port = free_port()
    rules = plan(allow=[f"127.0.0.1:{service.port}"], allow_listen=[str(port)])
    places = [
        f"*:{port}", f"0.0.0.0:{port}", f"[::]:{port}", f"127.0.0.2:{port}", f"example.org:{port}", "localhost:0",
        "*:0", f"localhost:{port + 1}", f"{six('::ffff:127.0.0.1')}:{port}", str(tmp_path / "socket"),
    ]  # fmt: skip
    async with by_hand(rules) as (mallory, _):
        wishes = [(place, Transport.TCP) for place in places] + [(place, Transport.UDP) for place in places[:-1]]
        for place, transport in wishes:
            answer = await mallory.asks(Listen(place, "localhost:1", transport))
            assert isinstance(answer, Refused)
            assert "must be started with --allow-listen" in answer.text
        assert len(mallory.refused()) == len(wishes)
        assert isinstance(await mallory.asks(Listen(f"localhost:{port}", "localhost:1", Transport.TCP)), Accepted)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        await closed(writer)
        await mallory.is_served(f"127.0.0.1:{service.port}")


# -- too much -----------------------------------------------------------------------


@pytest.mark.skipif(not shutil.which("prlimit"), reason="needs prlimit, of util-linux")
async def test_connections_without_end_are_refused_and_an_honest_one_is_served(service: Service) -> None:
    """A process that may have 200 files open at a time, and a peer that wants 1024 connections."""
    target = f"127.0.0.1:{service.port}"
    async with against("--allow", target, within=("prlimit", "--nofile=200:200")) as (mallory, victim):
        before = victim.memory()
        ids = [mallory.mux.open(encode_request(Dial(target, Transport.TCP))) for _ in range(MAX_CONNECTIONS)]
        await mallory.says()
        answers = [await mallory.answer(id) for id in ids]
        assert 50 < sum(isinstance(answer, Accepted) for answer in answers) < 200
        assert service.visits < 200
        assert victim.memory() < before + 60 * MIB
        for id in ids:
            mallory.mux.release(id)
        await mallory.is_served(target)
        assert b"Traceback" not in victim.stderr


async def test_requests_without_end_are_answered_one_by_one(service: Service) -> None:
    async with by_hand(plan(allow=[f"127.0.0.1:{service.port}"])) as (mallory, _):
        for _ in range(3):
            ids = [
                mallory.mux.open(encode_request(Dial("elsewhere:1", Transport.TCP))) for _ in range(MAX_CONNECTIONS)
            ]
            await mallory.says()
            for id in ids:
                assert isinstance(await mallory.answer(id), Refused)
            mallory.heard.clear()
        await mallory.is_served(f"127.0.0.1:{service.port}")


async def test_one_connection_more_than_there_may_be_is_refused() -> None:
    wish = encode_request(Dial("127.0.0.1:9", Transport.UDP))
    async with by_hand(plan(allow=["127.0.0.1:9"])) as (mallory, _):
        reader = FrameReader()  # no books: they would not let it

        async def answers(*ids: int) -> list[tuple[Kind, bytes]]:
            await mallory.stream.write(b"".join(encode(Kind.OPEN, id, wish) for id in ids))
            found: dict[int, tuple[Kind, bytes]] = {}
            while len(found) < len(ids):
                for frame in reader.feed(bytes(await mallory.stream.read(2**16))):
                    if frame.kind in {Kind.ACCEPTED, Kind.REFUSED}:
                        found[frame.id] = frame.kind, bytes(frame.payload)
            return [found[id] for id in ids]

        await mallory.says(PREFACE)
        last = 2 * MAX_CONNECTIONS
        assert await answers(*range(2, last + 1, 2)) == [(Kind.ACCEPTED, b"")] * MAX_CONNECTIONS
        assert await answers(last + 2, last + 4) == [(Kind.REFUSED, FULL.encode())] * 2
        await mallory.says(encode_text(Kind.RESET, 2, ""))
        assert await answers(last + 6) == [(Kind.ACCEPTED, b"")]


async def test_an_asker_that_reads_no_answers_is_left(service: Service) -> None:
    """Answers wait until they are 8 MiB."""
    wish = encode_request(Dial("elsewhere." * 24 + "org:1", Transport.TCP))  # the longest answers
    async with against("--allow", f"127.0.0.1:{service.port}", json=False) as (mallory, victim):
        before = victim.memory()
        await mallory.says(PREFACE)

        async def go_on_asking() -> None:
            for begin in range(1, 2**24, 100):
                ids = range(2 * begin + mallory.odd, 2 * (begin + 100) + mallory.odd, 2)
                await mallory.stream.write(b"".join(encode(Kind.OPEN, id, wish) for id in ids))

        asking = asyncio.create_task(go_on_asking())
        assert "without reading the answers" in await victim.fails(8)
        assert victim.peak < before + 100 * MIB
        with pytest.raises(StreamBroken):
            await asking


# -- against the rules --------------------------------------------------------------


async def opened(mallory: Mallory, service: Service) -> int:
    answer = await mallory.asks(Dial(f"127.0.0.1:{service.port}", Transport.TCP))
    assert isinstance(answer, Accepted)
    while not mallory.mux.room(answer.id):
        await mallory.hears()
    return answer.id


@pytest.mark.parametrize(
    "trick",
    ["beyond its credit", "credit without end", "data after the end", "a reset of nothing", "data for nothing",
     "an id that goes back", "an id of the other side", "an answer to its own question", "not UTF-8"],
)  # fmt: skip
async def test_what_breaks_the_rules_ends_it_and_nothing_of_it_is_carried(service: Service, trick: str) -> None:
    async with by_hand(plan(allow=["*:*"])) as (mallory, task):
        id = await opened(mallory, service)
        wish = encode_request(Dial("elsewhere:1", Transport.TCP))
        frames = {
            "beyond its credit": [encode(Kind.DATA, id, bytes(MAX_DATA))] * (mallory.mux.room(id) // MAX_DATA + 100),
            "credit without end": [header(Kind.WINDOW, id, MAX_CREDIT)] * 2,
            "data after the end": [header(Kind.EOF, id), encode(Kind.DATA, id, b"x")],
            "a reset of nothing": [encode_text(Kind.RESET, id + 2, "")],
            "data for nothing": [encode(Kind.DATA, id + 100, b"x")],
            "an id that goes back": [encode(Kind.OPEN, id, wish)],
            "an id of the other side": [encode(Kind.OPEN, id + 1, wish)],
            "an answer to its own question": [encode_text(Kind.ACCEPTED, id, "")],
            "not UTF-8": [encode(Kind.RESET, id, b"\xff")],
        }
        await mallory.says(b"".join(frames[trick]))
        with pytest.raises(ProtocolError):
            await task


async def test_resets_and_openings_in_turn_are_only_work(service: Service) -> None:
    async with against("--allow", f"127.0.0.1:{service.port}") as (mallory, victim):
        before = victim.memory()
        wish = encode_request(Dial(f"127.0.0.1:{service.port}", Transport.TCP))
        for _ in range(20):
            ids = [mallory.mux.open(wish) for _ in range(100)]
            for id in ids:
                mallory.mux.release(id, EVIL)  # before it can be answered
            await mallory.says()
            await mallory.says(b"".join(encode_text(Kind.RESET, id, EVIL) for id in ids))
        await mallory.is_served(f"127.0.0.1:{service.port}")
        assert victim.memory() < before + 40 * MIB


async def test_a_peer_that_gives_all_credit_and_never_reads_does_not_fill_the_memory() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(bytes(MIB))
                await writer.drain()

    async with (
        serving(endless) as port,
        serving() as good,
        against("--allow", f"127.0.0.1:{port}", "--allow", f"127.0.0.1:{good}") as (mallory, victim),
    ):
        before = victim.memory()
        wish = encode_request(Dial(f"127.0.0.1:{port}", Transport.TCP))
        ids = [mallory.mux.open(wish) for _ in range(20)]
        await mallory.says()
        for id in ids:
            assert isinstance(await mallory.answer(id), Accepted)
        await mallory.says(*(header(Kind.WINDOW, id, MAX_CREDIT - MIB) for id in ids))
        for _ in range(10):
            await asyncio.sleep(0.1)  # it has all the time it wants to fill up
            assert victim.memory() < before + 60 * MIB
        for id in ids:
            mallory.mux.release(id)
        await mallory.says()
        await mallory.is_served(f"127.0.0.1:{good}")


async def test_nothing_that_a_peer_says_is_obeyed_by_a_terminal() -> None:
    port = free_port()
    here = f"127.0.0.1:{port}"
    for json in (True, False):
        options = ["-L", f"{here}:elsewhere:1", "-R", "1:localhost:2"]
        async with against(*options, json=json) as (mallory, victim):
            while not any(isinstance(event, Asked) for event in mallory.heard):
                await mallory.hears()
            [asked] = mallory.heard
            mallory.mux.accept(asked.id, EVIL, carries_data=False)
            await mallory.says()
            asking = asyncio.create_task(ask(("127.0.0.1", port), b"hello"))
            while len(mallory.heard) < 2:
                await mallory.hears()
            mallory.mux.refuse(mallory.heard[1].id, EVIL)
            await mallory.says(mallory.mux.data_to_send(2**20), encode(Kind.OPEN, 2 + mallory.odd, b"\x80"))
            await asyncio.wait([asking])
            assert asking.exception() is not None
            assert await victim.ended() == 8
            printed = victim.stdout + victim.stderr
            assert printed.count(b"owned") >= 2
            assert not control_bytes(printed)
