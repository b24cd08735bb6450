"""A peer that knows the phrase, and an outsider who finds the ports: what they can do to the other process."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
import sys
from typing import Any

import msgspec
import pytest

from lab.netlab import Lab
from security.cans import PATIENCE, Can, control_bytes, converse
from security.evil import Board
from security.peers import HELLO, PHRASE, Offering, chatting, linked, received
from tincan.apps.chat.frames import Bye, Hello, Message, Typing, encode
from tincan.apps.text import visible
from tincan.errors import AuthenticationFailed, TinCanError
from tincan.link.description import Candidate, Description
from tincan.link.description import encode as encode_description
from tincan.link.webrtc import WebRtcLink
from tincan.meet.mailbox import Side

linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
MIB = 2**20
ENOUGH = 64 * MIB
"""What a can may grow by under attack. It has 50 to 60 MiB to begin with."""


def packed(**frame: Any) -> bytes:
    return msgspec.msgpack.encode(frame)


# -- the certificate -----------------------------------------------------------------------------


async def test_a_wrong_fingerprint_cuts_the_link() -> None:
    """The one who was promised another certificate fails with code 5, and neither hears anything."""
    await asyncio.gather(*map(_deceive, Side))


async def _deceive(deceived: Side) -> None:
    links = {side: WebRtcLink(side) for side in Side}
    offers: dict[Side, Description] = {}
    for side, link in links.items():
        found: list[Candidate] = []
        await link.gather(found.append)
        offers[side] = link.description(tuple(found), complete=True)
    wrong = msgspec.structs.replace(offers[deceived.other], fingerprint=bytes(32))
    heard = {deceived: wrong, deceived.other: offers[deceived]}

    async def connect(side: Side) -> None:
        link = links[side]
        for candidate in heard[side].candidates:
            await link.ice.add_remote(candidate)
        await link.ice.end_of_remote()
        try:
            await link.connect(heard[side])
            await link.control.send(b"a secret")
        finally:
            await link.close()

    try:
        async with asyncio.timeout(PATIENCE):
            outcomes = dict(zip(Side, await asyncio.gather(*map(connect, Side), return_exceptions=True), strict=True))
        assert isinstance(outcomes[deceived], AuthenticationFailed)
        assert outcomes[deceived].exit_code == 5
        assert outcomes[deceived.other] is None or isinstance(outcomes[deceived.other], TinCanError)
        with pytest.raises(TinCanError):
            await links[deceived].control.receive()
    finally:
        for link in links.values():
            await link.close()


# -- the chat ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([HELLO, b"\xc1"], id="no MessagePack"),
        pytest.param([HELLO, b"\x91" * 5000], id="nested deeply"),
        pytest.param([packed(kind="message", id=1, text="hi")], id="no hello"),
        pytest.param([HELLO, packed(kind="message", id=1, text="x" * 100_000)], id="too long"),
        pytest.param([HELLO, packed(kind="message", id=2**60, text="x")], id="a huge id"),
        pytest.param([HELLO, packed(kind="ack", id=7)], id="an ack of nothing"),
    ],
)
async def test_malformed_chat_frames(frames: list[bytes]) -> None:
    async with linked() as (victim, link):
        for frame in frames:
            await link.control.send(frame)
        await victim.fails(8)


@linux
async def test_ten_thousand_frames_are_only_work() -> None:
    async with chatting() as (victim, link, _):
        before = victim.memory()
        for n in range(5000):
            await link.control.send(encode(Typing(n % 2 == 0)))
            await link.control.send(packed(kind="of a later version", junk="x" * 20))
        await link.control.send(encode(Message(1, "still there?")))
        assert (await victim.event("message"))["text"] == "still there?"
        assert victim.memory() - before < ENOUGH
        await link.control.send(encode(Bye()))
        assert await victim.ended() == 0


NASTY = "\x1b]0;title\x07\x1b[2J\x9b31m\u202eevil\u2066\u200b\x00\r\n\u2028\b\U000e0041"


@pytest.mark.parametrize("json_output", [True, False])
async def test_nothing_printed_is_obeyed_by_a_terminal(json_output: bool) -> None:
    hello = encode(Hello(1, 1, NASTY, NASTY, [NASTY]))
    async with chatting("-vv", json=json_output, hello=hello) as (victim, link, _):
        await link.control.send(encode(Message(1, NASTY)))
        await link.control.send(encode(Message(2, NASTY, action=True)))
        await link.control.send(encode(Bye(NASTY)))
        assert await victim.ended() == 7
        assert b"Traceback" not in victim.stdout
        assert not control_bytes(victim.stdout)
        assert not control_bytes(victim.stderr)
        if json_output:
            assert victim.told("message")[0]["text"] == NASTY  # for programs, exactly
        else:
            assert visible(NASTY).encode() + b"\n" in victim.stdout
        assert rb"\x1b]0;title\x07" in victim.stderr  # the complaint and the name, made visible


# -- channels, SCTP ----------------------------------------------------------------------------------


def open_message(label: bytes) -> bytes:
    return struct.pack("!BBHLHH", 3, 0, 0, 0, len(label), 0) + label


async def raw(link: Any, stream: int, protocol: int, data: bytes) -> None:
    """Send one SCTP message without the link's own manners."""
    await link._sctp._send(stream, protocol, data)


async def test_hundreds_of_channels() -> None:
    async with chatting() as (victim, link, _):
        for stream in range(1, 600, 2):
            await raw(link, stream, 50, open_message(b"x"))
        await victim.fails(8)


@linux
async def test_channels_opened_and_left_full_do_not_pile_up() -> None:
    async with chatting() as (victim, link, _):
        before = victim.memory()
        with contextlib.suppress(TinCanError, ConnectionError, TimeoutError):
            for _ in range(200):
                async with asyncio.timeout(3):
                    channel = await link.open_channel("x")
                    await channel.send(bytes(100_000))
                    await channel.close()
        assert victim.memory() - before < ENOUGH


def data_chunk(sctp: Any, *, flags: int, data: bytes, stream: int = 0, skip: int = 0) -> Any:
    chunk = sys.modules["aiortc.rtcsctptransport"].DataChunk()
    chunk.flags, chunk.stream_id, chunk.stream_seq, chunk.protocol, chunk.user_data = flags, stream, 0, 53, data
    sctp._local_tsn += skip
    chunk.tsn = sctp._local_tsn % 2**32
    sctp._local_tsn += 1
    return chunk


@linux
@pytest.mark.parametrize(("size", "piece"), [(8 * MIB, 1200), (3000, 1)], ids=["long", "in tiny pieces"])
async def test_a_message_without_end(monkeypatch: pytest.MonkeyPatch, size: int, piece: int) -> None:
    """What must be kept until a message is complete is bounded: then the peer has broken the protocol."""
    async with chatting() as (victim, link, _):
        before = victim.memory()
        monkeypatch.setattr(sys.modules["aiortc.rtcsctptransport"], "USERDATA_MAX_LENGTH", piece)
        await raw(link, 0, 53, bytes(size))
        # Not the chat, which would refuse the message too, once it is complete.
        assert "the connection could not take" in await victim.fails(8)
        assert victim.peak - before < ENOUGH


FIRST_PIECE, UNORDERED_WHOLE = 2, 7


@linux
@pytest.mark.parametrize("attack", ["holes", "streams"])
async def test_pieces_that_wait_for_others(attack: str) -> None:
    """The same for what came before something that never comes, and for beginnings on thousands of streams."""
    async with chatting() as (victim, link, _):
        before = victim.memory()
        with contextlib.suppress(ConnectionError):
            for n in range(60_000):
                if attack == "holes":
                    chunk = data_chunk(link._sctp, flags=UNORDERED_WHOLE, data=b"x", skip=1)
                else:
                    chunk = data_chunk(link._sctp, flags=FIRST_PIECE, data=b"x", stream=1 + n)
                await link._sctp._send_chunk(chunk)
                if n % 20 == 0:
                    await asyncio.sleep(0)
                    if victim.process.returncode is not None or link._closed.is_set():
                        break
        await victim.fails(8)
        assert victim.peak - before < ENOUGH


async def test_acknowledgements_of_nothing_cost_nothing() -> None:
    """A packet of gaps would have aiortc count to 20 million."""
    async with chatting() as (victim, link, _):
        sack = sys.modules["aiortc.rtcsctptransport"].SackChunk()
        sack.cumulative_tsn = link._sctp._last_received_tsn
        sack.advertised_rwnd = 100_000
        sack.gaps = [(0, 65535)] * 280
        for _ in range(20):
            await link._sctp._send_chunk(sack)
        await victim.fails(8)


async def test_garbage_through_the_encrypted_path() -> None:
    """Packets without a valid checksum are dropped, others end the link in good order."""
    dice = random.Random(1)
    async with chatting() as (victim, link, _):
        for size in (0, 1, 11, 12, 16, 100, 1200):
            await link._dtls._send_data(dice.randbytes(size) or b"\x00")
        await link.control.send(encode(Message(1, "still there?")))
        assert (await victim.event("message"))["text"] == "still there?"
        serialize = sys.modules["aiortc.rtcsctptransport"].serialize_packet
        tag = link._sctp._remote_verification_tag
        with contextlib.suppress(ConnectionError):
            for kind in range(256):
                body = bytes([kind, dice.randrange(256)]) + struct.pack("!H", 24) + dice.randbytes(20)
                await link._dtls._send_data(serialize(5000, 5000, tag, body))
        code = await victim.ended()
        assert code in (0, 6, 8), victim.report()
        assert b"Traceback" not in victim.stderr


@linux
async def test_a_peer_that_stops_reading() -> None:
    """What is typed stays where it comes from; the process does not grow."""
    async with linked() as (victim, link):
        await link.control.send(HELLO)
        await victim.event("connected")
        before = victim.memory()
        typed = 0

        async def type_on() -> None:
            nonlocal typed
            for _ in range(1000):
                await victim.say(b"x" * 60_000)
                typed += 60_000

        typing = asyncio.create_task(type_on())
        seen = -1
        while seen != typed and not typing.done():
            seen = typed
            await asyncio.wait([typing], timeout=1.0)  # not a pause: the pipe must have been full for so long
        assert not typing.done()
        assert victim.memory() - before < ENOUGH
        typing.cancel()
        await asyncio.wait([typing])


# -- where packets are sent ------------------------------------------------------------------------------


def offer_of(candidates: list[tuple[str, int]]) -> bytes:
    made = tuple(
        Candidate("host", address, port, f"f{n}", 2**31 - 1 - n) for n, (address, port) in enumerate(candidates)
    )
    return encode_description(Description("ufrag", "p" * 22, bytes(32), made, complete=True))


async def test_checks_go_only_where_a_peer_may_be(lab: Lab) -> None:
    network = lab.lan()
    host, other = network.host("victim"), network.host("other")
    broadcast = str(network.prefixes[0].broadcast_address)
    forbidden = {}
    for where, address in [
        ("loopback", "127.0.0.1"),
        ("another loopback", "127.8.8.8"),
        ("multicast", "239.1.2.3"),
        ("every", "0.0.0.0"),
    ]:
        sock = host.namespace.socket()
        sock.bind((address, 0))
        if where == "multicast":
            group = socket.inet_aton(address) + socket.inet_aton(host.address)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        forbidden[where] = (sock, (address, sock.getsockname()[1]))
    for where, machine, port in [("own service", host, 123), ("the neighbour's service", other, 53)]:
        sock = machine.namespace.socket()
        sock.bind((machine.address, port))
        forbidden[where] = (sock, (machine.address, port))
    for where, address in [("broadcast", broadcast), ("limited broadcast", "255.255.255.255")]:
        sock = other.namespace.socket()
        sock.bind(("", 0))
        forbidden[where] = (sock, (address, sock.getsockname()[1]))
    allowed = other.namespace.socket()
    allowed.bind((other.address, 0))
    odd = [("::ffff:127.0.0.1", 9), ("localhost", 9), ("fe80::1%eth0", 9), ("224.0.0.1", 5353), ("240.0.0.1", 9)]
    offer = offer_of([*(where for _, where in forbidden.values()), *odd, (other.address, allowed.getsockname()[1])])
    listening = host.call(socket.create_server, ("127.0.0.1", 0))
    async with (
        Offering.running(offer, sock=listening) as board,
        Can.started(
            "attach-string", PHRASE, "--switchboard", board.url, "--no-lan", "--stun", "none",
            within=host.namespace.argv([]),
        ) as victim,
    ):  # fmt: skip
        await victim.event("meeting")
        loop = asyncio.get_running_loop()
        allowed.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            for _ in range(3):  # the check, and two times again: the others had their turn long ago
                await loop.sock_recv(allowed, 2048)
    assert {where: received(sock) for where, (sock, _) in forbidden.items()} == dict.fromkeys(forbidden, 0)
    for sock in [allowed, *(sock for sock, _ in forbidden.values())]:
        sock.close()


@linux
async def test_an_outsider_cannot_harm_a_link() -> None:
    """Somebody who finds the UDP ports sends what he likes, before and after the string is tied."""
    dice = random.Random(2)
    junk = [
        b"",
        b"\x00",
        b"\x16\xfe\xfd" + bytes(10),
        b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28",
        bytes(60_000),
    ]
    junk += [bytes([first]) + dice.randbytes(dice.randrange(1200)) for first in range(256)]
    stun = [struct.pack("!HHI", kind, 8, 0x2112A442) + dice.randbytes(20) for kind in (1, 0x101, 0x111, 3, 0x4000)]
    outsider = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def spray(*cans: Can) -> int:
        ports = [where for can in cans for where in can.udp_ports()]
        for where in ports:
            for data in [*junk, *stun]:
                outsider.sendto(data, where)
        return len(ports)

    with outsider:
        async with Board.running() as board:
            where = ("--switchboard", board.url, "--no-lan", "--stun", "none")
            async with Can.started("attach-string", PHRASE, *where) as attach:
                await attach.event("waiting")
                async with asyncio.timeout(PATIENCE):
                    while not attach.udp_ports():
                        await asyncio.sleep(0.01)
                spray(attach)
                async with Can.started("tap", PHRASE, *where) as tap:
                    await tap.event("meeting")
                    spray(attach, tap)
                    await converse(attach, tap)
                    assert spray(attach, tap) >= 2
                    await attach.say("still there?")
                    assert (await tap.event("message"))["text"] == "still there?"
                    tap.end_input()
                    assert (await attach.ended(), await tap.ended()) == (0, 0)
