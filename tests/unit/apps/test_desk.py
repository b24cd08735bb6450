"""Files are offered, answered and moved at two desks, and neither can be flooded or confused by the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tincan.apps.desk import MAX_TRANSFERS, PURPOSE
from tincan.apps.desk_events import FilesEnded, FilesMoved, FilesOffered
from tincan.apps.files.frames import Entry
from tincan.apps.files.manifest import make_manifest
from tincan.apps.files.sender import SenderCore
from tincan.errors import UsageError
from tincan.link.interface import StreamBroken
from tincan.link.memory import MemoryLink
from tincan.link.streams import LinkStream
from unit.apps.desks import PATIENCE, Clerk, two_desks
from unit.apps.files.helpers import contents, noise, tree


def file(folder: Path, name: str = "photo.jpg", size: int = 3000) -> Path:
    path = folder / name
    path.write_bytes(noise(size))
    return path


async def test_a_file_is_offered_accepted_and_arrives(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        photo = file(tmp_path)
        assert ada.desk.send(str(photo)) == "photo.jpg"
        offered = await bob.sees(FilesOffered)
        assert [top.name for top in offered.offer.top] == ["photo.jpg"]
        bob.desk.answer(None, True)
        received, sent = await bob.sees(FilesEnded), await ada.sees(FilesEnded)
        assert (received.name, received.sending, received.text) == ("photo.jpg", False, "")
        assert (sent.name, sent.sending, sent.text) == ("photo.jpg", True, "")
        assert contents(bob.folder) == {"photo.jpg": photo.read_bytes()}
        assert {event.id for event in bob.seen if isinstance(event, FilesMoved)} == {offered.id}


async def test_a_folder_with_a_symlink_arrives_and_the_sender_hears_what_was_left_behind(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        source = tree(tmp_path / "trip", {"one.txt": b"1", "more/two.txt": b"22"})
        (source / "link").symlink_to("one.txt")
        ada.desk.send(str(source) + "/")
        assert (await bob.accepts()).outcome is not None
        assert (await ada.sees(FilesEnded)).text == "1 symlink was not sent"
        assert contents(bob.folder) == {
            "trip/": b"",
            "trip/more/": b"",
            "trip/more/two.txt": b"22",
            "trip/one.txt": b"1",
        }


async def test_both_send_several_at_once(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        for number in range(4):
            ada.desk.send(str(file(tmp_path, f"a{number}", 200_000)))
            bob.desk.send(str(file(tmp_path, f"b{number}", 200_000)))

        async def take(clerk: Clerk) -> None:
            ended = 0
            while ended < 8:
                event = await clerk.desk.next_event()
                ended += isinstance(event, FilesEnded)
                assert not isinstance(event, FilesEnded) or event.outcome is not None
                if isinstance(event, FilesOffered):
                    clerk.desk.answer(event.id, True)

        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            group.create_task(take(ada))
            group.create_task(take(bob))
        assert sorted(contents(bob.folder)) == ["a0", "a1", "a2", "a3"]
        assert sorted(contents(ada.folder)) == ["b0", "b1", "b2", "b3"]


@pytest.mark.parametrize("reason", [["No room for cats."], []], ids=["with a reason", "without"])
async def test_declined(tmp_path: Path, reason: list[str]) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        ada.desk.send(str(file(tmp_path)))
        offered = await bob.sees(FilesOffered)
        bob.desk.answer(offered.id, False, *reason)
        sent, received = await ada.sees(FilesEnded), await bob.sees(FilesEnded)
        assert (sent.outcome, sent.text) == (None, *(reason or ["The other side does not want it."]))
        assert (received.outcome, received.name, received.text) == (None, "photo.jpg", "you declined it")
        assert contents(bob.folder) == {}


async def test_an_answer_needs_an_offer_that_waits(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        with pytest.raises(UsageError, match="Nothing is offered"):
            bob.desk.answer(None, True)
        ada.desk.send(str(file(tmp_path)))
        offered = await bob.sees(FilesOffered)
        with pytest.raises(UsageError, match="Nothing is offered"):
            bob.desk.answer(offered.id + 1, True)
        bob.desk.answer(offered.id, True)
        with pytest.raises(UsageError, match="Nothing is offered"):
            bob.desk.answer(offered.id, False)
        assert (await bob.sees(FilesEnded)).outcome is not None


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("nowhere.txt", "nowhere.txt cannot be sent: it does not exist."),
        ("~nobody-of-this-name/x", "cannot be sent: it does not exist."),
        ("-", "Standard input is taken by the conversation"),
        ("/", "/ has no name to send it by."),
        ("/dev/null", "neither a file nor a folder"),
        ("a\0b", "That is no path"),
        ("'half quoted", "cannot be sent: it does not exist."),
        ("'-'", "cannot be sent: it does not exist."),
        ("x" * 5000, "its name is too long"),
    ],
)
async def test_what_cannot_be_sent_is_told_at_once(tmp_path: Path, path: str, sentence: str) -> None:
    async with two_desks(tmp_path) as (ada, _):
        with pytest.raises(UsageError) as told:
            ada.desk.send(path)
        assert sentence in str(told.value)
        assert "--as" not in str(told.value)


@pytest.mark.parametrize("quoted", ["'{}'", '"{}"', "{}", "escaped"])
async def test_a_path_may_be_quoted_as_for_a_shell(tmp_path: Path, quoted: str) -> None:
    async with two_desks(tmp_path) as (ada, _):
        path = str(file(tmp_path, "my cat's photo.jpg"))
        if "'{" in quoted:
            path = str(file(tmp_path, "my photo.jpg"))
        typed = path.replace(" ", "\\ ").replace("'", "\\'") if quoted == "escaped" else quoted.format(path)
        assert ada.desk.send(typed) == os.path.basename(path)


async def test_a_name_with_quotes_in_it_is_meant_as_it_stands(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, _):
        file(tmp_path, "photo.jpg")
        assert ada.desk.send(str(file(tmp_path, "'photo.jpg'"))) == "'photo.jpg'"


async def test_an_offer_that_ends_before_the_answer_closes_the_question(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        ada.desk.send(str(file(tmp_path)))
        offered = await bob.sees(FilesOffered)
        ada.running.cancel()
        ended = await bob.sees(FilesEnded)
        assert (ended.id, ended.outcome, ended.text) == (offered.id, None, "the offer was taken back")
        with pytest.raises(UsageError):
            bob.desk.answer(offered.id, True)
        assert (await ada.sees(FilesEnded)).text.startswith("the conversation ended before")


async def read_to_the_end(stream: LinkStream) -> None:
    while await stream.read(1000):
        pass


def after(link: MemoryLink, count: int, then: Callable[[], object]) -> None:
    """Do something once so many bytes have been sent at this end."""

    def alter(_: str, message: bytes) -> bytes:
        nonlocal count
        if 0 < count <= len(message):
            then()
        count -= len(message)
        return message

    link.alter = alter


async def test_what_stops_in_the_middle_is_gone_on_with_when_it_is_sent_again(tmp_path: Path) -> None:
    big = file(tmp_path, "big", 9_000_000)
    async with two_desks(tmp_path) as (ada, bob):
        after(ada.link, 5_000_000, ada.link.vanish)
        ada.desk.send(str(big))
        bob.desk.answer((await bob.sees(FilesOffered)).id, True)
        for clerk, again in ((ada, "the same /send goes on from there"), (bob, "when the same is sent again")):
            ended = await clerk.sees(FilesEnded)
            assert ended.outcome is None
            assert again in ended.text
            async with asyncio.timeout(PATIENCE):
                await clerk.running  # nothing of it is left
        with pytest.raises(UsageError, match="no string"):
            ada.desk.send(str(big))
    bob.folder.rename(tmp_path / "kept")
    ada.folder.rmdir()
    async with two_desks(tmp_path) as (ada, again):
        again.folder.rmdir()
        (tmp_path / "kept").rename(again.folder)
        ada.desk.send(str(big))
        ended = await again.accepts()
        assert ended.outcome is not None
        assert ended.outcome.moved < ended.outcome.bytes == 9_000_000
        assert contents(again.folder) == {"big": big.read_bytes()}


async def test_a_folder_that_cannot_be_written_ends_one_transfer_and_not_the_desk(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        bob.folder.rmdir()
        bob.folder.write_bytes(b"a file, where a folder should be")
        ada.desk.send(str(file(tmp_path)))
        ended = await bob.accepts()
        assert ended.outcome is None or ended.outcome.left_out
        await ada.sees(FilesEnded)
        bob.folder.unlink()
        bob.folder.mkdir()
        ada.desk.send(str(file(tmp_path)))
        assert (await bob.accepts()).outcome is not None


async def test_so_many_at_once_and_no_more(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        for _ in range(MAX_TRANSFERS):
            ada.desk.send(str(file(tmp_path)))
        with pytest.raises(UsageError, match="Too many files are on their way"):
            ada.desk.send(str(file(tmp_path)))
        offered = [await bob.sees(FilesOffered) for _ in range(MAX_TRANSFERS)]
        for event in offered:
            bob.desk.answer(event.id, False)
        for clerk in (ada, bob):
            for _ in range(MAX_TRANSFERS):
                await clerk.sees(FilesEnded)
        ada.desk.send(str(file(tmp_path)))
        assert (await bob.accepts()).outcome is not None


async def test_a_flood_of_offers_is_closed_unread(tmp_path: Path) -> None:
    """The peer here has no limit of its own."""
    async with two_desks(tmp_path) as (ada, bob):
        for _ in range(MAX_TRANSFERS):
            ada.desk.send(str(file(tmp_path)))
        for _ in range(MAX_TRANSFERS):
            await bob.sees(FilesOffered)
        async with asyncio.timeout(PATIENCE):
            for _ in range(3 * MAX_TRANSFERS):
                stream = await ada.streams.open(PURPOSE)
                with pytest.raises(StreamBroken):
                    await read_to_the_end(stream)
                await stream.close()
        assert bob.desk.rest() == []
        bob.desk.answer(None, True)
        assert (await bob.sees(FilesEnded)).outcome is not None


async def test_offers_without_end_wait_for_somebody_to_look(tmp_path: Path) -> None:
    """Offered and taken back, again and again, while nobody takes the news: what waits is bounded."""
    offer = b"".join(SenderCore(make_manifest([Entry("photo.jpg", 10, 0o644, 0)])).start())
    async with two_desks(tmp_path) as (ada, bob):
        async with asyncio.timeout(PATIENCE):
            for _ in range(5 * MAX_TRANSFERS):
                stream = await ada.streams.open(PURPOSE)
                with contextlib.suppress(StreamBroken):
                    await stream.write(offer)
                    await stream.write_eof()
                    await read_to_the_end(stream)
                await stream.close()
        told = bob.desk.rest()
        assert [type(event) for event in told] == [FilesOffered, FilesEnded] * MAX_TRANSFERS
        assert bob.desk.rest() == []
        ada.desk.send(str(file(tmp_path)))  # and then there is room again
        assert (await bob.accepts()).outcome is not None


async def test_a_stream_without_an_offer_is_nobodys_business(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        for _ in range(2 * MAX_TRANSFERS):
            stream = await ada.streams.open(PURPOSE)
            await stream.write(b"\0\0\0\1garbage")
            await stream.close()
        ada.desk.send(str(file(tmp_path)))
        assert (await bob.accepts()).outcome is not None
        assert [type(event) for event in bob.seen if not isinstance(event, FilesMoved)] == [FilesOffered, FilesEnded]


async def test_progress_is_not_told_after_the_end(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        ada.desk.send(str(file(tmp_path, "big", 4_000_000)))
        bob.desk.answer((await bob.sees(FilesOffered)).id, True)
        await bob.sees(FilesEnded)
        told = ada.desk.rest()
        assert [type(event) for event in told] == [FilesEnded]


async def test_leaving_in_the_middle_takes_no_time_and_both_hear_how_to_go_on(tmp_path: Path) -> None:
    async with two_desks(tmp_path) as (ada, bob):
        after(ada.link, 5_000_000, bob.running.cancel)
        ada.desk.send(str(file(tmp_path, "big", 30_000_000)))
        bob.desk.answer((await bob.sees(FilesOffered)).id, True)
        received = await bob.sees(FilesEnded)
        assert received.text.startswith("the conversation ended before everything was there; when the same is sent")
        sent = await ada.sees(FilesEnded)
        assert sent.outcome is None
        assert sent.text.endswith("the same /send goes on from there")
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([bob.running])
