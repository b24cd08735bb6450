"""Strings of two cans with everything real: they meet over loopback, open streams, lose each other and meet again."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
from collections.abc import AsyncIterator

import pytest

from tincan.apps.strings import Carrier, Lost, Mended, PhraseString, StringEvent
from tincan.errors import NobodyCame, PeerRefused
from tincan.link.dial import Connected, Settings
from tincan.link.interface import ChannelClosed, StreamBroken
from tincan.link.webrtc import WebRtcLink
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, generate
from unit.link.pairs import only_the_test_is_left
from unit.link.stream_pairs import read_all, some_bytes, write_all

WITHIN = 120.0
HERE = Settings(timeout=WITHIN)


def some_phrase() -> Phrase:
    """A phrase that no other test, and no other run of this one, meets at."""
    words = iter(("guitar", "banana"))
    return generate(10_000_000 + secrets.randbelow(80_000_000), lambda _: next(words))


class Can:
    """One end of a string, and what it tells."""

    def __init__(
        self, side: Side | None, phrase: Phrase, *, app: str = "pipe", name: str = "Ada", settings: Settings = HERE
    ) -> None:
        self.heard: list[StringEvent] = []
        self._news = asyncio.Event()
        self.string = PhraseString(side, phrase, settings, self._hear, app=app, name=name)

    def _hear(self, event: StringEvent) -> None:
        self.heard.append(event)
        self._news.set()

    async def hears(self, kind: type[StringEvent]) -> StringEvent:
        """Return the first event of a kind, once there is one."""
        while True:
            for event in self.heard:
                if isinstance(event, kind):
                    return event
            self._news.clear()
            await self._news.wait()


@contextlib.asynccontextmanager
async def tied(sides: tuple[Side | None, Side | None] = (Side.ATTACH, Side.TAP)) -> AsyncIterator[tuple[Can, Can]]:
    """Two tied strings, the attaching can's first."""
    phrase = some_phrase()
    one, other = Can(sides[0], phrase, name="Ada"), Can(sides[1], phrase, name="Bob")
    async with asyncio.timeout(WITHIN), contextlib.AsyncExitStack() as stack:
        await asyncio.gather(stack.enter_async_context(one.string), stack.enter_async_context(other.string))
        yield (one, other) if one.string.side is Side.ATTACH else (other, one)
    await only_the_test_is_left()


async def carries(near: Can, far: Can, size: int = 300_000) -> None:
    """A stream from near to far takes both directions to their ends."""
    ours, theirs = await asyncio.gather(near.string.open_stream(), far.string.accept_stream())
    there, back = some_bytes(1, size), some_bytes(2, size)
    results = await asyncio.gather(
        write_all(ours, there, 1), write_all(theirs, back, 2), read_all(theirs), read_all(ours)
    )
    assert results[2:] == [there, back]
    await ours.close()
    await theirs.close()


async def lose(*, which: slice = slice(None)) -> None:
    """End the links of this process as their agents do when the peer has gone silent."""
    links = [found for found in gc.get_objects() if type(found) is WebRtcLink]  # isinstance asks dead proxies
    for link in links[which]:
        await link.ice.close()


@pytest.mark.parametrize("sides", [(Side.ATTACH, Side.TAP), (None, None)], ids=["agreed", "whoever comes first"])
async def test_two_cans_tie_a_string_and_streams_go_both_ways(sides: tuple[Side | None, Side | None]) -> None:
    async with tied(sides) as (attach, tap):
        assert (attach.string.side, tap.string.side) == (Side.ATTACH, Side.TAP)
        assert {attach.string.peer, tap.string.peer} == {"Ada", "Bob"}
        for near, far in ((attach, tap), (tap, attach)):
            await carries(near, far)
        for can in (attach, tap):
            await can.hears(Connected)


async def test_it_is_told_how_the_bytes_go() -> None:
    async with tied() as (attach, tap):
        ours, theirs = await asyncio.gather(attach.string.open_stream(), tap.string.accept_stream())
        for can in (attach, tap):
            carrier = await can.hears(Carrier)
            assert isinstance(carrier, Carrier)
            assert carrier.tcp
        await ours.close()
        await theirs.close()


@pytest.mark.parametrize("apps", [("pipe", "files"), ("files", "pipe"), ("forward", "pipe"), ("pipe", "chat")])
async def test_two_that_are_here_for_different_things_both_learn_it(apps: tuple[str, str]) -> None:
    phrase = some_phrase()

    async def tie(can: Can) -> None:
        async with can.string:
            raise AssertionError("tied")

    async with asyncio.timeout(WITHIN):
        cans = [Can(side, phrase, app=app) for side, app in zip(Side, apps, strict=True)]
        results = await asyncio.gather(*map(tie, cans), return_exceptions=True)
    for result in results:
        assert isinstance(result, PeerRefused)
        assert result.exit_code == 7
        assert "agree on one of them" in str(result)
    await only_the_test_is_left()


async def test_a_string_that_is_lost_is_tied_again_and_again() -> None:
    async with tied() as (attach, tap):
        for _ in range(2):
            ours, theirs = await asyncio.gather(attach.string.open_stream(), tap.string.accept_stream())
            await ours.write(b"half")
            assert bytes(await theirs.read(4)) == b"half"
            for can in (attach, tap):
                can.heard.clear()
            await lose()
            for stream in (ours, theirs):
                with pytest.raises(StreamBroken):
                    await read_all(stream)
                await stream.close()
            for can in (attach, tap):
                await can.hears(Lost)
            await asyncio.gather(attach.string.mend(), tap.string.mend())
            for can in (attach, tap):
                assert isinstance(await can.hears(Mended), Mended)
            await carries(attach, tap, 10_000)


async def test_mending_what_stands_is_done_at_once() -> None:
    async with tied() as (attach, tap):
        async with asyncio.timeout(10):
            await attach.string.mend()
            await tap.string.mend()


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_peer_that_hung_up_does_not_come_back(leaver: int) -> None:
    phrase = some_phrase()
    async with asyncio.timeout(WITHIN):
        cans = [Can(side, phrase) for side in Side]
        async with contextlib.AsyncExitStack() as stack:

            async def leave() -> None:
                async with cans[leaver].string:
                    pass

            staying = cans[1 - leaver].string
            await asyncio.gather(stack.enter_async_context(staying), leave())
            with pytest.raises(ChannelClosed):
                await staying.accept_stream()
            with pytest.raises(PeerRefused):
                await staying.mend()
            with pytest.raises(ChannelClosed):
                await staying.wait_received()
    await only_the_test_is_left()


async def test_receipts() -> None:
    async with tied() as (attach, tap):
        waiting = asyncio.create_task(attach.string.wait_received())
        await tap.string.tell_received(5)
        await attach.string.tell_received(2**40)
        assert await waiting == 5
        assert await tap.string.wait_received() == 2**40


@pytest.mark.parametrize("leaver", [0, 1])
async def test_a_receipt_is_not_overtaken_by_the_end_of_the_link(leaver: int) -> None:
    phrase = some_phrase()
    async with asyncio.timeout(WITHIN):
        cans = [Can(side, phrase) for side in Side]

        async def tell_and_leave() -> None:
            async with cans[leaver].string as string:
                await string.tell_received(7)

        async def wait() -> int:
            async with cans[1 - leaver].string as string:
                return await string.wait_received()

        assert (await asyncio.gather(wait(), tell_and_leave()))[0] == 7
    await only_the_test_is_left()


async def test_nobody_came() -> None:
    async with asyncio.timeout(WITHIN):
        with pytest.raises(NobodyCame):
            async with Can(Side.TAP, some_phrase(), settings=Settings(timeout=2)).string:
                raise AssertionError("tied")
    await only_the_test_is_left()


@pytest.mark.parametrize("milliseconds", [0, 5, 20, 60, 150])
async def test_cancelled_at_any_moment_it_leaves_nothing(milliseconds: int) -> None:
    phrase = some_phrase()
    async with asyncio.timeout(WITHIN):

        async def tie(can: Can) -> None:
            async with can.string:
                await asyncio.Event().wait()

        tying = [asyncio.create_task(tie(Can(side, phrase))) for side in Side]
        await asyncio.sleep(milliseconds / 1000)
        for task in tying:
            task.cancel()
        await asyncio.wait(tying)
    await only_the_test_is_left()
