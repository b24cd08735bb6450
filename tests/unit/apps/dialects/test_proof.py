"""Proving who is there, over links in memory: what happens when the other side does not play its part."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tincan.apps.dialects.proof import PROOF_TIMEOUT, Ends, prove
from tincan.errors import AuthenticationFailed, NoPath
from tincan.link.memory import MemoryLink
from tincan.meet.phrase import Phrase, parse
from virtualtime import in_virtual_time

ENDS = Ends(b"o" * 32, b"a" * 32)
PHRASE = parse("417-guitar-banana")


@pytest.mark.parametrize("phrase", [None, PHRASE], ids=["words", "phrase"])
async def test_both_prove_it(phrase: Phrase | None) -> None:
    a, b = MemoryLink.pair()
    found = await asyncio.gather(
        prove(a.control, phrase, ENDS, offers=True), prove(b.control, phrase, ENDS, offers=False)
    )
    assert found[0] == found[1]
    assert (found[0] is None) is (phrase is PHRASE)


@pytest.mark.parametrize("phrase", [None, PHRASE], ids=["words", "phrase"])
async def test_other_certificates_are_refused(phrase: Phrase | None) -> None:
    a, b = MemoryLink.pair()
    other = Ends(b"o" * 32, b"m" * 32)
    first = asyncio.create_task(prove(a.control, phrase, ENDS, offers=True))
    second = asyncio.create_task(prove(b.control, phrase, other, offers=False))
    if phrase is PHRASE:
        with pytest.raises(AuthenticationFailed):
            await first
    else:  # who reveals his nonce last has words to show before the other one cuts the link
        assert await first is not None
    with pytest.raises(AuthenticationFailed):
        await second


@pytest.mark.parametrize("offers", [True, False])
@pytest.mark.parametrize("phrase", [None, PHRASE], ids=["words", "phrase"])
async def test_one_side_with_a_phrase_and_the_other_without(offers: bool, phrase: Phrase | None) -> None:
    a, b = MemoryLink.pair()
    other = None if phrase is PHRASE else PHRASE
    first = asyncio.create_task(prove(a.control, phrase, ENDS, offers=offers))
    second = asyncio.create_task(prove(b.control, other, ENDS, offers=not offers))
    done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    assert all(isinstance(task.exception(), AuthenticationFailed) for task in done)
    await a.close()
    await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(first.exception(), AuthenticationFailed | NoPath)


@in_virtual_time
async def test_silence_is_not_waited_for_without_end() -> None:
    a, _ = MemoryLink.pair()
    with pytest.raises(NoPath):
        await prove(a.control, None, ENDS, offers=True)
    assert asyncio.get_running_loop().time() == PROOF_TIMEOUT


@pytest.mark.parametrize("phrase", [None, PHRASE], ids=["words", "phrase"])
async def test_who_hangs_up_has_proved_nothing(phrase: Phrase | None) -> None:
    a, b = MemoryLink.pair()
    proving = asyncio.create_task(prove(a.control, phrase, ENDS, offers=True))
    await b.close()
    with pytest.raises(NoPath, match="hung up"):
        await proving


@pytest.mark.parametrize("phrase", [None, PHRASE], ids=["words", "phrase"])
@pytest.mark.parametrize("offers", [True, False])
@pytest.mark.parametrize("message", [b"", b"\xff" * 40, msgspec.msgpack.encode({"kind": "hello"}), b"x" * 100_000])
async def test_nonsense_is_refused(phrase: Phrase | None, offers: bool, message: bytes) -> None:
    a, b = MemoryLink.pair()
    await b.control.send(message)
    with pytest.raises(AuthenticationFailed) as caught:
        await prove(a.control, phrase, ENDS, offers=offers)
    assert caught.value.exit_code == 5
