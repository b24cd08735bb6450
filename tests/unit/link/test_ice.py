"""The ICE agent, over real sockets on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import ipaddress
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import pytest
from aioice import stun

from tincan.link.description import Candidate
from tincan.link.ice import (
    DIRECT_GRACE,
    MAX_UNREAD,
    IceAgent,
    mapped_addresses,
    probe_turn,
)
from tincan.link.interface import Path
from tincan.link.route import path_between
from tincan.nat.addresses import Interface
from tincan.nat.servers import IceServer
from tincan.tasks import settle
from unit.link.pairs import LOOPBACK, only_the_test_is_left
from unit.link.servers import (
    refuses,
    says_nothing_of_use,
    sees,
    silent_server,
    stun_server,
    turn_server,
)

WITHIN = 120.0


@dataclass
class End:
    """An agent and the candidates that it has told."""

    agent: IceAgent
    told: list[Candidate] = field(default_factory=list)

    def kinds(self) -> list[str]:
        return [candidate.kind for candidate in self.told]


@contextlib.asynccontextmanager
async def end(
    *, controlling: bool = False, relay_only: bool = False, found: list[Interface] | None = None
) -> AsyncIterator[End]:
    """An agent that has gathered its host candidates, closed at the end."""
    found = LOOPBACK if found is None else found
    made = End(IceAgent(controlling=controlling, relay_only=relay_only, found=found))
    made.agent.on_candidate = made.told.append
    try:
        await made.agent.gather_hosts()
        yield made
    finally:
        await made.agent.close()


async def begin(near: End, far: End, *, complete: bool = True) -> None:
    """Let one agent check the candidates that the other has told so far."""
    for candidate in far.told:
        await near.agent.add_remote(candidate)
    if complete:
        await near.agent.end_of_remote()
    await near.agent.begin(far.agent.local_username, far.agent.local_password)


async def connect(near: End, far: End) -> None:
    await asyncio.gather(begin(near, far), begin(far, near))


async def carries(near: End, far: End) -> None:
    await near.agent.send(b"there")
    assert await far.agent.recv() == b"there"
    await far.agent.send(b"and back")
    assert await near.agent.recv() == b"and back"


# -- gathering ---------------------------------------------------------------------


async def test_a_machine_with_only_loopback_offers_loopback() -> None:
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        assert near.agent.only_loopback
        assert [(c.kind, c.address) for c in near.told] == [("host", "127.0.0.1")]
        await connect(near, far)
        await carries(near, far)
        assert near.agent.path is far.agent.path is Path.LAN


async def test_an_address_that_cannot_be_bound_is_left_out() -> None:
    gone = Interface("gone", ipaddress.ip_address("198.51.100.77"), 24)
    async with end(found=[gone, *LOOPBACK]) as near:
        assert not near.agent.only_loopback
        assert near.told == []  # loopback is no use to anybody when there is something else


async def test_relay_only_offers_no_address_of_this_machine() -> None:
    async with stun_server(sees()) as server, end(relay_only=True) as near:
        await near.agent.ask_server(server)
        assert near.told == []


async def test_a_server_that_never_answers_delays_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincan.link.ice.SERVER_TIMEOUT", WITHIN)
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        with silent_server() as server:
            asking = asyncio.create_task(near.agent.ask_server(server))
            assert near.kinds() == ["host"]
            await connect(near, far)
            await carries(near, far)
            assert not asking.done()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def test_what_a_server_sees_is_told_by_the_callback() -> None:
    async with stun_server(sees(("203.0.113.7", 4444))) as server, end() as near:
        await near.agent.ask_server(server)
        assert [(c.kind, c.address, c.port) for c in near.told[1:]] == [("srflx", "203.0.113.7", 4444)]
        assert near.told[1].priority < near.told[0].priority


async def test_one_address_is_told_once() -> None:
    mapped = ("203.0.113.7", 4444)
    async with (
        stun_server(sees()) as honest,
        stun_server(sees(mapped)) as one,
        stun_server(sees(mapped)) as two,
        end() as near,
    ):
        for server in (honest, one, two, one):
            await near.agent.ask_server(server)
        assert near.kinds() == ["host", "srflx"]


async def test_of_two_servers_one_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincan.link.ice.SERVER_TIMEOUT", WITHIN)
    async with asyncio.timeout(WITHIN), stun_server(sees(("203.0.113.7", 4444))) as alive, end() as near:
        with silent_server() as dead:
            asking = asyncio.create_task(near.agent.ask_server(dead))
            await near.agent.ask_server(alive)
            assert near.kinds() == ["host", "srflx"]
            assert not asking.done()
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


@pytest.mark.parametrize("answer", [says_nothing_of_use, refuses, sees(("203.0.113.7", 0))])
async def test_a_server_that_is_of_no_use_harms_nothing(answer: object) -> None:
    async with stun_server(answer) as server, end() as near:  # type: ignore[arg-type]
        await near.agent.ask_server(server)
        assert near.kinds() == ["host"]


@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_turn_server_that_is_not_there_harms_nothing(transport: str) -> None:
    async with asyncio.timeout(WITHIN), end() as near:
        with silent_server() as unused:
            port = unused.port
        asking = asyncio.create_task(
            near.agent.ask_server(IceServer("turn", "127.0.0.1", port, transport, "ada", "secret"))
        )
        await asyncio.wait([asking], timeout=0.5)
        asking.cancel()
        results = await asyncio.gather(asking, return_exceptions=True)
        assert not isinstance(results[0], Exception)
        assert near.kinds() == ["host"]


async def test_a_wrong_turn_password_harms_nothing() -> None:
    async with asyncio.timeout(WITHIN), turn_server() as (_, server), end() as near:
        await near.agent.ask_server(replace(server, credential="wrong"))
        assert near.kinds() == ["host"]


async def test_what_comes_after_the_close_is_given_back() -> None:
    async with asyncio.timeout(WITHIN), turn_server() as (turn, server), end() as near:
        turn.open.clear()
        asking = asyncio.create_task(near.agent.ask_server(server))
        await turn.asked.wait()
        await near.agent.close()
        turn.open.set()
        await asking
        assert near.kinds() == ["host"]
        assert turn.given_back == 1


# -- checks ------------------------------------------------------------------------


async def test_candidates_may_come_after_the_checks_have_begun() -> None:
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        told, far.told = far.told, []
        beginning = asyncio.gather(begin(near, far, complete=False), begin(far, near, complete=False))
        for _ in range(5):
            await asyncio.sleep(0)
        assert near.agent.path is None
        await near.agent.add_remote(told[0])
        await beginning
        await carries(near, far)


async def test_the_end_of_candidates_may_be_told_twice() -> None:
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        await near.agent.end_of_remote()
        await near.agent.end_of_remote()
        with pytest.raises(ConnectionError):
            await near.agent.begin(far.agent.local_username, far.agent.local_password)


async def test_a_wrong_password_makes_no_pair() -> None:
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        for candidate in far.told:
            await near.agent.add_remote(candidate)
        beginning = asyncio.create_task(near.agent.begin(far.agent.local_username, "x" * 22))
        await asyncio.wait([beginning], timeout=0.5)
        assert near.agent.path is None
        beginning.cancel()
        await asyncio.gather(beginning, return_exceptions=True)


async def test_closing_ends_the_checks() -> None:
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        with silent_server() as nobody:
            far.told[0] = Candidate("host", nobody.host, nobody.port, "x", 1)
            beginning = asyncio.create_task(begin(near, far))
            await asyncio.sleep(0.05)
        await asyncio.gather(near.agent.close(), near.agent.close())
        with pytest.raises(ConnectionError):
            await beginning
    await only_the_test_is_left()


async def test_closing_at_the_moment_of_success_leaves_nothing() -> None:
    for turns in range(30):
        async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
            connecting = asyncio.gather(connect(near, far), return_exceptions=True)
            for _ in range(turns):
                await asyncio.sleep(0)
            await near.agent.close()
            await far.agent.close()
            [result] = await connecting
            assert result is None or isinstance(result, ConnectionError)
        await only_the_test_is_left()


# -- relays ------------------------------------------------------------------------


async def _seconds(near: End, far: End) -> float:
    started = time.monotonic()
    await connect(near, far)
    return time.monotonic() - started


async def test_a_relayed_pair_waits_for_a_direct_one() -> None:
    async with (
        asyncio.timeout(WITHIN),
        turn_server() as (_, server),
        end(controlling=True, found=[]) as near,
        end() as far,
    ):
        await near.agent.ask_server(server)
        assert near.kinds() == ["relay"]
        assert await _seconds(near, far) >= DIRECT_GRACE
        assert near.agent.path is far.agent.path is Path.RELAYED
        await carries(near, far)


async def test_relay_only_waits_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincan.link.ice.DIRECT_GRACE", 2 * WITHIN)
    async with asyncio.timeout(WITHIN), turn_server() as (turn, server):
        async with end(controlling=True, relay_only=True) as near, end() as far:
            await near.agent.ask_server(server)
            await connect(near, far)
            assert near.agent.path is far.agent.path is Path.RELAYED
            await carries(near, far)
        assert turn.given_back == 1


async def test_a_direct_pair_wins_over_a_relayed_one_that_was_quicker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincan.link.ice.DIRECT_GRACE", 2 * WITHIN)
    async with (
        asyncio.timeout(WITHIN),
        turn_server() as (_, server),
        end(controlling=True) as near,
        end() as far,
    ):
        # The far end has a relay and says so first; its own address is told within the grace.
        await far.agent.ask_server(server)
        told = list(far.told)
        far.told[:] = [candidate for candidate in told if candidate.kind == "relay"]
        assert far.kinds() == ["relay"]
        connecting = asyncio.gather(begin(near, far, complete=False), begin(far, near))
        await near.agent.add_remote(told[0])
        await connecting
        assert near.agent.path is far.agent.path is Path.LAN


@pytest.mark.parametrize("direct_first", [True, False])
async def test_of_two_nominated_pairs_the_direct_one_is_used(direct_first: bool) -> None:
    async with (
        asyncio.timeout(WITHIN),
        turn_server() as (_, server),
        end(controlling=True) as near,
        end() as far,
    ):
        # Told of the relay alone, the near end nominates it; then both are nominated, in either order.
        await far.agent.ask_server(server)
        host, relay = far.told
        far.told[:] = [host if direct_first else relay]
        await connect(near, far)
        for agent in (near.agent, far.agent):
            (used,) = agent._nominated.values()
            other = copy.copy(used)
            other.remote_candidate = copy.copy(used.remote_candidate)
            other.remote_candidate.type = "relay" if direct_first else "host"
            other.remote_candidate.priority = (relay if direct_first else host).priority
            other.nominated = True
            agent.check_complete(other)
            assert agent.path is Path.LAN


async def test_relays_at_both_ends() -> None:
    async with (
        asyncio.timeout(WITHIN),
        turn_server() as (_, server),
        end(controlling=True, relay_only=True) as near,
        end(relay_only=True) as far,
    ):
        await asyncio.gather(near.agent.ask_server(server), far.agent.ask_server(server))
        await connect(near, far)
        assert near.agent.path is far.agent.path is Path.RELAYED
        await carries(near, far)


async def test_a_turn_server_that_died_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tincan.link.ice.CLOSE_TIMEOUT", 2.0)
    async with (
        asyncio.timeout(WITHIN),
        turn_server() as (turn, server),
        end(controlling=True, relay_only=True) as near,
        end() as far,
    ):
        await near.agent.ask_server(server)
        await connect(near, far)
        turn.open.clear()
        reading = asyncio.create_task(near.agent.recv())
        await asyncio.sleep(0)
        closing = asyncio.create_task(near.agent.close())
        with pytest.raises(ConnectionError):
            await reading
        assert not closing.done()
        await closing


# -- life --------------------------------------------------------------------------


async def test_a_dead_peer_is_noticed_and_a_dead_server_is_given_up() -> None:
    """The two that cost real seconds, side by side."""
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far, end() as other:
        with silent_server() as server:
            asking = asyncio.create_task(other.agent.ask_server(server))
            await _notices_a_dead_peer(near, far)
            await asking
        assert other.kinds() == ["host"]


async def _notices_a_dead_peer(near: End, far: End) -> None:
    await connect(near, far)
    while near.agent.round_trip is None:
        await asyncio.sleep(0.05)
    await far.agent.close()  # ICE has no word for goodbye
    with pytest.raises(ConnectionError):
        await near.agent.recv()
    assert near.agent.path is None
    with pytest.raises(ConnectionError):
        await near.agent.send(b"anybody?")


async def test_datagrams_that_nobody_takes_are_bounded() -> None:
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        await connect(near, far)
        for number in range(MAX_UNREAD + 100):
            near.agent.data_received(b"%d" % number, 1)
        kept = [await near.agent.recv() for _ in range(MAX_UNREAD)]
        assert kept[-1] == b"%d" % (MAX_UNREAD - 1)
        await carries(near, far)


@pytest.mark.parametrize("size", [0, 60_000])
async def test_datagrams_that_no_can_sends_are_dropped(size: int) -> None:
    async with asyncio.timeout(WITHIN), end(controlling=True) as near, end() as far:
        await connect(near, far)
        near.agent.data_received(bytes(size), 1)
        await carries(near, far)


# -- which way ---------------------------------------------------------------------

HOME = [Interface("lan", ipaddress.ip_address("203.0.113.10"), 24), *LOOPBACK]


@pytest.mark.parametrize(
    ("local", "remote", "address", "path"),
    [
        ("host", "host", "203.0.113.20", Path.LAN),  # public, and still our own network
        ("host", "host", "127.0.0.1", Path.LAN),
        ("host", "host", "192.168.7.7", Path.LAN),  # another private network, routed to from here
        ("host", "host", "10.1.2.3", Path.LAN),
        ("host", "host", "169.254.3.4", Path.LAN),
        ("host", "host", "fd12:3456::1", Path.LAN),
        ("srflx", "host", "192.168.7.7", Path.LAN),
        ("host", "host", "198.51.100.1", Path.DIRECT_UDP),
        ("host", "host", "2001:db8::1", Path.DIRECT_UDP),
        ("host", "srflx", "198.51.100.1", Path.DIRECT_UDP),
        ("host", "srflx", "203.0.113.20", Path.DIRECT_UDP),
        ("host", "prflx", "192.168.7.7", Path.DIRECT_UDP),  # a NAT's own address, not the peer's
        ("relay", "host", "192.168.7.7", Path.RELAYED),
        ("relay", "srflx", "198.51.100.1", Path.RELAYED),
        ("host", "relay", "203.0.113.20", Path.RELAYED),
        ("relay", "relay", "198.51.100.1", Path.RELAYED),
    ],
)
def test_the_kinds_of_path(local: str, remote: str, address: str, path: Path) -> None:
    assert path_between(local, remote, address, HOME) is path


# -- for the doctor ----------------------------------------------------------------


async def test_mapped_addresses_are_those_of_one_socket() -> None:
    async with stun_server(sees()) as one, stun_server(sees()) as two:
        answers = await mapped_addresses([one, two], WITHIN)
        assert len(answers) == 2
        assert answers[0] == answers[1]
        assert answers[0][0] == "127.0.0.1"


async def test_mapped_addresses_leaves_out_who_does_not_answer() -> None:
    async with stun_server(sees(("203.0.113.7", 1))) as alive, stun_server(says_nothing_of_use) as useless:
        with silent_server() as dead:
            async with asyncio.timeout(WITHIN):
                assert await mapped_addresses([dead, useless, alive], 2) == [("203.0.113.7", 1)]


async def test_mapped_addresses_without_servers_or_names() -> None:
    assert await mapped_addresses([], 1) == []
    assert await mapped_addresses([IceServer("stun", "::1", 3478)], 1) == []


async def test_probe_turn() -> None:
    async with asyncio.timeout(WITHIN), turn_server() as (turn, server):
        host, port = await probe_turn(server)
        assert host == "127.0.0.1"
        assert port > 0
        assert turn.given_back == 1
        with pytest.raises(OSError, match="401"):
            await probe_turn(replace(server, credential="wrong"))
    await only_the_test_is_left()


async def test_it_goes_on_asking_while_nobody_comes() -> None:
    """A NAT that forgot the port gives another one: the candidate of that is told as well."""
    ports = iter(range(4000, 5000))
    asked = asyncio.Event()

    def forgetful(request: stun.Message, addr: tuple[str, int]) -> stun.Message:
        port = next(ports)
        if port >= 4002:
            asked.set()
        return sees(("198.51.100.7", port))(request, addr)

    async with end() as one, stun_server(forgetful) as server:
        servers: set[IceServer] = set()
        keeping = asyncio.create_task(one.agent.keep_asking(servers, 0.01))
        servers.add(server)  # a switchboard may offer one later
        async with asyncio.timeout(WITHIN):
            await asked.wait()
        await settle(keeping)
    assert [c.port for c in one.told if c.kind == "srflx"][:2] == [4000, 4001]
