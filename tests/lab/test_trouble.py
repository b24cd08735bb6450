"""What goes wrong between two real cans: each ends with the right exit code and one plain sentence.

Trouble that is only noticed by waiting is waited for all at once: `doomed` starts those cans together, and
each test looks at its own.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from lab.cans import OTHER_SECRET, SECRET, Can, Town, converse, hang_up, meet
from lab.netlab import Lab, root_available

pytestmark = pytest.mark.xdist_group("trouble")  # one worker makes the laboratory of the module

# -- what only waiting shows --------------------------------------------------------


@dataclass
class Doomed:
    """Cans that will come to nothing, all started together in one laboratory."""

    lab: Lab
    town: Town = field(init=False)
    cans: dict[str, Can] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.town = Town(self.lab)
        self.start_without_path()
        alone = self.lab.host("alone")
        dead, port = self.lab.black_hole(alone, 9)
        web = self.town.server.start([sys.executable, "-m", "http.server", "8000"])
        web_url = f"ws://{self.town.server.address}:8000"
        for name, url in {
            "unknown name": "ws://no-such-switchboard.example:8080",
            "nobody listens": f"ws://{self.town.server.address}:9",
            "never answers": f"ws://{dead}:{port}",
            "web server": web_url,
        }.items():
            host = self.lab.host(name.replace(" ", "-"))
            host.names({})
            self.cans[name] = Can(host, "tap", SECRET, "--no-lan", "--switchboard", url, "--stun", "none")
        web.wait_line("GET /v1", stream="stderr")
        self.cans["nobody"] = Can(alone, "attach-string", *self.town.options(), "--timeout", "15")

    def start_without_path(self) -> None:
        hosts = self.lab.nat("symmetric").host("alice"), self.lab.nat("symmetric").host("bob")
        self.cans["alice"], self.cans["bob"] = meet(*hosts, *self.town.options(), phrase=SECRET)


@pytest.fixture(scope="module")
def doomed() -> Iterator[Doomed]:
    if not root_available():
        pytest.skip("the network laboratory needs Linux, root, ip and nft")
    with Lab() as lab:
        yield Doomed(lab)


def test_nobody_comes(doomed: Doomed) -> None:
    can = doomed.cans["nobody"]
    assert can.wait() == 4
    assert can.complaint.startswith("tin-can: Nobody came within 15 seconds.")
    assert [event["code"] for event in can.events if event["event"] == "error"] == [4]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("unknown name", "cannot be reached"),
        ("nobody listens", "cannot be reached (connection refused"),
        ("never answers", "does not answer"),
        ("web server", "answered, but not as a switchboard does"),
    ],
)
def test_no_place_is_reachable(doomed: Doomed, name: str, reason: str) -> None:
    can = doomed.cans[name]
    assert can.wait() == 3
    assert reason in can.complaint
    assert "No other place can be reached either" in can.complaint
    # Told once when it began, and once more at the end; not with every try.
    assert can.error.count(reason) == 2, can.error


def test_no_path(doomed: Doomed) -> None:
    for can in (doomed.cans["alice"], doomed.cans["bob"]):
        assert can.wait() == 6
        assert "no network path between them works" in can.complaint
        assert "--turn" in can.complaint
        assert "Traceback" not in can.error


# -- a peer that dies ---------------------------------------------------------------


def test_a_dead_peer_is_noticed(lab: Lab) -> None:
    """Killed, its cable pulled, and its cable pulled while relayed: all at one moment."""
    town = Town(lab)
    relayed = [*town.options(transport="udp"), "--relay-only"]
    pairs = []
    for name, options in {"killed": town.options(), "pulled": town.options(), "relayed": relayed}.items():
        dying, survivor = lab.nat().host(f"{name}-dies"), lab.nat().host(f"{name}-survives")
        pairs.append((dying, *meet(dying, survivor, *options)))
    for _, a, b in pairs:
        assert converse(a, b)[0] == ("relayed" if "relayed" in a.host.name else "direct-udp")
    pairs[0][1].process.signal(signal.SIGKILL)
    for dying, _, _ in pairs[1:]:
        dying.unplug()
    for number, (_, _, b) in enumerate(pairs):
        for text in range(number):
            b.say(f"anybody there? {text}")
    for number, (_, _, b) in enumerate(pairs):
        assert b.wait() == 6
        assert b.complaint == "tin-can: The connection to the peer was lost."
        assert [event["reason"] for event in b.events if event["event"] == "closed"] == ["lost"]
        lost = {0: "", 1: "1 message of yours", 2: "2 messages of yours"}[number]
        assert lost in b.error
        assert ("did not arrive for sure" in b.error) is bool(lost)
    for _, a, _ in pairs[1:]:  # from the other side it is the same
        assert a.wait() == 6


def test_a_short_break_of_the_line_is_survived(lab: Lab) -> None:
    town = Town(lab)
    a, b = meet(*town.hosts, *town.options())
    converse(a, b)
    a.host.unplug()
    a.say("into the void")
    with pytest.raises(TimeoutError):
        b.event("message", 1)
    a.host.plug()
    assert b.event("message")["text"] == "into the void"
    a.event("delivered")
    hang_up(a, b)


# -- a can that is ended ------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_can_ends_and_its_peer_too(lab: Lab, number: signal.Signals) -> None:
    lan = lab.lan()
    a, b = meet(lan.host("alice"), lan.host("bob"))
    converse(a, b)
    b.process.signal(number)
    assert b.wait() == 130
    assert b.complaint == "tin-can: Interrupted."
    assert a.wait() == 0
    assert [event["reason"] for event in a.events if event["event"] == "closed"] == ["peer"]
    assert "Traceback" not in a.error + b.error


def test_an_interrupted_can_leaves_the_line_to_others(lab: Lab) -> None:
    """While it waits, at every kind of place; the next one can have its end of the string."""
    town = Town(lab)
    options = town.options()
    host = lab.host("alice")
    for number in (signal.SIGINT, signal.SIGTERM):
        gone = Can(host, "attach-string", SECRET, *options)
        gone.event("waiting")
        gone.process.signal(number)
        assert gone.wait() == 130
    a, b = meet(host, lab.host("bob"), *options, phrase=SECRET)
    converse(a, b)
    hang_up(a, b)


def test_a_goodbye_ends_the_other_one(lab: Lab) -> None:
    lan = lab.lan()
    a, b = meet(lan.host("alice"), lan.host("bob"))
    converse(a, b)
    assert a.hang_up() == 0
    assert b.wait() == 0
    assert [event["reason"] for can in (a, b) for event in can.events if event["event"] == "closed"] == [
        "local",
        "peer",
    ]


# -- the switchboard ----------------------------------------------------------------


def test_a_switchboard_killed_and_restarted_loses_nobody(lab: Lab) -> None:
    town = Town(lab)
    options = [*town.options(), "--no-lan"]
    alice, bob = town.hosts
    known = [f"{n} {SECRET}" for n in range(2)]
    generated = Can(alice, "attach-string", *options)
    attached = Can(alice, "attach-string", known[0], *options)
    tapping = Can(bob, "tap", known[1], *options)
    phrase = generated.event("waiting")["phrase"]
    attached.event("waiting")
    tapping.event("waiting")
    opened = town.switchboard
    opened.wait_for_lines(3)
    opened.kill()
    while_down = Can(bob, "tap", phrase, *options)
    for can in (generated, attached, tapping, while_down):
        can.process.wait_line("The switchboard .* trying again", stream="stderr")
    opened.restart()
    pairs = [
        (generated, while_down),
        (attached, Can(bob, "tap", known[0], *options)),
        (Can(alice, "attach-string", known[1], *options), tapping),
    ]
    for a, b in pairs:
        assert converse(a, b) == ("direct-udp", "direct-udp")
    for a, b in pairs:
        hang_up(a, b)


def test_a_third_can_is_told_that_the_line_is_busy(lab: Lab) -> None:
    town = Town(lab)
    options = [*town.options(), "--no-lan"]
    hosts = [lab.host() for _ in range(4)]
    a = Can(hosts[0], "attach-string", SECRET, *options)
    b = Can(hosts[1], "tap", OTHER_SECRET, *options)
    town.switchboard.wait_for_lines(2)
    seconds = Can(hosts[2], "attach-string", SECRET, *options), Can(hosts[3], "tap", OTHER_SECRET, *options)
    for second in seconds:
        assert second.wait() == 7
        assert second.complaint.startswith("tin-can: The line is busy")
    pairs = [
        (a, Can(hosts[3], "tap", SECRET, *options)),
        (Can(hosts[2], "attach-string", OTHER_SECRET, *options), b),
    ]
    for pair in pairs:  # those who were there first are not disturbed
        converse(*pair)
        hang_up(*pair)


@pytest.mark.parametrize("place", ["lan", "switchboard"])
def test_a_wrong_phrase_ends_both(lab: Lab, place: str) -> None:
    if place == "lan":
        network, options = lab.lan(), []
    else:
        network, options = lab.internet, [*Town(lab).options(), "--no-lan"]
    a = Can(network.host("alice"), "attach-string", *options)
    nameplate = a.event("waiting")["phrase"].split("-")[0]
    b = Can(network.host("bob"), "tap", f"{nameplate}-guitar-banana", *options)
    for can in (a, b):
        assert can.wait() == 5
        assert [event["code"] for event in can.events if event["event"] == "error"] == [5]
        assert "phrase" in can.complaint
        assert "Traceback" not in can.error


@pytest.mark.parametrize("trouble", ["unknown name", "web server"])
def test_a_useless_switchboard_is_told_once_and_the_lan_works(lab: Lab, trouble: str) -> None:
    lan = lab.lan()
    alice, bob = lan.host("alice"), lan.host("bob")
    url = "no-such-switchboard.example"
    if trouble == "web server":
        third = lan.host("web")
        web = third.start([sys.executable, "-u", "-m", "http.server", "8000"])
        web.wait_line("Serving HTTP")
        url = f"ws://{third.address}:8000"
    for host in (alice, bob):
        host.names({})
    options = ["--switchboard", url, "--stun", "none"]
    a = Can(alice, "attach-string", *options)
    phrase = a.event("waiting")["phrase"]
    a.process.wait_line(f"The switchboard {url.removeprefix('ws://')} .*; trying again.", stream="stderr")
    b = Can(bob, "tap", phrase, *options)
    assert converse(a, b) == ("lan", "lan")
    hang_up(a, b)
    assert a.error.count("; trying again.") == 1


# -- STUN ---------------------------------------------------------------------------


def test_dead_stun_servers_cost_no_time_on_a_lan(lab: Lab) -> None:
    lan = lab.lan()
    dead = lan.host("dead")
    options = []
    for port in (3478, 3479):
        lab.black_hole(dead, port)
        options += ["--stun", f"stun:{dead.address}:{port}"]
    a = Can(lan.host("alice"), "attach-string", *options)
    phrase = a.event("waiting")["phrase"]
    b = Can(lan.host("bob"), "tap", phrase, *options)
    b.say("first words")
    assert a.event("message")["text"] == "first words"
    assert b.event("connected")["path"] == a_path(a) == "lan"
    a.say("answer")
    assert b.event("message")["text"] == "answer"
    hang_up(a, b)


def test_a_dead_stun_server_beside_a_live_one(lab: Lab) -> None:
    town = Town(lab)
    host, port = lab.black_hole(lab.host("dead"), 3478)
    options = ["--stun", f"stun:{host}:{port}", *town.options()]
    a, b = meet(*town.hosts, *options)
    b.say("first words")
    assert a.event("message")["text"] == "first words"
    assert b.event("connected")["path"] == a_path(a) == "direct-udp"
    a.say("answer")
    assert b.event("message")["text"] == "answer"
    hang_up(a, b)


def a_path(can: Can) -> str:
    (event,) = [event for event in can.events if event["event"] == "connected"]
    return str(event["path"])
