"""Somebody who knows the phrase of a `friend add` and means no good, against the real command."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from security.cans import NO_STUN, Can, control_bytes
from tincan.apps.chat.frames import Hello, encode
from tincan.errors import AuthenticationFailed
from tincan.identity import Identity, identity_of
from tincan.link.dial import Settings, tie_string
from tincan.link.interface import Channel, ChannelClosed
from tincan.meet.phrase import parse
from tincan.vpn.social.befriending import Answer, Befriending, Card, Kept, Proof, State
from unit.switchboard.wire import switchboard

PATIENCE = 120.0
MALLORY = identity_of(bytes([7] * 32), bytes([8] * 32))
BOB = identity_of(bytes([9] * 32), bytes([10] * 32))


def said(frame: msgspec.Struct) -> bytes:
    return msgspec.msgpack.encode(frame)


@contextlib.asynccontextmanager
async def adding(home: Path, name: str = "Mallory", *options: str) -> AsyncIterator[tuple[Can, Any]]:
    """Let the victim add a friend, and be the one at the other end, who has greeted."""
    phrase = f"{10_000_000 + secrets.randbelow(80_000_000)}-guitar-banana"
    async with switchboard() as url:
        where = ("--switchboard", url, *NO_STUN, *options)
        env = {"XDG_DATA_HOME": str(home), "TIN_CAN_PHRASE": phrase}
        async with Can.started("friend", "add", "--yes", *where, env=env) as victim:
            settings = Settings(switchboards=(url,), lan=False)
            async with tie_string(None, parse(phrase), settings, lambda event: None) as link:
                await link.control.send(encode(Hello(1, 1, name, "evil/1", ["friend"])))
                await link.control.receive()  # its greeting
                yield victim, link


def book(home: Path) -> list[str]:
    """The names of the friends that were kept."""
    with contextlib.suppress(FileNotFoundError):
        return [friend["name"] for friend in json.loads((home / "tin-can/friends.json").read_text())["friends"]]
    return []


async def behave(channel: Channel, identity: Identity, binding: bytes) -> None:
    """Do everything as it should be."""
    core = Befriending(identity, bytes(32), binding)
    with contextlib.suppress(ChannelClosed):
        while core.state is not State.KEPT:
            for frame in core.data_to_send():
                await channel.send(frame)
            core.receive(await channel.receive())
            if core.state is State.PROVEN:
                core.answer(True)
            elif core.state is State.AGREED:
                core.keep()
        for frame in core.data_to_send():
            await channel.send(frame)


@pytest.mark.parametrize(
    "name",
    [
        "bob\n127.0.0.1 bank.example",
        "\x1b]0;owned\x07\x1b[2J",
        "../../etc/passwd",
        "localhost",
        "\u202ebob",
        "x" * 100_000,
    ],
    ids=["line", "escape", "path", "localhost", "bidi", "long"],
)
async def test_a_hostile_name_becomes_a_harmless_word(tmp_path: Path, name: str) -> None:
    async with asyncio.timeout(PATIENCE), adding(tmp_path, name) as (victim, link):
        await behave(link.control, MALLORY, link.binding)
        assert await victim.ended() == 0, victim.report()
        [friend] = victim.told("friend")
        [kept] = book(tmp_path)
        assert f"{kept}.can" == friend["name"]
        assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", kept)
        assert kept != "localhost"
        assert not control_bytes(victim.stderr + victim.stdout)


async def test_nobody_becomes_a_friend_with_somebody_elses_keys(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE), adding(tmp_path) as (victim, link):
        channel = link.control
        card = await channel.receive()
        await channel.send(said(Card(BOB.public.signing, BOB.public.agreeing, bytes(32))))
        await channel.send(said(Proof(MALLORY.sign(card))))
        await victim.fails(5)
        assert book(tmp_path) == []


async def test_a_proof_for_another_channel_is_none(tmp_path: Path) -> None:
    """As if Mallory had it from Bob, who is at the other end of another string of his."""
    async with asyncio.timeout(PATIENCE), adding(tmp_path) as (victim, link):
        channel = link.control
        with contextlib.suppress(AuthenticationFailed):
            await behave(channel, BOB, link.binding[::-1])
        assert "not its own" in await victim.fails(5)
        assert book(tmp_path) == []


async def test_nobody_becomes_a_friend_by_handing_back_what_he_gets(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE), adding(tmp_path) as (victim, link):
        channel = link.control
        await channel.send(await channel.receive())
        assert "your own keys" in await victim.fails(5)
        assert book(tmp_path) == []


FRAMES: dict[str, Callable[[], bytes]] = {
    "proof first": lambda: said(Proof(bytes(64))),
    "answer first": lambda: said(Answer(True)),
    "kept first": lambda: said(Kept()),
    "nonsense": lambda: b"\xc1",
    "nested": lambda: b"\x91" * 900,
    "long": lambda: bytes(100_000),
    "empty": lambda: b"",
}


@pytest.mark.parametrize("frame", FRAMES)
async def test_frames_out_of_turn_end_it_and_nothing_is_kept(tmp_path: Path, frame: str) -> None:
    async with asyncio.timeout(PATIENCE), adding(tmp_path) as (victim, link):
        channel = link.control
        await channel.send(FRAMES[frame]())
        await victim.fails(8)
        assert book(tmp_path) == []


async def test_who_goes_away_before_the_answer_is_not_kept(tmp_path: Path) -> None:
    async with asyncio.timeout(PATIENCE):
        async with adding(tmp_path) as (victim, link):
            channel = link.control
            core = Befriending(MALLORY, bytes(32), link.binding)
            for _ in range(2):
                for frame in core.data_to_send():
                    await channel.send(frame)
                core.receive(await channel.receive())
            for frame in core.data_to_send():
                await channel.send(frame)
            await channel.drain()
            await channel.close()
            await victim.fails(6)
        assert book(tmp_path) == []
