"""Classic mode and static links between two processes, each behind a NAT of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path

from lab.cans import SERVER, TIN_CAN, Can, Switchboard, hang_up
from lab.netlab import Host, Lab

FIRST_CHECKS_ARE_OVER = 14.0
"""Seconds after which the answering side's first connectivity checks have failed (12.7 s)."""


class DialectCan(Can):
    """A can that was started with options of a dialect."""

    def __init__(self, host: Host, command: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.host = host
        clean = {"no_proxy": "*", "TIN_CAN_PHRASE": "", "XDG_CONFIG_HOME": "/nonexistent"}
        argv = [*TIN_CAN, command, *arguments, "--json", "--name", host.name]
        self.process = host.start(argv, env=clean | (env or {}))


class Place:
    """Two hosts behind NATs, and a server with STUN."""

    def __init__(self, lab: Lab) -> None:
        self.server = lab.host("server", address=SERVER)
        self.stun = ("--stun", lab.coturn(self.server).stun_url)
        self.alice, self.bob = (lab.nat("port-restricted").host(name) for name in ("alice", "bob"))

    def offer(self, *options: str, env: dict[str, str] | None = None) -> DialectCan:
        return DialectCan(self.alice, "attach-string", "--static-link", *self.stun, *options, env=env)

    def answer(self, offer: str, *options: str, env: dict[str, str] | None = None) -> DialectCan:
        return DialectCan(self.bob, "tap", offer, "--static-link", *self.stun, *options, env=env)


def exchange(a: Can, b: Can, *, shout: bool = False) -> tuple[str, str]:
    """Say something each way; return the paths. ``shout``: it arrives in capitals."""
    paths = a.event("connected")["path"], b.event("connected")["path"]
    a.say("hello there")
    b.say("and back")
    assert b.event("message")["text"] == ("HELLO THERE" if shout else "hello there")
    assert a.event("message")["text"] == ("AND BACK" if shout else "and back")
    return paths


def test_classic_through_our_switchboard(lab: Lab) -> None:
    place = Place(lab)
    relay = Switchboard(place.server).url.replace("ws://", "http://") + "/api"
    options = ("correct horse", "--classic", "--relay", relay, *place.stun)
    a = DialectCan(place.alice, "attach-string", *options)
    assert a.event("waiting")["code"] == "4104d36f8da2"
    b = DialectCan(place.bob, "tap", *options)
    assert exchange(a, b, shout=True) == ("direct-udp", "direct-udp")
    hang_up(a, b)


def test_static_link_with_nothing_but_stun(lab: Lab) -> None:
    place = Place(lab)
    a = place.offer()
    offer = a.event("offer")["url"]
    b = place.answer(offer)
    answer = b.event("answer")["url"]
    assert max(len(offer), len(answer)) < 600
    a.say(answer)
    assert a.event("words")["words"] == b.event("words")["words"]
    assert exchange(a, b) == ("direct-udp", "direct-udp")
    b.event("delivered")
    hang_up(a, b)


def test_static_link_sealed_by_a_phrase_and_carried_in_files(lab: Lab, tmp_path: Path) -> None:
    place, env = Place(lab), {"TIN_CAN_PHRASE": "417-guitar-banana"}
    offer, answer = tmp_path / "offer.txt", tmp_path / "answer.txt"
    a = place.offer("--file", str(answer), env=env)
    offer.write_text(a.event("offer")["url"] + "\n")
    b = DialectCan(place.bob, "tap", "--static-link", "--file", str(offer), *place.stun, env=env)
    answer.write_text(b.event("answer")["url"])
    assert exchange(a, b) == ("direct-udp", "direct-udp")
    hang_up(a, b)
    assert not any(event["event"] == "words" for event in a.events + b.events)


def test_static_link_with_a_wrong_phrase(lab: Lab) -> None:
    place = Place(lab)
    a = place.offer(env={"TIN_CAN_PHRASE": "417-guitar-banana"})
    b = place.answer(a.event("offer")["url"], env={"TIN_CAN_PHRASE": "417-guitar-zebra"})
    a.say(b.event("answer")["url"])
    assert (a.wait(), b.wait()) == (5, 5)
    assert "the same phrase" in a.complaint


def test_classic_static_link_in_wrapped_lines(lab: Lab) -> None:
    place = Place(lab)
    a = place.offer("--classic")
    b = place.answer(a.event("offer")["url"])
    answer = b.event("answer")["url"]
    for start in range(0, len(answer), 80):
        a.say(answer[start : start + 80])
    assert exchange(a, b, shout=True) == ("direct-udp", "direct-udp")
    hang_up(a, b)


def test_static_link_that_a_person_carries_slowly(lab: Lab) -> None:
    """Nobody answers the first checks of the answering side, and the offering side's NAT must stay open."""
    place = Place(lab)
    a = place.offer()
    b = place.answer(a.event("offer")["url"])
    answer = b.event("answer")["url"]
    time.sleep(FIRST_CHECKS_ARE_OVER)  # what is tested is time that passes
    a.say(answer)
    assert exchange(a, b) == ("direct-udp", "direct-udp")
    hang_up(a, b)
    assert json.loads(b.process.stdout.splitlines()[-1]) == {"event": "closed", "reason": "local"}
