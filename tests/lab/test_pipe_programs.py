"""`tin-can pipe` under programs that people know: ssh, rsync, git, tar; and when the peer vanishes."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.bytes_cans import ByteCan, digest
from lab.cans import SECRET, TIN_CAN, settings
from lab.netlab import Host, Lab

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/bin")


@dataclass
class Hosts:
    """Two hosts on one LAN; on the second one an SSH server that only its loopback can reach."""

    lab: Lab
    alice: Host
    bob: Host
    ssh: str
    """The ssh command line without a host, for alice."""

    port: int
    directory: Path

    def answer(self) -> None:
        """Let bob's end of the next pipe talk to his SSH server."""
        inner = shlex.join([*TIN_CAN, "pipe", "-q", SECRET])
        command = ["socat", f"TCP:127.0.0.1:{self.port}", f"EXEC:{inner!r}"]
        self.bob.start(command, env=settings())


@pytest.fixture
def hosts(lab: Lab, tmp_path: Path) -> Hosts:
    if SSHD is None or not shutil.which("socat") or not shutil.which("rsync"):
        pytest.skip("needs openssh-server, rsync and socat")
    lan = lab.lan()
    alice, bob = lan.host("alice"), lan.host("bob")
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True)
    config = tmp_path / "sshd_config"
    config.write_text(
        f"Port 2222\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nPidFile none\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nPermitRootLogin yes\nUsePAM no\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)
    server = bob.start([SSHD, "-D", "-e", "-f", str(config)])
    server.wait_line("Server listening", stream="stderr")
    proxy = shlex.join([*TIN_CAN, "pipe", "-q", SECRET])
    known = ["-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "LogLevel=ERROR"]
    ssh = shlex.join(["ssh", "-F", "none", "-i", str(tmp_path / "user"), "-o", f"ProxyCommand={proxy}", *known])
    return Hosts(lab, alice, bob, ssh, 2222, tmp_path)


def run(host: Host, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return host.run(["sh", "-c", command], env=settings(environment), timeout=240)


def test_ssh_through_a_pipe(hosts: Hosts) -> None:
    payload = hosts.directory / "payload"
    payload.write_bytes(os.urandom(5_000_000))
    hosts.answer()
    done = run(hosts.alice, f"{hosts.ssh} root@can 'cat; exit 7' < {payload} > {payload}.back")
    assert done.returncode == 7, done.stderr
    assert digest(payload) == digest(payload.with_suffix(".back"))


def test_rsync_and_git_through_a_pipe(hosts: Hosts) -> None:
    tree = hosts.directory / "tree"
    (tree / "deep").mkdir(parents=True)
    for n in range(20):
        (tree / "deep" / f"{n}").write_bytes(os.urandom(20_000))
    hosts.answer()
    done = run(hosts.alice, f"rsync -a -e {shlex.quote(hosts.ssh)} {tree}/ root@can:{hosts.directory}/copy/")
    assert done.returncode == 0, done.stderr
    assert digest(tree / "deep" / "7") == digest(hosts.directory / "copy" / "deep" / "7")

    git = "git -c user.name=a -c user.email=a@b"
    made = run(hosts.bob, f"cd {tree} && {git} init -q -b main && {git} add . && {git} commit -qm all")
    assert made.returncode == 0, made.stderr
    hosts.answer()
    done = run(hosts.alice, f"git clone -q ssh://root@can{tree} {hosts.directory}/cloned", GIT_SSH_COMMAND=hosts.ssh)
    assert done.returncode == 0, done.stderr
    assert digest(hosts.directory / "cloned" / "deep" / "7") == digest(tree / "deep" / "7")


def test_tar_through_a_pipe(hosts: Hosts) -> None:
    tree = hosts.directory / "tree"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "file").write_bytes(os.urandom(300_000))
    (hosts.directory / "there").mkdir()
    pipe = shlex.join([*TIN_CAN, "pipe", "-q", SECRET])
    packing = hosts.alice.start(["sh", "-c", f"tar c -C {tree} . | {pipe}"], env=settings())
    packing.close_stdin()
    done = run(hosts.bob, f"{pipe} </dev/null | tar x -C {hosts.directory}/there")
    assert done.returncode == 0, done.stderr
    assert packing.wait() == 0, packing.report()
    assert digest(tree / "deep" / "file") == digest(hosts.directory / "there" / "deep" / "file")


@pytest.mark.parametrize("how", ["killed", "unplugged"])
def test_a_peer_that_vanishes_in_the_middle(lab: Lab, tmp_path: Path, how: str) -> None:
    lan = lab.lan()
    alice, bob = lan.host("alice"), lan.host("bob")
    a = ByteCan(alice, "pipe", SECRET, stdin=Path("/dev/zero"))
    b = ByteCan(bob, "pipe", SECRET, stdin=Path("/dev/zero"), stdout=Path("/dev/null"))
    a.event("stream")
    b.event("stream")
    if how == "killed":
        b.process.signal(signal.SIGKILL)
    else:
        bob.unplug()
        assert b.wait() == 8, b.process.report()
    assert a.wait() == 8, a.process.report()
    assert a.event("error")["code"] == 8
    assert "vanished" in a.process.stderr
