"""The proof of a phrase inside TLS: right, wrong, with somebody in the middle, with somebody who does not play."""

from __future__ import annotations

import asyncio

import pytest

from tincan.apps.tete.binding import bound_keys
from tincan.apps.tete.proof import prove
from tincan.apps.tete.security import Connection, Security
from tincan.errors import AuthenticationFailed
from tincan.link.interface import StreamBroken
from tincan.meet.mailbox import Side
from tincan.meet.phrase import StringKeys
from unit.apps.tete.pairs import pair, secured

RIGHT = StringKeys("0123456789ab", b"right")
WRONG = StringKeys("0123456789ab", b"wrong")


async def proven(client: Connection, server: Connection, *keys: StringKeys) -> list[BaseException | None]:
    """Let both ends prove; the client's keys first. Return how it ended for each."""
    return await asyncio.gather(
        prove(client.stream, bound_keys(keys[0], client.certificate), Side.TAP),
        prove(server.stream, bound_keys(keys[1], server.certificate), Side.ATTACH),
        return_exceptions=True,
    )


async def test_the_same_phrase_on_both_ends() -> None:
    async with pair(proves=(True, True)) as (client, server):
        assert await proven(client, server, RIGHT, RIGHT) == [None, None]


async def test_what_the_user_sends_right_after_the_proof_is_not_swallowed() -> None:
    async with pair(proves=(True, True)) as (client, server):

        async def eager() -> None:
            await prove(server.stream, bound_keys(RIGHT, server.certificate), Side.ATTACH)
            await server.stream.write(b"first words")

        await asyncio.gather(prove(client.stream, bound_keys(RIGHT, client.certificate), Side.TAP), eager())
        assert bytes(await client.stream.read(100)) == b"first words"


async def test_another_phrase_is_told_to_both_ends() -> None:
    async with pair(proves=(True, True)) as ends:
        for result in await proven(*ends, RIGHT, WRONG):
            assert isinstance(result, AuthenticationFailed)
            assert result.exit_code == 5
            assert "same phrase" in str(result)


async def relay(here: Connection, there: Connection) -> None:
    """Pass on what is decrypted here, encrypted there."""
    while data := await here.stream.read(65536):
        await there.stream.write(data)
    await there.stream.write_eof()


async def test_somebody_in_the_middle_who_relays_every_message_gains_nothing() -> None:
    """He has two TLS connections, on each of which everything is right, and does not know the phrase."""
    client, middle_as_server = await secured(Security(client=True, proves=True), Security(client=False, proves=True))
    middle_as_client, server = await secured(Security(client=True, proves=True), Security(client=False, proves=True))
    relaying = asyncio.gather(
        relay(middle_as_server, middle_as_client), relay(middle_as_client, middle_as_server), return_exceptions=True
    )
    async with asyncio.timeout(120):
        results = await proven(client, server, RIGHT, RIGHT)
    assert [type(result) for result in results] == [AuthenticationFailed, AuthenticationFailed]
    for end in (client, server, middle_as_client, middle_as_server):
        await end.stream.close()
    assert all(isinstance(result, StreamBroken) for result in await relaying)


async def test_the_relay_of_that_test_does_relay() -> None:
    """Without the binding the two ends would have found nothing wrong."""
    client, middle_as_server = await secured(Security(client=True, proves=True), Security(client=False, proves=True))
    middle_as_client, server = await secured(Security(client=True, proves=True), Security(client=False, proves=True))
    relaying = asyncio.gather(
        relay(middle_as_server, middle_as_client), relay(middle_as_client, middle_as_server), return_exceptions=True
    )
    await asyncio.gather(prove(client.stream, RIGHT, Side.TAP), prove(server.stream, RIGHT, Side.ATTACH))
    for end in (client, server, middle_as_client, middle_as_server):
        await end.stream.close()
    await relaying


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize(
    "data", [b"hello, is there anybody?\n", b"\x00\x00", b"\x00\x05hello", b"\x04\x00" + bytes(1024), b"\xff" * 3000]
)
async def test_anything_but_a_proof_is_refused(side: Side, data: bytes) -> None:
    async with pair(proves=(True, True)) as (client, server):
        ours, other = (client, server) if side is Side.TAP else (server, client)
        await other.stream.write(data)
        await other.stream.write_eof()
        with pytest.raises(AuthenticationFailed):
            await prove(ours.stream, RIGHT, side)


@pytest.mark.parametrize("side", list(Side))
async def test_nothing_at_all_is_refused_in_time(side: Side) -> None:
    async with pair(proves=(True, True)) as (client, server):
        with pytest.raises(AuthenticationFailed, match="does not prove the phrase"):
            await prove((client if side is Side.TAP else server).stream, RIGHT, side, timeout=0.05)


@pytest.mark.parametrize("side", list(Side))
async def test_a_peer_that_hangs_up_has_proved_nothing(side: Side) -> None:
    async with pair(proves=(True, True)) as (client, server):
        ours, other = (client, server) if side is Side.TAP else (server, client)
        await other.stream.close()
        with pytest.raises(AuthenticationFailed, match="does not prove the phrase"):
            await prove(ours.stream, RIGHT, side)
