"""Real tin-can processes in the laboratory: a switchboard, and cans that tell their events as JSON.

`Town` is the usual laboratory: a server host with a switchboard and a STUN and TURN server. `meet` starts
two cans, `converse` lets them talk and returns the path that each reports, `hang_up` ends both well.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab.netlab import PATIENCE, Host, Lab, Process, Router, TurnServer, WaitTimeout

TIN_CAN = [sys.executable, "-m", "tincan"]
PORT = 8080
SERVER = "203.0.113.5"
SERVER_6 = "2001:db8:113::5"

SECRET = "correct horse battery staple drum"  # a phrase that people chose: nobody needs to hand it on
OTHER_SECRET = "wrong mule battery staple drum"


def settings(env: dict[str, str] | None = None) -> dict[str, str]:
    """Return an environment in which nothing of the machine's user counts."""
    clean = {name: "" for name in os.environ if name.startswith("TIN_CAN_")}
    return clean | {"XDG_CONFIG_HOME": "/nonexistent", "no_proxy": "*"} | (env or {})


def tin_can(host: Host, command: str, *arguments: str, env: dict[str, str] | None = None, **options: Any) -> Process:
    """Start the command on a host."""
    return host.start([*TIN_CAN, command, *arguments], env=settings(env), **options)


class Switchboard:
    """A switchboard process on a host."""

    def __init__(self, host: Host, *options: str, address: str | None = None, port: int = PORT) -> None:
        self.host = host
        shown = address or host.address
        self.url = f"ws://[{shown}]:{port}" if ":" in shown else f"ws://{shown}:{port}"
        self._options = ["--listen", f"[::]:{port}", *options]
        self.process = self._start()

    def _start(self) -> Process:
        process = tin_can(self.host, "switchboard", *self._options)
        process.wait_line("listens at", stream="stderr")
        return process

    def wait_for_lines(self, count: int, timeout: float = PATIENCE) -> None:
        """Wait until so many mailboxes are open."""
        deadline = time.monotonic() + timeout
        while (found := self.host.call(self._mailboxes)) != count:
            if time.monotonic() > deadline:
                raise WaitTimeout(f"{found} mailboxes are open after {timeout:g} s, not {count}")
            time.sleep(0.02)

    def _mailboxes(self) -> int:
        connection = http.client.HTTPConnection(self.host.address, PORT, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        (line,) = [line for line in lines if line.startswith("tincan_switchboard_mailboxes_open ")]
        return int(line.split()[1])

    def kill(self) -> None:
        """Kill it without a chance to say anything."""
        self.process.signal(9)
        self.process.wait()

    def restart(self) -> None:
        """Start it again, with nothing remembered."""
        self.process = self._start()


class Can:
    """One tin-can process with --json."""

    def __init__(self, host: Host, command: str, *arguments: str, env: dict[str, str] | None = None) -> None:
        self.host = host
        self.process = tin_can(host, command, "--json", "--name", host.name, *arguments, env=env)

    def event(
        self, kind: str, timeout: float = PATIENCE, *, until: Callable[[dict[str, Any]], bool] = lambda event: True
    ) -> dict[str, Any]:
        """Return the next event of a kind, or the next one that is wanted, passing over others."""

        def wanted(text: str) -> bool:
            event = json.loads(text)
            return event["event"] == kind and until(event)

        found: dict[str, Any] = json.loads(self.process.wait_line(wanted, timeout=timeout))
        return found

    def events_of(self, kind: str) -> list[dict[str, Any]]:
        """Return every event of a kind until now."""
        return [event for event in self.events if event["event"] == kind]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Every event until now."""
        return [json.loads(line) for line in self.process.stdout.splitlines(keepends=True) if line.endswith("\n")]

    def say(self, text: str) -> None:
        """Type a line."""
        self.process.write_line(text)

    def hang_up(self, timeout: float = PATIENCE) -> int:
        """End its input and return its exit code."""
        self.process.close_stdin()
        return self.process.wait(timeout)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return its exit code."""
        return self.process.wait(timeout)

    @property
    def error(self) -> str:
        """What it said on stderr so far."""
        return self.process.stderr

    @property
    def complaint(self) -> str:
        """The one line that begins with the program's name: how it ended, if not well."""
        (found,) = [line for line in self.error.splitlines() if line.startswith("tin-can: ")]
        return found


class Town:
    """A laboratory with a server host that runs a switchboard and a STUN and TURN server."""

    def __init__(self, lab: Lab, *, tls: bool = False, family: str = "ipv4", offer_turn: bool = False) -> None:
        self.lab = lab
        if family == "ipv6":
            self.server = lab.host("server", address=SERVER_6, family="ipv6")
        else:
            self.server = lab.host("server", address=SERVER)
        secret = "of the operator" if offer_turn else None
        self.turn: TurnServer = lab.coturn(self.server, tls=tls, secret=secret)
        offers: list[str] = []
        if secret is not None:
            file = lab.registry.directory / "turn-secret"
            file.write_text(secret + "\n")
            offers = ["--turn", self.turn.turn_url("udp"), "--turn-secret-file", str(file)]
        self.switchboard = Switchboard(self.server, *offers)

    def options(self, *, transport: str | None = None) -> list[str]:
        """Name the servers: the switchboard, STUN, and TURN over "udp", "tcp" or "tls"."""
        found = ["--switchboard", self.switchboard.url, "--stun", self.turn.stun_url]
        if transport is not None:
            username, password = self.turn.credentials()
            found += ["--turn", self.turn.turn_url(transport), "--turn-user", username, "--turn-password", password]
        return found

    @functools.cached_property
    def routers(self) -> tuple[Router, Router]:
        """Two home routers that can be punched."""
        return self.lab.nat("port-restricted"), self.lab.nat("port-restricted")

    @functools.cached_property
    def hosts(self) -> tuple[Host, Host]:
        """A host behind each of the routers."""
        return self.routers[0].host("alice"), self.routers[1].host("bob")


def meet(
    attached: Host,
    tapping: Host,
    *options: str,
    phrase: str | None = None,
    only_attached: tuple[str, ...] = (),
    only_tapping: tuple[str, ...] = (),
    env: dict[str, str] | None = None,
) -> tuple[Can, Can]:
    """Let two cans meet with the same options; return both, each on its way to the other."""
    can = Can(attached, "attach-string", *([phrase] if phrase else []), *options, *only_attached, env=env)
    waiting = can.event("waiting")
    other = Can(tapping, "tap", phrase or waiting["phrase"], *options, *only_tapping, env=env)
    return can, other


def converse(a: Can, b: Can) -> tuple[str, str]:
    """Say something each way over the string; return the paths that both report."""
    path_a = a.event("connected")["path"]
    path_b = b.event("connected")["path"]
    a.say("one way, ümläut ✓")
    assert b.event("message")["text"] == "one way, ümläut ✓"
    b.say("and back")
    assert a.event("message")["text"] == "and back"
    b.event("delivered")
    return path_a, path_b


def hang_up(a: Can, b: Can) -> None:
    """End both: the one hangs up, and the other one's exit code says that this is a good end."""
    assert b.hang_up() == 0, b.process.report()
    assert a.wait() == 0, a.process.report()


def checked_pairs(log: Path) -> set[tuple[str, str]]:
    """Return the pairs of addresses, own and peer's, that ICE had before it, from a can's --log-file."""
    found = re.findall(r"CandidatePair\(\('([^']+)', \d+\) -> \('([^']+)', \d+\)\)", log.read_text())
    return set(found)
