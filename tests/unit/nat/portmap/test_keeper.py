"""The keeper with routers in memory, in virtual time: who wins, who is deleted, when it is renewed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field

import pytest

from tincan.nat.portmap.keeper import GOODBYE, keep
from tincan.nat.portmap.mapping import SHORTEST_PAUSE, Granted, Method, NoMapping, PortMapping
from virtualtime import in_virtual_time

ADDRESS = "203.0.113.7"


@dataclass(eq=False)
class Router:
    """A `Mapper` whose router is in memory. ``answers``: what each question brings; the last one goes on."""

    method: Method = "pcp"
    answers: Iterable[Granted | Exception] = (Granted(ADDRESS, 5000, 900),)
    delay: float = 0.01
    search: float = 0.0
    """Seconds before anything that may make a mapping leaves."""
    goodbye: float = 0.01
    asked: bool = False
    said: list[tuple[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._coming = list(self.answers)

    async def map(self) -> Granted:
        now = asyncio.get_running_loop().time
        await asyncio.sleep(self.search)
        self.asked = True
        self.said.append(("map", now()))
        await asyncio.sleep(self.delay)
        answer = self._coming.pop(0) if len(self._coming) > 1 else self._coming[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def unmap(self) -> None:
        if self.asked:
            self.said.append(("unmap", asyncio.get_running_loop().time()))
            await asyncio.sleep(self.goodbye)
            self.asked = False

    @property
    def words(self) -> list[str]:
        return [word for word, _ in self.said]

    @property
    def times(self) -> list[float]:
        return [time for _, time in self.said]


class Found(list[PortMapping]):
    """What the user was told."""

    @property
    def ports(self) -> list[int]:
        return [mapping.port for mapping in self]


@contextlib.asynccontextmanager
async def keeping(*routers: Router, find: Callable[[], list[Router]] | None = None) -> AsyncIterator[Found]:
    found = Found()
    task = asyncio.create_task(keep(find or (lambda: list(routers)), found.append))
    try:
        yield found
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled() or task.exception() is None


def refused() -> Router:
    return Router("nat-pmp", [NoMapping("not authorised")])


@in_virtual_time
async def test_a_mapping_is_told_once_renewed_at_half_of_its_time_and_deleted_at_the_end() -> None:
    router = Router()
    async with keeping(router) as found:
        await asyncio.sleep(2000)
    assert found == [PortMapping(ADDRESS, 5000, "pcp")]
    assert router.words == ["map"] * 5 + ["unmap"]
    assert router.times == pytest.approx([0, 450, 900, 1350, 1800, 2000], abs=0.1)


@in_virtual_time
async def test_a_change_of_address_or_port_is_told() -> None:
    moved = [Granted(ADDRESS, 5000, 900), Granted(ADDRESS, 6000, 900), Granted("203.0.113.8", 6000, 900)]
    async with keeping(Router(answers=moved)) as found:
        await asyncio.sleep(3000)
    assert [(mapping.address, mapping.port) for mapping in found] == [
        (ADDRESS, 5000),
        (ADDRESS, 6000),
        ("203.0.113.8", 6000),
    ]


@in_virtual_time
async def test_the_first_that_works_wins_and_a_later_one_is_deleted_again() -> None:
    slow = Router("upnp", [Granted(ADDRESS, 7000, 900)], delay=3)
    quick = Router("pcp")
    async with keeping(slow, quick) as found:
        await asyncio.sleep(100)
        assert slow.words == ["map", "unmap"]
        assert quick.words == ["map", "map"], "and the winner makes sure that its own mapping still stands"
    assert found.ports == [5000]
    assert slow.words == ["map", "unmap"]
    assert quick.words[-1] == "unmap"


@in_virtual_time
async def test_a_later_one_with_the_same_port_is_the_same_mapping_and_stays_until_the_end() -> None:
    slow, quick = Router("upnp", delay=3), Router("pcp")
    async with keeping(slow, quick) as found:
        await asyncio.sleep(100)
        assert (slow.words, quick.words) == (["map"], ["map"])
    assert (slow.words, quick.words) == (["map", "unmap"], ["map", "unmap"])
    assert len(found) == 1


@in_virtual_time
async def test_who_has_not_asked_for_anything_yet_is_called_off() -> None:
    searching = Router("upnp", search=2)
    async with keeping(searching, Router("pcp")):
        await asyncio.sleep(100)
    assert searching.said == []


@in_virtual_time
async def test_refusals_do_not_keep_others_from_winning() -> None:
    async with keeping(refused(), Router("pcp", [OSError("unreachable")]), Router("upnp", delay=5)) as found:
        await asyncio.sleep(10)
        assert [mapping.method for mapping in found] == ["upnp"]


@pytest.mark.parametrize("routers", [0, 1, 3])
def test_when_all_refuse_it_ends_with_one_line_in_the_log(routers: int, caplog: pytest.LogCaptureFixture) -> None:
    @in_virtual_time
    async def none() -> None:
        found = Found()
        await keep(lambda: [refused() for _ in range(routers)], found.append)
        assert found == []

    caplog.set_level(logging.INFO, "tincan")
    none()
    [line] = caplog.messages
    assert line == f"no port mapping: {'nat-pmp: not authorised' if routers else 'no router here'}"


@in_virtual_time
async def test_a_useless_mapping_is_deleted_at_once() -> None:
    """As when its outside address is private: asked for and granted, yet of no use."""
    useless, good = Router("pcp", [NoMapping("behind another NAT")]), Router("upnp", delay=1)
    async with keeping(useless, good):
        await asyncio.sleep(10)
        assert useless.words == ["map", "unmap"]


@in_virtual_time
async def test_a_router_that_is_silent_for_a_while_keeps_its_mapping() -> None:
    router = Router(answers=[Granted(ADDRESS, 5000, 900), OSError(), TimeoutError(), Granted(ADDRESS, 5000, 900)])
    async with keeping(router) as found:
        await asyncio.sleep(1000)
        assert router.times == pytest.approx([0, 450, 675, 787.5], abs=0.5)
    assert len(found) == 1


@in_virtual_time
async def test_a_mapping_that_is_lost_is_asked_for_anew_from_the_router_there_is_then() -> None:
    old = Router(answers=[Granted(ADDRESS, 5000, 900), NoMapping("no answer")])
    new = Router("upnp", [Granted("203.0.113.8", 7000, 900)])
    coming = [[old], [new]]
    async with keeping(find=lambda: coming.pop(0)) as found:
        await asyncio.sleep(899)
        assert found.ports == [5000]
        await asyncio.sleep(100)
        assert found.ports == [5000, 7000]


@in_virtual_time
async def test_a_router_that_grants_no_more_than_a_second_does_not_keep_us_busy() -> None:
    router = Router(answers=[Granted(ADDRESS, 5000, 1)])
    async with keeping(router):
        await asyncio.sleep(600)
    assert router.words.count("map") <= 600 / SHORTEST_PAUSE + 1


@in_virtual_time
async def test_a_router_that_never_keeps_its_word_does_not_keep_us_busy() -> None:
    asked = 0

    def find() -> list[Router]:
        nonlocal asked
        asked += 1
        other = Router("upnp", [Granted(ADDRESS, 6000 + asked, 1)], delay=1.5)
        return [Router(answers=[Granted(ADDRESS, 5000, 1), NoMapping("no")]), other]

    async with keeping(find=find):
        await asyncio.sleep(600)
    assert asked <= 600 / SHORTEST_PAUSE + 1


@in_virtual_time
async def test_a_question_that_may_have_been_heard_is_undone_at_the_end() -> None:
    router = Router(delay=5)
    async with keeping(router) as found:
        await asyncio.sleep(1)
    assert (router.words, found) == (["map", "unmap"], [])


@in_virtual_time
async def test_the_end_takes_a_second_at_most_however_many_routers_are_silent() -> None:
    loop = asyncio.get_running_loop()
    async with keeping(*[Router(goodbye=3600) for _ in range(9)]):
        await asyncio.sleep(10)
        began = loop.time()
    assert loop.time() - began == pytest.approx(GOODBYE)


@in_virtual_time
async def test_a_mapping_is_deleted_even_if_its_user_fails() -> None:
    router = Router()

    def found(_: PortMapping) -> None:
        raise KeyError("a mistake of the caller's")

    with pytest.raises(ExceptionGroup):
        await keep(lambda: [router], found)
    assert router.words == ["map", "unmap"]


@in_virtual_time
async def test_a_way_of_asking_that_hangs_is_left_behind() -> None:
    hanging = Router(delay=10**6)
    await keep(lambda: [hanging], Found().append)
    assert hanging.times[-1] < 60
