"""A conversation with files in it: what is acknowledged when, and how both end together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from tincan.apps.chat import ChatSession, Closed, Delivered, MessageReceived, PeerHello
from tincan.apps.conversation import ConversationEvent
from tincan.apps.desk_events import CAPABILITY, FilesEnded, FilesMoved, FilesOffered
from tincan.errors import NoPath
from tincan.link.interface import CloseReason
from tincan.link.memory import MemoryLink
from tincan.meet.mailbox import Side
from tincan.tui.seam import Request
from unit.apps.files.helpers import contents, noise
from unit.tui.memory import PHRASE, Exchange, MemoryConversation

PATIENCE = 120.0

T = TypeVar("T")


class Person:
    """Somebody who looks at one event after the other, when the test says so."""

    def __init__(self, conversation: MemoryConversation) -> None:
        self.conversation = conversation
        self.events = conversation.events()
        self.seen: list[ConversationEvent] = []

    async def sees(self, kind: type[T]) -> T:
        async with asyncio.timeout(PATIENCE):
            while True:
                event = await anext(self.events)
                self.seen.append(event)
                if isinstance(event, kind):
                    return event

    async def sees_the_rest(self) -> list[ConversationEvent]:
        async with asyncio.timeout(PATIENCE):
            return [event async for event in self.events]

    def sends(self, path: Path) -> None:
        files = self.conversation.files
        assert files is not None
        files.send(str(path))

    def answers(self, accepted: bool) -> None:
        files = self.conversation.files
        assert files is not None
        files.answer(None, accepted)

    @property
    def link(self) -> MemoryLink:
        link = self.conversation.link
        assert link is not None
        return link

    async def says_goodbye(self) -> None:
        await self.conversation.goodbye(asyncio.get_running_loop().time() + PATIENCE)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file beside the folder that everybody is in."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(noise(3000))
    return photo


@contextlib.asynccontextmanager
async def two_people(ada_takes: bool = True, bob_takes: bool = True) -> AsyncIterator[tuple[Person, Person]]:
    before = asyncio.all_tasks()
    exchange = Exchange()
    async with (
        exchange.make(Request(Side.ATTACH, PHRASE, name="Ada"), ada_takes) as ada,
        exchange.make(Request(Side.TAP, PHRASE, name="Bob"), bob_takes) as bob,
    ):
        people = Person(ada), Person(bob)
        for person in people:
            await person.sees(PeerHello)
        yield people
    async with asyncio.timeout(PATIENCE):  # a worker that was cancelled in a thread ends when that does
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0.01)


def stopping_after(link: MemoryLink, count: int, then: Callable[[], object]) -> None:
    def alter(_: str, message: bytes) -> bytes:
        nonlocal count
        if 0 < count <= len(message):
            then()
        count -= len(message)
        return message

    link.alter = alter


async def test_a_file_arrives_in_this_folder_while_people_talk(photo: Path) -> None:
    async with two_people() as (ada, bob):
        ada.sends(photo)
        await bob.sees(FilesOffered)
        await bob.conversation.send("What is it?")
        assert (await ada.sees(MessageReceived)).text == "What is it?"
        bob.answers(True)
        for person in (ada, bob):
            ended = await person.sees(FilesEnded)
            assert (ended.name, ended.text) == ("photo.jpg", "")
        assert contents(Path.cwd()) == {"photo.jpg": photo.read_bytes()}


async def test_a_message_is_acknowledged_when_the_next_event_is_asked_for_and_not_before(photo: Path) -> None:
    async with two_people() as (ada, bob):
        await bob.conversation.send("one")
        await ada.sees(MessageReceived)
        bob.sends(photo)
        waiting = asyncio.create_task(bob.sees(Delivered))
        for _ in range(200):  # news of files wait, the chat could go on: nothing may be acknowledged by itself
            await asyncio.sleep(0)
        assert not waiting.done()
        await ada.sees(FilesOffered)  # asks for the next event
        assert (await waiting).id == 1


async def test_news_of_files_do_not_acknowledge_what_was_said_after_them(photo: Path) -> None:
    async with two_people() as (ada, bob):
        bob.sends(photo)
        await ada.sees(FilesOffered)
        await bob.conversation.send("one")
        await bob.conversation.send("two")
        ada.answers(False)
        waiting = asyncio.create_task(bob.sees(Delivered))
        await ada.sees(FilesEnded)
        for _ in range(200):
            await asyncio.sleep(0)
        acknowledged = [event for event in bob.seen if isinstance(event, Delivered)]
        shown = [event for event in ada.seen if isinstance(event, MessageReceived)]
        assert len(acknowledged) <= len(shown)
        while len(shown) < 2:
            shown.append(await ada.sees(MessageReceived))
        assert [event.text for event in shown] == ["one", "two"]
        assert (await waiting).id == 1


@pytest.mark.parametrize("who", ["sender", "receiver"])
async def test_leaving_in_the_middle_ends_in_seconds_and_both_hear_how_to_go_on(photo: Path, who: str) -> None:
    photo.write_bytes(noise(30_000_000))
    leaving = asyncio.Event()
    async with two_people() as (ada, bob):
        stopping_after(ada.link, 5_000_000, leaving.set)
        ada.sends(photo)
        await bob.sees(FilesOffered)
        bob.answers(True)
        rests = [asyncio.create_task(person.sees_the_rest()) for person in (ada, bob)]
        async with asyncio.timeout(PATIENCE):
            await leaving.wait()
        async with asyncio.timeout(PATIENCE):
            await (ada if who == "sender" else bob).says_goodbye()
            sender, receiver = await asyncio.gather(*rests)
        for events, again in ((sender, "the same /send goes on"), (receiver, "when the same is sent again")):
            [ended] = [event for event in events if isinstance(event, FilesEnded)]
            assert ended.outcome is None
            assert again in ended.text
            assert isinstance(events[-1], Closed)
            assert events[-1].error is None


async def test_a_link_that_is_lost_in_the_middle(photo: Path) -> None:
    photo.write_bytes(noise(9_000_000))
    async with two_people() as (ada, bob):
        stopping_after(ada.link, 5_000_000, ada.link.vanish)
        ada.sends(photo)
        await bob.sees(FilesOffered)
        bob.answers(True)
        rest = await bob.sees_the_rest()
        assert [type(event) for event in rest if not isinstance(event, FilesMoved)] == [FilesEnded, Closed]
        last = rest[-1]
        assert isinstance(last, Closed)
        assert (last.reason, type(last.error)) == (CloseReason.LOST, NoPath)
        await ada.sees_the_rest()


async def test_leaving_while_a_question_is_open(photo: Path) -> None:
    async with two_people() as (ada, bob):
        ada.sends(photo)
        await bob.sees(FilesOffered)
        rests = [asyncio.create_task(person.sees_the_rest()) for person in (ada, bob)]
        async with asyncio.timeout(PATIENCE):
            await ada.says_goodbye()
            sender, receiver = await asyncio.gather(*rests)
        assert [type(event) for event in receiver] == [type(event) for event in sender]
        [ended] = [event for event in receiver if isinstance(event, FilesEnded)]
        assert ended.text == "the offer was taken back"


@pytest.mark.parametrize(("ada_takes", "bob_takes"), [(True, False), (False, True), (False, False)])
async def test_without_files_on_one_side_there_is_no_desk(ada_takes: bool, bob_takes: bool, photo: Path) -> None:
    async with two_people(ada_takes, bob_takes) as (ada, bob):
        assert ada.conversation.files is None
        assert bob.conversation.files is None
        await ada.conversation.send("hello all the same")
        assert (await bob.sees(MessageReceived)).text == "hello all the same"


async def test_a_peer_that_claims_files_where_there_are_none_is_heard_all_the_same() -> None:
    exchange = Exchange()
    async with exchange.make(Request(Side.ATTACH, PHRASE, name="Ada"), takes_files=False) as conversation:
        ada = Person(conversation)
        ours, theirs = MemoryLink.pair()
        async with ChatSession(theirs, name="Eve", capabilities=("chat", CAPABILITY)) as eve:
            conversation.tie(ours)
            assert (await ada.sees(PeerHello)).name == "Eve"
            await eve.send("hello")
            assert (await ada.sees(MessageReceived)).text == "hello"


async def test_a_folder_that_is_gone_ends_a_transfer_and_no_conversation(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    async with two_people() as (ada, bob):
        hearing = asyncio.create_task(bob.sees(MessageReceived))
        ada.sends(photo)
        ended = await ada.sees(FilesEnded)
        assert ended.outcome is None
        assert "The receiver cannot write to its target folder: it does not exist." in ended.text
        await ada.conversation.send("still here")
        assert (await hearing).text == "still here"
