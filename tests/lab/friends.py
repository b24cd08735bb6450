"""Friends on hosts of the laboratory: two who have befriended each other, and their social network."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from lab.cans import SECRET, Town, tin_can
from lab.netlab import PATIENCE, Host, Process, WaitTimeout

WITHIN = PATIENCE


class Person:
    """Somebody on a host, with a home and a hosts file of his own."""

    def __init__(self, host: Host, options: list[str]) -> None:
        self.host = host
        self.options = options
        home = host.lab.registry.directory / f"home-{host.name}"
        self.env = {"XDG_DATA_HOME": str(home)}
        self.data = home / "tin-can"
        host.names({"itself": host.address})
        self.hosts_file = host.namespace.files / "hosts"
        self.process: Process | None = None

    def run(self, *arguments: str) -> str:
        """Run a command of tin-can to its end and return what it printed."""
        process = tin_can(self.host, *arguments, env=self.env)
        process.close_stdin()
        assert process.wait(WITHIN) == 0, process.report()
        return process.stdout

    def start_adding(self, phrase: str = SECRET) -> Process:
        """Begin to make a friend; the other one does the same."""
        name = ["--name", self.host.name]
        return tin_can(self.host, "friend", "add", "--yes", "--json", *name, *self.options, phrase, env=self.env)

    def up(self, *more: str) -> None:
        """Start the network, and wait until it is up."""
        self.process = tin_can(self.host, "net", "social", "up", "--json", *self.options, *more, env=self.env)
        self.event("up")

    def event(self, kind: str, **fields: object) -> dict[str, Any]:
        """Return the next event like this, passing over others."""
        assert self.process is not None

        def like(line: str) -> bool:
            told = json.loads(line)
            return bool(told["event"] == kind and all(told.get(name) == value for name, value in fields.items()))

        found: dict[str, Any] = json.loads(self.process.wait_line(like, timeout=WITHIN))
        return found

    def down(self, number: int = 15) -> int:
        """End the network by a signal, and return its exit code."""
        assert self.process is not None
        self.process.signal(number)
        return self.process.wait(WITHIN)

    def friends(self) -> dict[str, dict[str, Any]]:
        """Return what 'friend list' says, by name."""
        entries = [json.loads(line) for line in self.run("friend", "list", "--json").splitlines()]
        return {entry["name"]: entry for entry in entries}

    def ping(self, name: str, *more: str, count: int = 3) -> str:
        """Ping a name until every packet comes back."""
        argv = ["ping", "-n", "-c", str(count), "-i", "0.05", "-W", "5", *more, name]
        for _ in range(20):
            done = self.host.run(argv, timeout=WITHIN)
            if f" {count} received" in done.stdout:
                return done.stdout
        raise AssertionError(done.stdout + done.stderr)


def befriend(a: Person, b: Person, phrase: str = SECRET) -> None:
    """Let two become friends, as their users do it."""
    adding = [person.start_adding(phrase) for person in (a, b)]
    for process in adding:
        process.close_stdin()
        assert process.wait(WITHIN) == 0, process.report()


def pair(town: Town, *, inside: str = "172.31.0.0/24", before: Sequence[str] = ()) -> tuple[Person, Person]:
    """Two friends behind two routers with the same private network, which is where the default range would be.

    ``before``: pieces of Python that alice's user runs first.
    """
    hosts = [town.lab.nat("port-restricted", inside=inside).host(name) for name in ("alice", "bob")]
    alice, bob = (Person(host, town.options()) for host in hosts)
    for code in before:
        done = alice.host.run([sys.executable, "-P", "-c", code], env=alice.env)
        assert done.returncode == 0, done.stderr
    befriend(alice, bob)
    return alice, bob


def until(condition: Callable[[], object], within: float = WITHIN) -> None:
    """Wait for something to be so."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise WaitTimeout("it did not come about")
        time.sleep(0.05)
