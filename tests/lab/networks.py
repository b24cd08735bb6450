"""Members of group networks in the laboratory: real `tin-can net` processes, each with files of its own.

`grouped` writes the files of a group as `net create`, `invite` and `join` would, which one test tries for real.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from lab.cans import tin_can
from lab.netlab import PATIENCE, Host, Process
from tincan.vpn.group.state import GroupState, Known, create
from tincan.vpn.module.methods import Mode
from tincan.vpn.party.keys import Keys

WITHIN = PATIENCE


class Member:
    """One member's machine."""

    def __init__(self, host: Host, network: str = "lan") -> None:
        self.host = host
        self.network = network
        self.data = Path(host.lab.registry.directory) / f"data-{host.name}"
        self.env = {"XDG_DATA_HOME": str(self.data)}
        self.process: Process | None = None
        host.names({})  # an /etc/hosts of its own

    # -- its files -------------------------------------------------------------------

    @property
    def file(self) -> Path:
        return self.data / "tin-can" / "net" / f"{self.network}.json"

    def write(self, state: GroupState) -> None:
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.file.touch(mode=0o600)
        self.file.write_bytes(msgspec.json.encode(state))

    @property
    def state(self) -> GroupState:
        return msgspec.json.decode(self.file.read_bytes(), type=GroupState)

    @property
    def address(self) -> str:
        return str(self.state.certificate().address4.ip)

    @property
    def address6(self) -> str:
        return str(self.state.certificate().address6.ip)

    @property
    def tap(self) -> str:
        return f"can-{self.network}"

    # -- its commands ----------------------------------------------------------------

    def start(self, *arguments: str) -> Process:
        """Start `tin-can net ...`."""
        return tin_can(self.host, "net", *arguments, env=self.env)

    def net(self, *arguments: str, code: int = 0) -> list[dict[str, Any]]:
        """Run `tin-can net ... --json` to its end; return its events."""
        process = self.start(*arguments, "--json")
        process.close_stdin()
        assert process.wait(WITHIN) == code, process.report()
        return [json.loads(line) for line in process.stdout.splitlines()]

    def up(self, *options: str) -> None:
        """Bring the network up."""
        self.process = self.start("up", self.network, "--json", *options)

    def wait_up(self) -> dict[str, Any]:
        return self.event("up")

    def down(self) -> None:
        """Take it down, in good order."""
        assert self.process is not None
        assert self.process.stop() == 0, self.process.report()
        self.process = None

    def event(self, kind: str, within: float = WITHIN, **fields: Any) -> dict[str, Any]:
        """Return the next event like this of the network that is up."""
        assert self.process is not None

        def wanted(line: str) -> bool:
            event = json.loads(line)
            return event["event"] == kind and all(event.get(key) == value for key, value in fields.items())

        found: dict[str, Any] = json.loads(self.process.wait_line(wanted, timeout=within))
        return found

    def status(self) -> dict[str, Any]:
        [status] = self.net("status", self.network)
        return status

    def sees(self, *others: Member) -> dict[str, str | None]:
        """Wait until these are online; return by which paths."""
        paths: dict[str, str | None] = {}
        deadline = time.monotonic() + WITHIN
        names = {other.host.name for other in others}
        while True:
            for member in self.status()["members"]:
                if member["state"] == "online":
                    paths[member["name"]] = member["path"]
                else:
                    paths.pop(member["name"], None)
            if names <= paths.keys():
                return paths
            assert time.monotonic() < deadline, (names, paths)
            time.sleep(0.2)

    # -- its programs ----------------------------------------------------------------

    def ping(self, target: str, count: int = 2) -> float:
        """Ping through the network until all answers have come; return the last round trip in ms."""
        for _ in range(20):
            done = self.host.run(["ping", "-n", "-c", str(count), "-i", "0.1", "-W", "2", target], timeout=WITHIN)
            if f" {count} received" in done.stdout:
                return float(done.stdout.rsplit("time=", 1)[1].split()[0])
        raise AssertionError(done.stdout + done.stderr)

    def cannot_ping(self, target: str) -> bool:
        done = self.host.run(["ping", "-n", "-c", "2", "-i", "0.2", "-W", "1", target], timeout=WITHIN)
        return " 0 received" in done.stdout or done.returncode == 2

    @contextlib.contextmanager
    def serving(self, *argv: str | os.PathLike[str]) -> Iterator[Process]:
        process = self.host.start(argv)
        try:
            yield process
        finally:
            process.stop()

    @contextlib.contextmanager
    def iperf(self) -> Iterator[None]:
        """Serve iperf3 on all addresses."""
        with self.serving("iperf3", "-s", "--forceflush") as server:
            server.wait_line("listening", timeout=WITHIN)
            yield

    def throughput(self, target: str, seconds: float = 2, *options: str) -> float:
        """Measure with iperf3; return Mbit/s as received."""
        argv = ["iperf3", "-c", target, "-t", str(seconds), "-J", *options]
        done = self.host.run(argv, timeout=seconds + WITHIN)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr
        return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e6


def grouped(
    hosts: Sequence[Host], switchboards: Sequence[str] = (), *, mode: Mode = "ip", network: str = "lan"
) -> list[Member]:
    """Make a group of these hosts, the first one being the admin."""
    members = [Member(host, network) for host in hosts]
    admin = create(network, hosts[0].name, time.time(), os.urandom, mode=mode)
    admin.switchboards = list(switchboards)
    states = [admin]
    for host in hosts[1:]:
        keys = Keys(os.urandom(32), os.urandom(32))
        card = admin.admit(keys.public, host.name, time.time())
        states.append(
            GroupState(
                name=network,
                group=admin.group,
                sign_seed=keys.sign_seed,
                box_seed=keys.box_seed,
                card=card,
                statement=admin.statement,
                secrets=dict(admin.secrets),
                members={
                    uid: Known(known.card)
                    for uid, known in admin.members.items()
                    if admin.certificates()[uid].admin or uid == keys.public.uid
                },
                switchboards=list(switchboards),
            )
        )
    for member, state in zip(members, states, strict=True):
        member.write(state)
    return members


def all_up(members: Sequence[Member], *options: str) -> None:
    """Bring all up, and wait until everybody sees everybody."""
    for member in members:
        member.up(*options)
    for member in members:
        member.wait_up()
        names = {other.host.name for other in members if other is not member}
        while names:
            event = member.event("member")
            (names.discard if event["online"] else names.add)(event["name"])
