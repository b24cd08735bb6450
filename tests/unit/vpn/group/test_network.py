"""Networks that are up: real switchboard, real files, modules in memory; and the socket by which commands ask."""

from __future__ import annotations

import asyncio
import contextlib
import random
import stat
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
import pytest

from tincan.errors import PeerRefused, TinCanError, UsageError
from tincan.vpn.group import store
from tincan.vpn.group.certificate import VALIDITY
from tincan.vpn.group.control import NoAnswer, NotUp, Question, Refused, ask, serving
from tincan.vpn.group.events import GroupEvent, MemberGone, MemberNews, NetworkStatus
from tincan.vpn.group.network import GroupNetwork, UpSettings
from tincan.vpn.group.soon import Soon
from tincan.vpn.group.state import GroupState, create
from tincan.vpn.group.statuses import status_of
from tincan.vpn.module.memory import MemoryModule, MemoryNetwork
from unit.switchboard.wire import switchboard
from unit.vpn.group.groups import invited
from virtualtime import in_virtual_time

PATIENT = 120.0


class Town:
    """Networks of several members in one process: each has a group of its own name in the store."""

    def __init__(self, *names: str, url: str) -> None:
        chance = random.Random(6)
        self.url = url
        self.memory = MemoryNetwork()
        self.chance = chance
        admin = create("alice", "alice", time.time(), chance.randbytes, mode="ip")
        states = [admin]
        for name in names:
            state = invited(admin, name, chance, time.time())
            state.name = name
            states.append(state)
        for state in states:
            state.switchboards = [url]
            store.add(state)
        self.up: dict[str, GroupNetwork] = {}
        self.modules: dict[str, MemoryModule] = {}
        self.events: dict[str, list[GroupEvent]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def start(self, name: str, group: asyncio.TaskGroup) -> None:
        module = self.modules[name] = self.memory.module(name)
        events = self.events[name] = []
        settings = UpSettings(switchboards=(self.url,), lan=False, names=False)
        network = self.up[name] = GroupNetwork(
            name, module, settings, events.append, chance=random.Random(self.chance.random())
        )
        self.tasks[name] = group.create_task(self._run(network))

    async def _run(self, network: GroupNetwork) -> None:
        with contextlib.suppress(PeerRefused):
            await network.run()

    def online(self, name: str) -> set[str]:
        return {member.name for member in self.up[name].status().members if member.state == "online"}


@contextlib.asynccontextmanager
async def town(*names: str) -> AsyncIterator[tuple[Town, asyncio.TaskGroup]]:
    async with asyncio.timeout(PATIENT), switchboard() as url, asyncio.TaskGroup() as group:
        made = Town(*names, url=url)
        for name in ("alice", *names):
            made.start(name, group)
        try:
            yield made, group
        finally:
            for task in made.tasks.values():
                task.cancel()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "tin-can" / "net"


async def test_members_find_each_other_and_a_ban_takes_hold() -> None:
    async with town("bob", "carol") as (made, _):
        await until(lambda: made.online("carol") == {"alice", "bob"} and made.online("alice") == {"bob", "carol"})
        bob = store.load("bob").certificate()
        assert made.modules["alice"].peers[bob.uid] == (str(bob.address4.ip), str(bob.address6.ip))
        assert made.modules["bob"].addresses.ip4 == bob.ip4
        assert any(isinstance(event, MemberNews) and event.name == "bob" for event in made.events["carol"])
        assert made.up["alice"].ban("bob") == "bob"
        await until(lambda: made.online("carol") == {"alice"} and made.online("alice") == {"carol"})
        await until(made.tasks["bob"].done)
        assert MemberGone("bob", banned=True) in made.events["carol"]
        assert made.events["alice"].count(MemberGone("bob", banned=True)) == 1
        assert made.modules["carol"].peers.get(bob.uid, ()) == ()
        with pytest.raises(PeerRefused, match="Only the admin"):
            made.up["carol"].ban("alice")
    assert store.load("carol").secrets.keys() == {1, 2}
    assert store.load("bob").secrets.keys() == {1}
    assert store.load("bob").holds().epoch == 2, "so that the next start says it at once"
    assert {c.name for c in store.load("carol").certificates().values()} == {"alice", "carol"}


async def test_who_is_invited_meanwhile_comes_in() -> None:
    async with town("bob") as (made, group):
        await until(lambda: made.online("alice") == {"bob"})
        with store.changing("alice") as admin:
            carol = invited(admin, "carol", made.chance, time.time())
        carol.name = "carol"
        store.add(carol)
        made.up["alice"].reload()
        made.start("carol", group)
        await until(lambda: made.online("carol") == {"alice", "bob"})
        assert [member.state for member in status_of("carol", time.time()).members][:2] == ["me", "away"]


async def test_who_leaves_is_forgotten() -> None:
    async with town("bob", "carol") as (made, _):
        await until(lambda: made.online("carol") == {"alice", "bob"})
        await made.up["bob"].leave()
        await until(made.tasks["bob"].done)
        assert "bob" not in store.names()
        await until(lambda: MemberGone("bob", banned=True) in made.events["carol"])
        assert MemberGone("bob", banned=False) in made.events["alice"]
        await until(lambda: made.up["carol"].status().epoch == 2)


async def test_a_clock_that_is_wrong_is_told() -> None:
    async with town("bob") as (made, group):
        await until(lambda: made.online("bob") == {"alice"})
        made.tasks["alice"].cancel()
        late = made.memory.module("late")
        settings = UpSettings(switchboards=(made.url,), lan=False, names=False)
        network = GroupNetwork("alice", late, settings, lambda event: None, clock=lambda: time.time() + 900)
        made.tasks["alice"] = group.create_task(network.run())

        def told() -> bool:
            return any("clock of alice is 15 minutes ahead" in getattr(e, "text", "") for e in made.events["bob"])

        await until(told)


async def test_a_module_that_ends_ends_the_network() -> None:
    async with town("bob") as (made, _):
        await until(lambda: made.online("bob") == {"alice"})
        module = made.memory.module("x")
        network = GroupNetwork("bob", module, UpSettings((made.url,), lan=False, names=False), lambda event: None)
        running = asyncio.create_task(network.run())
        await asyncio.sleep(0.1)
        module.stop()
        with pytest.raises(TinCanError, match="has ended"):
            await running


async def test_a_ban_of_somebody_whom_one_never_met_is_followed() -> None:
    async with town("bob", "carol") as (made, _):
        made.tasks["bob"].cancel()
        store.remove("bob")
        await until(lambda: made.online("carol") == {"alice"})
        made.up["alice"].ban("bob")
        await until(lambda: made.up["carol"].status().epoch == 2)
        await until(lambda: made.online("carol") == {"alice"})
        assert not made.tasks["carol"].done()


async def test_one_who_leaves_does_not_end_the_network_of_an_admin_who_cannot_write(folder: Path) -> None:
    async with town("bob") as (made, _):
        await until(lambda: made.online("alice") == {"bob"})
        (folder / "alice.json").unlink()
        await made.up["bob"].leave()
        await until(lambda: MemberGone("bob", banned=False) in made.events["alice"])
        await until(lambda: any("could not be taken off" in getattr(e, "text", "") for e in made.events["alice"]))
        assert not made.tasks["alice"].done()


async def test_a_certificate_that_runs_out_is_told_before_and_ends_the_network() -> None:
    chance, now = random.Random(1), time.time()
    store.add(create("lan", "alice", now - VALIDITY + 1, chance.randbytes))
    events: list[GroupEvent] = []
    module = MemoryNetwork().module("lan")
    settings = UpSettings(lan=True, names=False)
    assert "runs out on" in (status_of("lan", now).trouble or "")
    async with asyncio.timeout(PATIENT):
        with pytest.raises(UsageError, match=r"ran out on .*make a new group"):
            await GroupNetwork("lan", module, settings, events.append).run()
        assert any("runs out on" in getattr(event, "text", "") for event in events)
        with pytest.raises(UsageError, match="ran out on"):
            await GroupNetwork("lan", module, settings, events.append).run()
    assert "ran out on" in (status_of("lan", time.time()).trouble or "")


@in_virtual_time
async def test_what_is_wanted_often_is_done_seldom() -> None:
    done: list[float] = []
    soon = Soon(lambda: done.append(asyncio.get_running_loop().time()))
    running = asyncio.create_task(soon.run())
    began = asyncio.get_running_loop().time()
    for _ in range(500):
        soon.want()
        await asyncio.sleep(0.01)
    assert [round(at - began) for at in done] == [0, 1, 2, 3, 4]
    running.cancel()
    soon.finish()
    soon.finish()
    assert len(done) == 6


# -- the socket ---------------------------------------------------------------------


async def test_questions_and_answers(folder: Path) -> None:
    folder.mkdir(parents=True)

    async def reply(question: Question) -> object:
        if question.do == "ban":
            raise PeerRefused(f"not {question.member}")
        return NetworkStatus("lan", "ip", "10.0.0.0/24", True, False, 1, ())

    with pytest.raises(NotUp):
        await ask(folder, "lan", Question("status"))
    async with asyncio.timeout(PATIENT), serving(folder, "lan", reply):
        path = folder / "lan.sock"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert (await ask(folder, "lan", Question("status"), NetworkStatus)).subnet == "10.0.0.0/24"
        with pytest.raises(Refused, match="not bob") as caught:
            await ask(folder, "lan", Question("ban", "bob"))
        assert caught.value.exit_code == 7
        for junk in (b"\n", b"{}\n", b"\xff\n", b"x" * 100_000 + b"\n", b"[" * 60_000 + b"\n"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(junk)
            with contextlib.suppress(ConnectionError):
                answer = await reader.readline()
                assert not answer or "error" in msgspec.json.decode(answer)
            writer.close()
        assert await ask(folder, "lan", Question("status")) is not None, "and it still answers"
    assert not path.exists()

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"?\n")
        await writer.drain()
        writer.close()

    silent = await asyncio.start_unix_server(odd, path)
    with pytest.raises(NoAnswer, match="does not answer"):
        await ask(folder, "lan", Question("status"))
    silent.close()
    path.unlink()
    path.touch()
    with pytest.raises(NotUp):
        await ask(folder, "lan", Question("status"))


async def test_a_socket_in_a_folder_with_a_long_name(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)

    async def reply(question: Question) -> object:
        return 1

    async with asyncio.timeout(PATIENT), serving(folder, "lan", reply):
        assert await ask(folder, "lan", Question("reload"), int) == 1


def test_state_is_what_it_was() -> None:
    state = create("lan", "x", 0, random.Random(1).randbytes)
    assert msgspec.json.decode(msgspec.json.encode(state), type=GroupState) == state
