"""Static links between two real conversations in this process, honest and not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest

from tincan.apps.chat import Closed, MessageReceived, PeerHello
from tincan.apps.dialects import static_url
from tincan.apps.dialects.pasted import Kind, unpack
from tincan.apps.dialects.proof import Ends, prove
from tincan.apps.dialects.static_link import MAX_TRIES
from tincan.apps.dialects.static_news import AnswerReady, AnswerUnusable, OfferReady, WordsReady
from tincan.apps.dialects.static_url import StaticDescription
from tincan.errors import AuthenticationFailed, NobodyCame, ProtocolError, UsageError
from tincan.link.dial import Connected
from tincan.link.foreign import foreign_link
from tincan.link.interface import CONTROL_LABEL, CloseReason
from tincan.link.sdp import SessionDescription
from tincan.meet.phrase import parse
from unit.apps.dialects.talks import PATIENCE, Hands, StaticPair, Talk, talking

PHRASE = parse("417-guitar-banana")
OTHER = parse("417-guitar-zebra")


async def converse(a: Talk, b: Talk) -> None:
    """Talk both ways in our own protocol and hang up."""
    assert (await a.hear(Connected)).place == "static link"
    await b.hear(Connected)
    assert (await a.hear(PeerHello)).name == "bob"
    await a.conversation.send("one way ✓")
    assert (await b.hear(MessageReceived)).text == "one way ✓"
    await b.conversation.send("and back")
    assert (await a.hear(MessageReceived)).text == "and back"
    await asyncio.gather(a.hang_up(), b.hear(Closed))
    assert (await a.hear(Closed)).reason is CloseReason.LOCAL


NAMES = {"offering": {"name": "alice"}, "answering": {"name": "bob"}}


async def test_two_cans_without_any_server() -> None:
    pair = StaticPair()
    async with pair.tied(**NAMES) as (a, b):
        await converse(a, b)
        one, other = await pair.words()
        assert one == other
        assert len((await pair.a.see(OfferReady)).url) < 600
        assert len((await pair.b.see(AnswerReady)).url) < 600


async def test_the_same_phrase_makes_words_needless() -> None:
    pair = StaticPair()
    async with pair.tied(
        offering={"name": "alice", "phrase": PHRASE}, answering={"name": "bob", "phrase": PHRASE}
    ) as (a, b):
        await converse(a, b)
        assert not any(isinstance(news, WordsReady) for news in pair.a.shown + pair.b.shown)


async def test_a_wrong_phrase_is_refused_on_both_sides() -> None:
    async with StaticPair().tied(offering={"phrase": PHRASE}, answering={"phrase": OTHER}) as (a, b):
        for talk in (a, b):
            assert (await talk.fails(AuthenticationFailed)).exit_code == 5
            assert not any(isinstance(event, Connected) for event in talk.told)


# -- in the middle ---------------------------------------------------------------------


class Middle:
    """Somebody who replaces offer and answer by his own, and then plays the other side to both."""

    @contextlib.asynccontextmanager
    async def replace(self, pair: StaticPair, **options: object) -> AsyncIterator[tuple[Talk, Talk]]:
        sealed = options.get("phrase") is not None
        async with contextlib.AsyncExitStack() as stack:
            a = await stack.enter_async_context(talking(pair.side(pair.a, None, **options)))
            theirs = static_url.read_pasted(unpack((await pair.a.see(OfferReady)).url), Kind.OFFER)
            to_b = await stack.enter_async_context(foreign_link(offers=True))
            forged = StaticDescription(Kind.OFFER, await to_b.gather(), sealed)
            b = await stack.enter_async_context(talking(pair.side(pair.b, static_url.url(forged), **options)))
            answer = static_url.read_pasted(unpack((await pair.b.see(AnswerReady)).url), Kind.ANSWER)
            to_a = await stack.enter_async_context(foreign_link(offers=False))
            reply = StaticDescription(Kind.ANSWER, await to_a.gather(), sealed, theirs.name)
            pair.a.paste(static_url.url(reply))
            await asyncio.gather(
                to_a.connect(SessionDescription(theirs.description, "actpass")),
                to_b.connect(SessionDescription(answer.description, "active")),
            )
            self.to_a, self.to_b = await to_a.accept(CONTROL_LABEL), await to_b.open(CONTROL_LABEL)
            self.ends_a = Ends(theirs.description.fingerprint, reply.description.fingerprint)
            self.ends_b = Ends(forged.description.fingerprint, answer.description.fingerprint)
            yield a, b

    async def pass_on(self) -> None:
        """Carry every message from one link to the other."""

        async def one_way(source: object, sink: object) -> None:
            while True:
                await sink.send(await source.receive())  # type: ignore[attr-defined]

        async with asyncio.TaskGroup() as group:
            group.create_task(one_way(self.to_a, self.to_b))
            group.create_task(one_way(self.to_b, self.to_a))


async def test_who_sits_in_the_middle_makes_the_words_differ() -> None:
    pair, middle = StaticPair(), Middle()
    async with middle.replace(pair) as (a, b):
        await asyncio.gather(
            prove(middle.to_a, None, middle.ends_a, offers=False),
            prove(middle.to_b, None, middle.ends_b, offers=True),
        )
        one, other = await pair.words()
        assert one != other
        await a.hear(Connected)
        await b.hear(Connected)


@pytest.mark.parametrize("phrase", [None, PHRASE], ids=["words", "phrase"])
async def test_who_passes_the_proof_on_is_refused(phrase: object) -> None:
    pair, middle = StaticPair(), Middle()
    async with middle.replace(pair, phrase=phrase) as (_, b):
        passing = asyncio.create_task(middle.pass_on())
        assert (await b.fails(AuthenticationFailed)).exit_code == 5
        passing.cancel()
        await asyncio.gather(passing, return_exceptions=True)


# -- the classic form ------------------------------------------------------------------


async def test_a_classic_url_is_understood_and_carries_morse() -> None:
    pair = StaticPair()
    async with pair.tied(offering={"classic": True}, answering={"mode": "tap"}) as (a, b):
        assert (await pair.a.see(OfferReady)).url.startswith("https://daniellafeir.com/can/#o=")
        assert (await pair.b.see(AnswerReady)).url.startswith("https://daniellafeir.com/can/#a=")
        assert (await a.hear(PeerHello)).agent == "classic tin-can, tap"
        await a.conversation.send("hi there!")
        assert (await b.hear(MessageReceived)).text == "HI THERE!"
        await b.conversation.send("bye")
        assert (await a.hear(MessageReceived)).text == "BYE"
        await a.hang_up()
        assert (await b.hear(Closed)).reason is CloseReason.PEER


async def test_the_bare_blob_of_the_relay_is_an_answer_too() -> None:
    def bare(text: str) -> str:
        return text.rsplit("#a=", maxsplit=1)[-1]

    async with StaticPair().tied(offering={"classic": True}, answering={"mode": "tap"}, carry=bare) as (a, b):
        await a.hear(Connected)
        await b.hear(Connected)


# -- wrong texts -------------------------------------------------------------------------


async def test_wrong_answers_are_told_and_asked_for_again() -> None:
    pair, other = StaticPair(), StaticPair()
    async with talking(pair.side(pair.a, None)), talking(other.side(other.a, None)):
        ours, foreign = (await pair.a.see(OfferReady)).url, (await other.a.see(OfferReady)).url
        async with talking(other.side(other.b, foreign)):
            stray = (await other.b.see(AnswerReady)).url
            expected = {
                ours: "made here",
                foreign: "This is an offer",
                stray: "answers another offer",
                "tin-can:1#a=AAAA": "damaged",
                "https://daniellafeir.com/can/#a=eyJ0eXBlIjoiYW5zd2VyIn0": "classic URL",
                "": "Nothing was pasted",
            }
            for text in expected:
                pair.a.paste(text)
            async with talking(pair.side(pair.b, ours)) as b:
                pair.a.paste((await pair.b.see(AnswerReady)).url)
                await b.hear(Connected)
        complaints = [news.text for news in pair.a.shown if isinstance(news, AnswerUnusable)]
        assert len(complaints) == len(expected)
        for complaint, words in zip(complaints, expected.values(), strict=True):
            assert words in complaint


async def test_an_answer_whose_seal_was_altered_is_not_used() -> None:
    pair = StaticPair()

    def alter(text: str) -> str:
        if "#a=" not in text:
            return text
        found = static_url.read_pasted(unpack(text), Kind.ANSWER)
        return static_url.url(dataclasses.replace(found, sealed=not found.sealed))

    async with pair.tied(carry=alter):
        assert "One side gave a phrase" in (await pair.a.see(AnswerUnusable)).text


async def test_nobody_pastes_nonsense_for_ever() -> None:
    pair = StaticPair()
    for _ in range(MAX_TRIES):
        pair.a.paste("nonsense")
    async with talking(pair.side(pair.a, None)) as a:
        assert (await a.fails(ProtocolError)).exit_code == 8


async def test_an_offer_that_cannot_be_used_is_told_at_once() -> None:
    pair = StaticPair()
    async with talking(pair.side(pair.a, None)), talking(pair.side(sealing := Hands(), None, phrase=PHRASE)):
        offer = (await pair.a.see(OfferReady)).url
        sealed = (await sealing.see(OfferReady)).url
        wrong: list[tuple[str, dict[str, object], type[Exception]]] = [
            (offer[:-2], {}, ProtocolError),
            (offer.replace("#o=", "#a="), {}, ProtocolError),
            (offer, {"phrase": PHRASE}, UsageError),
            (sealed, {}, UsageError),
        ]
        for text, options, kind in wrong:
            with pytest.raises(kind):
                pair.side(pair.b, text, **options)
    with pytest.raises(UsageError, match="classic"):
        pair.side(pair.b, None, classic=True, phrase=PHRASE)


async def test_nobody_answers_in_time() -> None:
    pair = StaticPair()
    async with talking(pair.side(pair.a, None, timeout=0.05)) as a:
        assert (await a.fails(NobodyCame)).exit_code == 4


async def test_an_answer_that_nobody_uses() -> None:
    pair = StaticPair()
    async with talking(pair.side(pair.a, None)):
        offer = (await pair.a.see(OfferReady)).url
        async with talking(pair.side(pair.b, offer, timeout=0.2)) as b:
            assert (await b.fails(NobodyCame)).exit_code == 4


async def test_reading_may_give_up() -> None:
    async def give_up() -> str:
        raise UsageError("No answer.")

    pair = StaticPair()
    pair.a.read_answer = give_up  # type: ignore[method-assign]
    async with talking(pair.side(pair.a, None)) as a:
        await a.fails(UsageError)


async def test_leaving_while_waiting_leaves_nothing_behind() -> None:
    pair = StaticPair()
    async with asyncio.timeout(PATIENCE), talking(pair.side(pair.a, None)):
        await pair.a.see(OfferReady)
    assert {task.get_name() for task in asyncio.all_tasks() - {asyncio.current_task()}} == set()
