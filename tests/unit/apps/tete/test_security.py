"""TLS between two ends, and what each learns of the other."""

from __future__ import annotations

import asyncio
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tincan.apps.tete.security import Peer, Security
from unit.apps.tete.pairs import connected_sockets, pair, secured, with_foreign


@pytest.mark.parametrize(
    ("proves", "seen"),
    [
        ((True, True), Peer.PROVES),
        ((False, False), Peer.PLAIN),
        ((True, False), Peer.DIFFERS),
        ((False, True), Peer.DIFFERS),
    ],
)
async def test_both_ends_know_whether_the_other_has_a_phrase(proves: tuple[bool, bool], seen: Peer) -> None:
    async with pair(proves=proves) as (client, server):
        assert client.peer is server.peer is seen


async def test_both_ends_see_the_same_fresh_ed25519_certificate() -> None:
    client, server = Security(client=True, proves=False), Security(client=False, proves=False)
    first, second = await secured(client, server)
    assert first.certificate == second.certificate
    key = x509.load_der_x509_certificate(first.certificate).public_key()
    assert isinstance(key, Ed25519PublicKey)
    for end in (first, second):
        await end.stream.close()
    async with pair() as (other, _):
        assert other.certificate != first.certificate


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("client", [True, False])
async def test_a_program_that_names_nothing_is_taken_for_tete(client: bool, version: ssl.TLSVersion) -> None:
    ours, other = await with_foreign(client=client, version=version)
    assert ours.peer is Peer.TETE
    for end in (ours, other):
        await end.stream.close()


async def test_two_clients_come_to_nothing() -> None:
    near, far = connected_sockets()
    security = Security(client=True, proves=False)
    results = await asyncio.gather(security.secure(near), security.secure(far), return_exceptions=True)
    assert any(isinstance(result, ssl.SSLError) for result in results)
    assert all(isinstance(result, OSError) for result in results)


async def test_a_peer_that_says_nothing_is_left() -> None:
    near, far = connected_sockets()
    with far, pytest.raises(TimeoutError):
        await Security(client=True, proves=False).secure(near, timeout=0.05)
    assert near.fileno() == -1
