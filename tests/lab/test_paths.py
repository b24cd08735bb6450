"""Two real cans across real NATs: messages flow both ways, and which path they take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.cans import Can, Switchboard, converse, meet
from lab.netlab import Host, Lab, TurnServer

SERVER = "203.0.113.5"


class Town:
    """A laboratory with a server host that runs a switchboard and a STUN and TURN server."""

    def __init__(self, lab: Lab, *, tls: bool = False, ipv6: bool = False) -> None:
        self.lab = lab
        self.server = lab.host("server", address=SERVER)
        self.turn: TurnServer = lab.coturn(self.server, tls=tls, ipv6=ipv6)
        self.switchboard = Switchboard(self.server)

    def options(self, *, transport: str | None = None) -> list[str]:
        found = ["--switchboard", self.switchboard.url, "--stun", self.turn.stun_url]
        if transport is not None:
            username, password = self.turn.credentials()
            found += ["--turn", self.turn.turn_url(transport), "--turn-user", username, "--turn-password", password]
        return found


def hang_up(a: Can, b: Can) -> None:
    assert b.hang_up() == 0
    assert a.wait() == 0


Pair = Callable[[Lab], tuple[Host, Host]]


def same_nat(lab: Lab) -> tuple[Host, Host]:
    router = lab.nat("port-restricted")
    return router.host("alice"), router.host("bob")


def nats(first: str, second: str) -> Pair:
    def make(lab: Lab) -> tuple[Host, Host]:
        return lab.nat(first).host("alice"), lab.nat(second).host("bob")  # type: ignore[arg-type]

    return make


def open_to_nat(lab: Lab) -> tuple[Host, Host]:
    return lab.host("alice"), lab.nat("port-restricted").host("bob")


def double_nat(lab: Lab) -> tuple[Host, Host]:
    outer = lab.nat("port-restricted")
    return lab.nat("port-restricted", behind=outer).host("alice"), lab.nat("port-restricted").host("bob")


@pytest.mark.parametrize(
    ("pair", "path"),
    [
        pytest.param(open_to_nat, "direct-udp", id="open to port-restricted"),
        pytest.param(nats("port-restricted", "port-restricted"), "direct-udp", id="port-restricted both"),
        pytest.param(nats("full-cone", "port-restricted"), "direct-udp", id="full-cone to port-restricted"),
        pytest.param(nats("full-cone", "symmetric"), "direct-udp", id="full-cone to symmetric"),
        pytest.param(nats("address-restricted", "symmetric"), "direct-udp", id="address-restricted to symmetric"),
        pytest.param(nats("port-restricted", "symmetric"), "relayed", id="port-restricted to symmetric"),
        pytest.param(nats("symmetric", "port-restricted"), "relayed", id="symmetric to port-restricted"),
        pytest.param(nats("symmetric", "symmetric"), "relayed", id="symmetric both"),
        pytest.param(double_nat, "direct-udp", id="double NAT"),
        pytest.param(same_nat, "lan", id="behind one NAT"),
    ],
)
def test_path(lab: Lab, pair: Pair, path: str) -> None:
    town = Town(lab)
    alice, bob = pair(lab)
    a, b = meet(alice, bob, *town.options(transport="udp"))
    assert converse(a, b) == (path, path)
    hang_up(a, b)
