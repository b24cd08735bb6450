"""Real `send` and `receive`: every path, every way to be interrupted, and what is on the disk then."""

from __future__ import annotations

import os
import random
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.bytes_cans import ByteCan, Transfer, bytes_sent, described, digest, slow_down
from lab.cans import SECRET, TIN_CAN, Town, settings
from lab.netlab import Host, Lab
from lab.terminal import Person
from lab.test_streams import Pair, one_nat, symmetric, tcp_blocked, two_nats

MB = 1_000_000
PARTIAL = ".tin-can-partial"


@pytest.fixture
def room() -> Iterator[Path]:
    """A folder in memory, where large files cost no disk."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def mounts() -> Iterator[list[Path]]:
    """Whatever is appended is unmounted at the end, once the laboratory's processes are gone."""
    places: list[Path] = []
    yield places
    for place in reversed(places):
        subprocess.run(["umount", place], check=True)


def mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True)


def neighbours(lab: Lab) -> tuple[Host, Host]:
    lan = lab.lan()
    return lan.host("alice"), lan.host("bob")


def a_tree(root: Path, large: int) -> Path:
    """Make a folder with a large file, some medium ones, many small ones, and names and modes of all kinds."""
    noise = random.Random(7)
    files = {"large": large, "empty": 0, "d/ü ✓.txt": 3000, "d/e/only-read": 70_000, "d/e/f/script": 10}
    files |= {f"medium/{n}": 2 * MB + n for n in range(3)} | {
        f"small/{n:03}": noise.randrange(5000) for n in range(200)
    }
    for number, (name, size) in enumerate(files.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(noise.randbytes(size % MB) + noise.randbytes(MB) * (size // MB))
        os.utime(path, ns=(0, 1_234_567_890_123_456_789 + number))
    (root / "nothing").mkdir()
    for name, mode in {"d/e/only-read": 0o444, "d/e/f/script": 0o750, "nothing": 0o700, "d/e": 0o555}.items():
        (root / name).chmod(mode)
    for folder in sorted([root, *(path for path in root.rglob("*") if path.is_dir())], reverse=True):
        os.utime(folder, ns=(0, 1_000_000_000_000_000_000 + len(str(folder))))
    return root


def one_file(path: Path, size: int) -> Path:
    path.write_bytes(os.urandom(size % MB) + os.urandom(MB) * (size // MB))
    return path


def partials(target: Path) -> list[Path]:
    return [path for path in target.rglob("*") if PARTIAL in path.name]


# -- every path ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pair", "tcp", "path", "size"),
    [
        pytest.param(two_nats, True, "direct-tcp", 20 * MB, id="between port-restricted NATs"),
        pytest.param(one_nat, True, "lan", 20 * MB, id="behind one NAT"),
        pytest.param(symmetric, False, "relayed", 4 * MB, id="a symmetric NAT"),
        pytest.param(tcp_blocked, False, "direct-udp", 4 * MB, id="TCP blocked"),
    ],
)
def test_a_folder_arrives_as_it_was(lab: Lab, room: Path, pair: Pair, tcp: bool, path: str, size: int) -> None:
    town = Town(lab)
    source = a_tree(room / "tree", size)
    both = Transfer.begin(pair(lab), source, room / "to", *town.options(transport=None if tcp else "udp"))
    assert both.codes() == (0, 0), both.report()
    assert described(room / "to/tree") == described(source)
    assert not partials(room)
    for can in (both.sender, both.receiver):
        told = can.events("stream")[-1:]
        assert told == [{"event": "stream", "path": path, "tcp": tcp}] or not (
            told or tcp
        )  # the slow way is told later
        assert {told["status"] for told in can.events("file")} == {"done"}
        assert len(can.events("file")) == 208


# -- a line that dies ---------------------------------------------------------------


def test_a_path_that_dies_and_comes_back(lab: Lab, room: Path) -> None:
    town = Town(lab)
    alice, bob = town.hosts
    slow_down(alice, 100)
    source = one_file(room / "large", 100 * MB)
    both = Transfer.begin((alice, bob), source, room / "to", *town.options())
    both.until(0.2)
    alice.unplug()
    both.sender.event("reconnecting")
    both.receiver.event("reconnecting")
    time.sleep(3)  # eight seconds in all, as a router takes that is restarted
    alice.plug()
    assert both.codes() == (0, 0), both.report()
    assert digest(room / "to/large") == digest(source)
    for can in (both.sender, both.receiver):
        assert len(can.events("reconnected")) == 1
        assert [told["status"] for told in can.events("file")] == ["done"]
    assert bytes_sent(alice) < 1.3 * 100 * MB


@pytest.mark.parametrize("who", [0, 1], ids=["sender", "receiver"])
def test_interrupted_on_one_side_and_gone_on_with(lab: Lab, room: Path, who: int) -> None:
    hosts = neighbours(lab)
    slow_down(hosts[0], 80)
    source = one_file(room / "large", 40 * MB)
    both = Transfer.begin(hosts, source, room / "to")
    both.until(0.4)
    (both.sender, both.receiver)[who].process.signal(signal.SIGINT)
    codes, sentences = both.codes(), both.sentences()
    assert (codes[who], codes[1 - who]) == (130, 8), both.report()
    assert sentences[who] == "Interrupted."
    assert "un the same commands again" in sentences[1 - who]
    stopped = (both.sender, both.receiver)[who].process.stderr
    assert "What has arrived is kept: run the same commands again" in stopped
    assert len(partials(room)) == 1
    before = bytes_sent(hosts[0])
    again = Transfer.begin(hosts, source, room / "to")
    assert again.codes() == (0, 0), again.report()
    assert digest(room / "to/large") == digest(source)
    assert not partials(room)
    assert bytes_sent(hosts[0]) - before < 0.75 * 40 * MB


# -- killed -------------------------------------------------------------------------


def test_killed_twenty_times_in_a_row(lab: Lab, room: Path) -> None:
    """At seeded random moments, either end in turn; nothing wrong ever has a file's name."""
    hosts = neighbours(lab)
    slow_down(hosts[0], 300)
    source, target = a_tree(room / "tree", 300 * MB), room / "to"
    wanted = described(source)
    moments = random.Random(20)
    unfinished = 0
    for number in range(20):
        both = Transfer.begin(hosts, source, target, phrase=f"{number} {SECRET}")
        both.receiver.event("offer")
        time.sleep(moments.uniform(0, 0.7))
        dying, left = (both.sender, both.receiver) if number % 2 else (both.receiver, both.sender)
        dying.process.signal(signal.SIGKILL)
        left.process.signal(signal.SIGINT)
        assert left.wait() in {130, 0}, both.report()
        dying.wait()
        unfinished += dying.process.returncode == -signal.SIGKILL
        for path in [] if not target.exists() else target.rglob("*"):
            if path.is_file() and PARTIAL not in path.name:
                assert digest(path) == wanted[str(path.relative_to(target))][2], (number, path)
    assert unfinished >= 15
    both = Transfer.begin(hosts, source, target)
    assert both.codes() == (0, 0), both.report()
    assert described(target / "tree") == wanted
    assert [path.name for path in target.iterdir()] == ["tree"]


# -- no room, no permission ---------------------------------------------------------


def test_a_disk_that_is_full_from_the_beginning(lab: Lab, tmp_path: Path, mounts: list[Path]) -> None:
    target = tmp_path / "disk"
    target.mkdir()
    mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", target)
    mounts.append(target)
    source = one_file(tmp_path / "large", 20 * MB)
    hosts = neighbours(lab)
    both = Transfer.begin(hosts, source, target)
    assert both.codes() == (8, 8), both.report()
    assert all("no room" in sentence and "Make room" in sentence for sentence in both.sentences())
    mount("-o", "remount,size=40m", target)
    assert Transfer.begin(hosts, source, target).codes() == (0, 0)
    assert digest(target / "large") == digest(source)


def test_a_disk_that_fills_up_on_the_way(lab: Lab, tmp_path: Path, mounts: list[Path]) -> None:
    target = tmp_path / "disk"
    target.mkdir()
    mount("-t", "tmpfs", "-o", "size=50m", "tmpfs", target)
    mounts.append(target)
    source = one_file(tmp_path / "large", 40 * MB)
    hosts = neighbours(lab)
    slow_down(hosts[0], 80)
    both = Transfer.begin(hosts, source, target)
    both.until(0.01)  # there was room enough when it began
    (target / "ballast").write_bytes(bytes(25 * MB))  # somebody else was quicker
    assert both.codes() == (8, 8), both.report()
    for sentence in both.sentences():
        assert "the disk is full" in sentence
        assert "Make room there and send again; what has arrived is kept." in sentence
    (partial,) = partials(target)
    assert partial.stat().st_size > 20 * MB
    mount("-o", "remount,size=90m", target)
    before = bytes_sent(hosts[0])
    assert Transfer.begin(hosts, source, target).codes() == (0, 0)
    assert digest(target / "large") == digest(source)
    assert not partials(target)
    assert bytes_sent(hosts[0]) - before < 25 * MB


def test_a_folder_that_cannot_be_written_leaves_out_only_what_is_in_it(
    lab: Lab, tmp_path: Path, mounts: list[Path]
) -> None:
    source, target = a_tree(tmp_path / "tree", MB), tmp_path / "to"
    closed = target / "tree/medium"
    closed.mkdir(parents=True)
    mount("--bind", closed, closed)
    mounts.append(closed)
    mount("-o", "remount,bind,ro", closed)
    hosts = neighbours(lab)
    both = Transfer.begin(hosts, source, target)
    assert both.codes() == (8, 8), both.report()
    for can in (both.sender, both.receiver):
        left_out = {told["name"]: told["reason"] for told in can.events("file") if told["status"] == "left-out"}
        assert {f"tree/medium/{n}" for n in range(3)} <= set(left_out)
        assert set(left_out.values()) <= {
            "the file system is read-only",
            "the folder's mode and time: the file system is read-only",
        }
    assert all("left out" in sentence for sentence in both.sentences())
    subprocess.run(["umount", mounts.pop()], check=True)
    assert Transfer.begin(hosts, source, target).codes() == (0, 0)
    assert described(target / "tree") == described(source)


# -- what the receiver's user wants, and has already --------------------------------


@pytest.mark.parametrize("answer", ["n\r", "\udce4\r"], ids=["no", "something that is no text"])
def test_the_receiver_says_no(lab: Lab, tmp_path: Path, answer: str) -> None:
    source = one_file(tmp_path / "secret\x1b[2J plans", 3000)
    alice, bob = neighbours(lab)
    sender = ByteCan(alice, "send", "--phrase", SECRET, str(source))
    (tmp_path / "to").mkdir()
    strict = settings({"PYTHONIOENCODING": "utf-8:strict"})
    user = Person(bob, [*TIN_CAN, "receive", SECRET, "--to", str(tmp_path / "to")], strict)
    user.sees_line("secret_[2J plans  (3.0 kB)")
    user.sees_line("Receive it? [y/N]")
    user.type(answer)
    assert (sender.wait(), user.wait()) == (7, 7), user.raw
    assert "Declined; nothing was received." in user.raw
    assert "The other side does not want it." in sender.process.stderr
    assert list((tmp_path / "to").iterdir()) == []


def test_the_sender_leaves_while_the_receiver_thinks(lab: Lab, tmp_path: Path) -> None:
    source = one_file(tmp_path / "photo", 3000)
    alice, bob = neighbours(lab)
    sender = ByteCan(alice, "send", "--phrase", SECRET, str(source))
    user = Person(bob, [*TIN_CAN, "receive", SECRET, "--to", str(tmp_path / "to")], settings())
    user.sees_line("Receive it? [y/N]", 20)
    sender.process.signal(signal.SIGTERM)
    assert (sender.wait(), user.wait()) == (130, 8), user.raw
    user.sees_line("tin-can: The offer was taken back before you answered.")


def test_nobody_has_to_read_to_the_end(lab: Lab, tmp_path: Path) -> None:
    """As with ``tin-can send --json FILE | head -1``."""
    source = one_file(tmp_path / "photo", 3000)
    alice, bob = neighbours(lab)
    line = f"{shlex.join(TIN_CAN)} {{}} 2>&1 | head -1; echo $PIPESTATUS"
    cans = [
        host.start(["bash", "-c", line.format(shlex.join(command))], env=settings())
        for host, command in (
            (alice, ["send", "--json", "--phrase", SECRET, str(source)]),
            (bob, ["receive", SECRET, "--yes", "--to", str(tmp_path / "to")]),
        )
    ]
    assert [can.wait(60) for can in cans] == [0, 0]
    for can in cans:
        assert can.stdout.splitlines()[1:] == ["0"], can.report()
    assert digest(tmp_path / "to/photo") == digest(source)


def test_into_a_tree_that_is_there_already(lab: Lab, room: Path) -> None:
    source, target = a_tree(room / "tree", 20 * MB), room / "to"
    hosts = neighbours(lab)
    assert Transfer.begin(hosts, source, target).codes() == (0, 0)

    before = bytes_sent(hosts[0])
    again = Transfer.begin(hosts, source, target)
    assert again.codes() == (0, 0), again.report()
    assert [told["status"] for told in again.receiver.events("file")] == ["there"] * 208
    assert "was there already" in again.sender.process.stderr
    assert bytes_sent(hosts[0]) - before < MB
    assert described(target / "tree") == described(source)

    (target / "tree/medium/1").write_bytes(b"mine")
    (target / "tree/small/007").write_bytes(bytes((source / "small/007").stat().st_size))
    (target / "tree/mine").write_bytes(b"mine too")
    kept = described(target / "tree/small") | described(target / "tree/medium")
    third = Transfer.begin(hosts, source, target)
    assert third.codes() == (8, 8), third.report()
    for can in (third.sender, third.receiver):
        left_out = {told["name"]: told["reason"] for told in can.events("file") if told["status"] == "left-out"}
        assert set(left_out) == {"tree/medium/1", "tree/small/007"}
        assert all("--overwrite replaces it" in reason for reason in left_out.values())
    now = described(target / "tree/small") | described(target / "tree/medium")
    assert {name: now[name] for name in ("small/007", "medium/1")} == {
        name: kept[name] for name in ("small/007", "medium/1")
    }

    last = Transfer.begin(hosts, source, target, overwrite=True)
    assert last.codes() == (0, 0), last.report()
    assert (target / "tree/mine").read_bytes() == b"mine too"
    (target / "tree/mine").unlink()
    os.utime(target / "tree", ns=(0, source.stat().st_mtime_ns))
    assert described(target / "tree") == described(source)
