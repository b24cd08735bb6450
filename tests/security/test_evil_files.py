"""A sender whose names and places mean no good; what a terminal is shown of either side."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from security.cans import control_bytes
from security.transfers import (
    against,
    data,
    evil_sender,
    file,
    folder,
    in_one,
    offer,
    told_why,
    whole,
)
from tincan.apps.files.frames import (
    Accept,
    Busy,
    Control,
    Decline,
    Done,
    End,
    Error,
    Failed,
    Offer,
    Ready,
    Sent,
    Start,
)
from tincan.apps.files.hashing import digest_of
from tincan.apps.files.names import safe_parts
from tincan.errors import ProtocolError
from unit.apps.files.helpers import contents, tree

MB = 2**20
EVIL = "\x1b]0;owned\x07\x1b[2J\u202egpj.\u200b"


# -- names --------------------------------------------------------------------------

HOSTILE = [
    "../x", "a/../../x", "a/..", "..", ".", "./x", "", "/x", "/etc/x", "//x", "C:/x", "c:", "a\0b", "a\\b", "..\\x",
    "a//b", "a/", "x" * 256, "ü" * 128, "a/" * 128 + "b", "y" * 200 + "/" + "z" * 4000, "a/./b",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("make", [file, folder])
async def test_a_hostile_name_refuses_the_whole_offer(tmp_path: Path, name: str, make: type) -> None:
    async with evil_sender(tmp_path / "a/to") as (mallory, victim):
        await mallory.say(offer(file("good"), make(name)))
        assert "refused" in await told_why(mallory)
        await victim.complains()
    assert victim.user.offers == []
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("CON", "_CON"), ("nul.txt", "_nul.txt"), ("Aux .c", "_Aux .c"), ("com\u00b9.log", "_com\u00b9.log"),
        ("LPT9", "_LPT9"), ("CONIN$", "_CONIN$"), ("a:stream", "a_stream"), ("x. . ", "x____"),
        ("a|b?*<>", "a_b____"), ("console", "console"), ("C:x", "C_x"),
    ],
)  # fmt: skip
def test_a_name_that_windows_would_take_for_a_device_or_a_stream_is_made_safe(name: str, place: str) -> None:
    assert safe_parts(name, windows=True) == (place,)
    assert safe_parts(f"d/{name}/e", windows=True)[1] == place


@pytest.mark.parametrize("json", [True, False])
async def test_nothing_in_names_and_reasons_is_obeyed_by_a_terminal(tmp_path: Path, json: bool) -> None:
    arguments = ("--to", str(tmp_path / "to"), "--yes")
    async with against("receive", *arguments, json=json) as (mallory, victim):
        await mallory.agree(folder(EVIL), file(f"{EVIL}/{EVIL}", 2), file("left out", 2))
        await mallory.say(whole(1, b"hi"), Start(2, 0), End(2, 0, b"", EVIL), Sent(), Error(EVIL))
        await mallory.goodbye()
        assert await victim.ended() == 8
        assert not control_bytes(victim.stdout + victim.stderr)
    [made] = (tmp_path / "to").iterdir()
    assert [path.name for path in made.iterdir()] == [made.name]
    assert made.name.isprintable()
    assert not control_bytes(made.name.encode())


@pytest.mark.parametrize("last", [Error(EVIL), Decline(EVIL, True), Failed(0, EVIL)])
async def test_a_receiver_writes_nothing_evil_on_the_senders_terminal(tmp_path: Path, last: Control) -> None:
    tree(tmp_path, {"x": b"hello"})
    async with against("send", str(tmp_path / "x"), json=False) as (mallory, victim):
        await mallory.hear(Offer)
        if isinstance(last, Failed):
            await mallory.say(Accept(), last, Ready())
            await mallory.hear(Sent)
            await mallory.say(Done(0, 1))
        else:
            await mallory.say(last)
        await mallory.goodbye()
        assert await victim.ended() == (7 if isinstance(last, Decline) else 8)
        assert not control_bytes(victim.stdout + victim.stderr)
        assert b"owned" in victim.stderr


# -- places -------------------------------------------------------------------------


@pytest.mark.parametrize("send", [whole, in_one], ids=["in pieces", "in one piece"])
@pytest.mark.parametrize("overwrite", [False, True])
async def test_planted_symlinks_are_not_followed(
    tmp_path: Path, overwrite: bool, send: Callable[[int, bytes], bytes]
) -> None:
    outside = tree(tmp_path / "outside", {"file": b"mine", "d/deep": b"mine"})
    target = tree(tmp_path / "to", {}, ["."])
    links = {"d": "d", "file": "file", "dangling": "new", ".partial.tin-can-partial": "by partial"}
    for name, place in links.items():
        (target / name).symlink_to(outside / place)
    os.link(outside / "file", target / ".linked.tin-can-partial")
    names = ["d/new", "d/deep", "file", "dangling", "partial", "linked"]
    async with evil_sender(target, overwrite=overwrite) as (mallory, victim):
        await mallory.agree(folder("d"), *(file(name, 4) for name in names))
        for index in range(len(names)):
            await mallory.say(send(index + 1, b"evil"))
        await mallory.say(Sent())
        outcome = await victim.outcome()
    assert outcome.left_out >= 6
    assert contents(outside) == {"d/": b"", "d/deep": b"mine", "file": b"mine"}
    assert all((target / name).is_symlink() for name in links)


@pytest.mark.parametrize("send", [whole, in_one], ids=["in pieces", "in one piece"])
async def test_folders_swapped_for_symlinks_in_a_race_are_not_followed(
    tmp_path: Path, send: Callable[[int, bytes], bytes]
) -> None:
    outside = tree(tmp_path / "outside", {}, ["."])
    target = tree(tmp_path / "to", {}, ["."])
    count, flips, over = 600, [0], threading.Event()

    def flip() -> None:
        """What somebody else on this machine does, who may write here too."""
        while not over.is_set():
            for number in range(count):
                place = target / f"d{number}"
                with contextlib.suppress(OSError):
                    if place.is_symlink():
                        place.unlink()
                    else:
                        if place.exists():
                            place.rename(target / f"was{flips[0]}")
                        place.symlink_to(outside)
                    flips[0] += 1

    thread = threading.Thread(target=flip)
    thread.start()
    try:
        async with evil_sender(target) as (mallory, victim):
            await mallory.agree(*(file(f"d{number % count}/{number}", 4) for number in range(3 * count)))
            for number in range(3 * count):
                await mallory.say(send(number, b"evil"))
                while number == 2 * count and flips[0] <= count:
                    await asyncio.sleep(0.001)  # a quick receiver waits for the race
            await mallory.say(Sent())
            outcome = await victim.outcome()
    finally:
        over.set()
        thread.join()
    assert flips[0] > count
    assert 0 < outcome.left_out < 3 * count  # it was a race
    assert list(outside.iterdir()) == []


async def test_two_receivers_at_once_never_mix_one_file(tmp_path: Path) -> None:
    async with evil_sender(tmp_path) as (first, taking), evil_sender(tmp_path) as (second, other):
        await first.agree(file("x", 8))
        await second.agree(file("x", 8))
        await first.say(Start(0, 0), data(b"AAAA"), Busy())
        while not (tmp_path / ".x.tin-can-partial").exists():
            await asyncio.sleep(0.01)
        await second.say(whole(0, b"BBBBBBBB"))
        assert "another receiver is writing it" in (await second.hear(Failed)).reason
        await first.say(data(b"AAAA"), End(0, 8, digest_of(b"AAAAAAAA")), Sent())
        await second.say(Sent())
        assert (await taking.outcome()).complete
        assert (await other.outcome()).left_out == 1
    assert contents(tmp_path) == {"x": b"AAAAAAAA"}


async def test_modes_are_the_nine_lowest_bits(tmp_path: Path) -> None:
    async with evil_sender(tmp_path) as (mallory, victim):
        await mallory.agree(file("x", 2, 0o777))
        await mallory.say(whole(0, b"hi"), Sent())
        await victim.outcome()
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o777
    for mode in (0o4755, 0o2755, 0o1777, 0o10644, -1):
        async with evil_sender(tmp_path / "to") as (mallory, victim):
            await mallory.say(offer(file("setuid", 2, mode)))
            assert isinstance(await victim.complains(), ProtocolError)
    assert not (tmp_path / "to").exists()
