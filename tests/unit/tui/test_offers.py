"""Files within a conversation, at the screen: what is offered is asked about, and nobody answers by accident."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tincan.link.memory import MemoryLink
from tincan.meet.mailbox import Side
from tincan.tui.seam import Request
from unit.apps.files.helpers import contents, noise, tree
from unit.tui.memory import PHRASE, Exchange
from unit.tui.seats import Peer, Seat, answered, seated, talking

QUESTION = "They would be put into"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that everybody is in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    path.write_bytes(noise(3000))
    return path


def offers(peer: Peer, path: Path) -> None:
    files = peer.conversation.files
    assert files is not None
    files.send(str(path))


async def is_asked(seat: Seat, *texts: str) -> None:
    """Wait until the question stands there and takes an answer."""
    await seat.sees(QUESTION, *texts)
    await seat.until(lambda: not seat.app.screen.query_one("#answers").disabled)


def waiting(seat: Seat) -> dict[int, str]:
    """What is offered and not answered."""
    assert seat.app.controller is not None
    return seat.app.controller.talk.offers


def link_of(exchange: Exchange, number: int) -> MemoryLink:
    link = exchange.all[number].link
    assert link is not None
    return link


def after(link: MemoryLink, count: int, then: Callable[[], object] | None) -> None:
    """Do something once so many bytes have been sent at this end; None: files stand still then."""

    def alter(_: str, message: bytes) -> bytes | None:
        nonlocal count
        count -= len(message)
        if then is not None and 0 <= -count < len(message):
            then()
        return None if then is None and count < 0 and len(message) > 2000 else message

    link.alter = alter


async def test_a_file_is_sent_and_accepted_with_a_key(here: Path, photo: Path) -> None:
    async with talking() as (ada, bob):
        await bob.type(f"/send {photo}")
        await bob.sees("Offering photo.jpg ...")
        await is_asked(ada, "Bob offers 1 file, 3.0 kB:", "photo.jpg  (3.0 kB)", "Accept (y)", "Decline (n)")
        await ada.press("y")
        await ada.sees("photo.jpg: Received 1 file, 3.0 kB")
        await bob.sees("photo.jpg: Sent 1 file, 3.0 kB")
        assert contents(here) == {"photo.jpg": photo.read_bytes()}
        await ada.focuses("composer")


@pytest.mark.parametrize("key", ["n", "N", "escape"])
async def test_a_key_declines(here: Path, photo: Path, key: str) -> None:
    async with talking() as (ada, bob):
        await bob.type(f"/send {photo}")
        await is_asked(ada)
        await ada.press(key)
        await ada.sees("photo.jpg was not received: you declined it.")
        await bob.sees("photo.jpg was not sent: The other side does not want it.")
        assert contents(here) == {}


async def test_buttons_are_reached_with_tab_and_no_comes_first(here: Path, photo: Path) -> None:
    async with answered() as (ada, bob):
        offers(bob, photo)
        await is_asked(ada)
        await ada.press("enter")  # answers nothing while no button is marked
        await ada.press("tab")
        await ada.focuses("decline")
        await ada.press("tab")
        await ada.focuses("accept")
        await ada.press("enter")
        await ada.sees("Received 1 file")


async def test_commands_answer_too(here: Path, photo: Path) -> None:
    async with answered() as (ada, bob):
        await ada.press(*"/accep")
        await ada.sees("/accep")
        offers(bob, photo)
        await ada.sees(
            "Bob offers 1 file", "/accept takes it into this folder", "Bob offers files: /accept or /decline"
        )
        await ada.press("t", "enter")
        await ada.sees("Received 1 file")
        await ada.press(*"/declin")
        offers(bob, photo)
        await ada.until(lambda: ada.screen().count("Bob offers 1 file") == 2)
        await ada.press("e", "enter")
        await ada.sees("was not received: you declined")
        await ada.type("/accept")
        await ada.sees("Nothing is offered that waits for an answer.")


async def test_nobody_is_asked_in_the_middle_of_a_message(photo: Path) -> None:
    async with answered() as (ada, bob):
        await ada.press(*"well")
        await ada.sees("well")
        offers(bob, photo)
        await ada.sees("Bob offers 1 file")
        for letter in "yny":
            await asyncio.sleep(0.25)
            await ada.press(letter)
        await ada.sees("wellyny")
        assert QUESTION not in ada.screen()
        await ada.press("enter")
        await bob.sees("wellyny")
        await is_asked(ada)
        await ada.press("n")
        await ada.sees("was not received: you declined")


async def test_letters_typed_as_the_question_comes_go_into_the_message(here: Path, photo: Path) -> None:
    async with answered() as (ada, bob):
        offers(bob, photo)
        await ada.sees(QUESTION)
        assert ada.app.screen.query_one("#answers").disabled
        await ada.press(*"yes, now")
        await ada.sees("yes, now")
        await ada.sees_no(QUESTION)
        await ada.press("enter")
        await bob.sees("yes, now")
        await is_asked(ada)  # and it comes back
        assert contents(here) == {}
        await ada.press("w", "e")  # later, too, a letter that answers nothing begins a message
        await ada.sees("│ we")
        await ada.press("backspace", "backspace")
        await is_asked(ada)
        await ada.press("y")
        await ada.sees("Received 1 file")


async def test_enter_and_escape_as_the_question_comes_answer_nothing(photo: Path) -> None:
    async with answered() as (ada, bob):
        offers(bob, photo)
        await ada.sees(QUESTION)
        await ada.press("enter", "escape", "tab")
        await is_asked(ada)
        assert ada.app.focused is None
        await ada.press("escape")
        await ada.sees("was not received: you declined")


async def test_several_offers_are_asked_about_one_after_the_other(here: Path, tmp_path: Path) -> None:
    async with answered() as (ada, bob):
        for name in "abc":
            (tmp_path / name).write_bytes(name.encode())
            offers(bob, tmp_path / name)
            await ada.until(lambda: len(waiting(ada)) == "abc".index(name) + 1)  # noqa: B023
        for name, key in zip("abc", "yny", strict=True):
            await is_asked(ada, f"{name}  (1 byte)")
            await ada.press(key, key, key)  # the second one answers no question that has not been read
        await ada.sees("a: Received 1 file", "b was not received", "c: Received 1 file")
        assert contents(here) == {"a": b"a", "c": b"c"}


async def test_the_question_goes_when_the_peer_leaves(photo: Path) -> None:
    async with answered() as (ada, bob):
        offers(bob, photo)
        await ada.sees(QUESTION)
        await bob.conversation.goodbye(asyncio.get_running_loop().time() + 120)
        await ada.sees_no(QUESTION)
        await ada.sees("photo.jpg was not received: the offer was taken back.", "Bob hung up.")
        await ada.press("escape")
        await ada.left()


async def test_it_goes_below_the_help_as_well(photo: Path) -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, bob):
        offers(bob, photo)
        await is_asked(ada)
        await ada.press("f1")
        await ada.sees("Take it; files go into this folder")
        link_of(exchange, 1).vanish()
        await ada.until(lambda: not waiting(ada))
        await ada.press("escape")
        await ada.sees_no(QUESTION)
        await ada.sees("The connection to the peer was lost.")


async def test_an_offer_that_came_below_the_help_is_asked_about_afterwards(photo: Path) -> None:
    async with answered() as (ada, bob):
        await ada.press("f1")
        await ada.sees("Everywhere")
        offers(bob, photo)
        await ada.until(lambda: waiting(ada))
        await ada.press("escape")
        await is_asked(ada)


@pytest.mark.parametrize("keys", [("ctrl+q",), ("ctrl+c",)])
async def test_one_can_leave_from_the_question(photo: Path, keys: tuple[str, ...]) -> None:
    async with answered() as (ada, bob):
        offers(bob, photo)
        await is_asked(ada)
        await ada.press(*keys)
        await ada.left()


async def test_a_transfer_is_shown_and_does_not_hide_who_types(tmp_path: Path) -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, bob):
        (tmp_path / "big").write_bytes(noise(30_000_000))
        after(link_of(exchange, 1), 1_000_000, None)
        offers(bob, tmp_path / "big")
        await is_asked(ada)
        await ada.press("y")
        await ada.sees(" Receiving  ")
        await bob.conversation.typing(True)
        await ada.sees("Bob is typing ...   Receiving  ")
        await bob.conversation.typing(False)
        await ada.sees_no("Bob is typing ...")
        (tmp_path / "other").write_bytes(noise(30_000_000))
        offers(bob, tmp_path / "other")
        await is_asked(ada)
        await ada.press("y")
        await ada.until(lambda: re.search(r" Receiving \d %, Receiving \d %", ada.screen()))
        async with asyncio.timeout(120):
            await ada.type("/quit")
            await ada.left()


async def test_the_peer_vanishes_in_the_middle(tmp_path: Path) -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, bob):
        (tmp_path / "big").write_bytes(noise(9_000_000))
        link = link_of(exchange, 1)
        after(link, 5_000_000, link.vanish)
        offers(bob, tmp_path / "big")
        await is_asked(ada)
        await ada.press("y")
        await ada.sees("big was not received:", "when the same is sent", "The connection to the peer was lost.")


async def test_what_cannot_be_sent_is_told(photo: Path) -> None:
    async with answered() as (ada, _):
        await ada.type("/send")
        await ada.sees("Say what to send: /send PATH, a file or a folder")
        await ada.type("/send nowhere.jpg")
        await ada.sees("nowhere.jpg cannot be sent: it does not exist.")
        await ada.type("/send /dev/null")
        await ada.sees("/dev/null is neither a file nor a folder")


async def test_a_peer_without_files(photo: Path) -> None:
    exchange = Exchange()
    async with seated(exchange.make, Request(Side.ATTACH, PHRASE, name="Ada")) as ada:
        bob = Peer(exchange.make(Request(Side.TAP, PHRASE, name="Bob"), takes_files=False))
        taking = asyncio.create_task(bob.take())
        await ada.sees("Bob is here.")
        await ada.type(f"/send {photo}")
        await ada.sees("This conversation carries no files.")
        await ada.type("/quit")
        await ada.left()
        await taking


async def test_after_the_end_nothing_can_be_sent(photo: Path) -> None:
    async with talking() as (ada, bob):
        await bob.type("/quit")
        await ada.sees("Bob hung up.")
        controller = ada.app.controller
        assert controller is not None
        controller.submit(f"/send {photo}")
        await ada.sees("There is no string.")


@pytest.mark.parametrize("size", [(80, 24), (60, 20), (50, 15)])
async def test_a_hostile_offer_cannot_push_the_answers_off_the_screen(
    tmp_path: Path, here: Path, size: tuple[int, int]
) -> None:
    nasty = "\x1b[2J\u202e" + "x" * 200
    async with answered(size=size) as (ada, bob):
        folder = tree(tmp_path / nasty, {f"{nasty[:40]}{number}": b"" for number in range(20)})
        offers(bob, folder)
        await is_asked(ada, "Accept (y)", "Decline (n)", QUESTION, "_[2J_xxx")
        assert "\x1b" not in ada.screen()
        await ada.press("pagedown")
        await ada.press("y")
        await ada.sees("Received 20 files")
        assert len(contents(here)) == 21
