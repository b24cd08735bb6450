"""Two cans that run the same command: whoever comes first waits, and it does not matter who that is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lab.cans import SECRET, Town, settings
from lab.netlab import Host, Lab, Process

DRIVER = Path(__file__).with_name("first_come.py")


def start(host: Host, *servers: str) -> Process:
    return host.start([sys.executable, DRIVER, SECRET, *servers], env=settings())


def tied(can: Process) -> tuple[str, str]:
    """Return the side that a can has come to, and the path."""
    _, side, path = can.wait_line("^tied ").split()
    return side, path


def meet(first: Process, second: Process) -> str:
    """Let both say something and end; return the second one's path."""
    sides = {can: tied(can) for can in (first, second)}
    assert {side for side, _ in sides.values()} == {"attach", "tap"}
    for can, other in ((first, second), (second, first)):
        can.wait_line(f"^heard from {sides[other][0]}$")
    for can in (first, second):
        can.close_stdin()
    for can in (first, second):
        assert can.wait() == 0, can.report()
        assert "Traceback" not in can.stderr
    return sides[second][1]


def waits(can: Process) -> None:
    """Return once a can has looked round and found nobody."""
    can.wait_line("^begun$")
    with pytest.raises(TimeoutError):
        can.wait(3)


# -- no server at all --------------------------------------------------------------


def test_the_second_comes_later_on_a_lan(lab: Lab) -> None:
    lan = lab.lan()
    first = start(lan.host("alice"))
    waits(first)
    assert meet(first, start(lan.host("bob"))) == "lan"


@pytest.mark.parametrize("apart", [0.0, 0.4])
def test_both_come_at_once_on_a_lan(lab: Lab, apart: float) -> None:
    lan = lab.lan()
    alice, bob = lan.host("alice"), lan.host("bob")
    first = start(alice)
    if apart:
        with pytest.raises(TimeoutError):
            first.wait(apart)
    assert meet(first, start(bob)) == "lan"


def test_both_come_at_once_on_one_machine(lab: Lab) -> None:
    host = lab.isolated("desk")
    meet(start(host), start(host))


# -- a switchboard -----------------------------------------------------------------


def test_the_second_comes_later_across_two_nats(lab: Lab) -> None:
    town = Town(lab)
    alice, bob = town.hosts
    servers = town.switchboard.url, town.turn.stun_url
    first = start(alice, *servers)
    waits(first)
    assert meet(first, start(bob, *servers)) == "direct-udp"


def test_both_come_at_once_across_two_nats(lab: Lab) -> None:
    town = Town(lab)
    servers = town.switchboard.url, town.turn.stun_url
    assert meet(*[start(host, *servers) for host in town.hosts]) == "direct-udp"
