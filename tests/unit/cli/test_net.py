"""`net` as it is typed, where no root is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cans import TIN_CAN, settings

PATIENT = 120


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path


def net(data: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **settings(), "XDG_DATA_HOME": str(data)}
    return subprocess.run(
        [*TIN_CAN, "net", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENT,
        stdin=subprocess.DEVNULL,
    )


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="virtual networks need Linux")


def test_a_group_is_made_shown_and_left(data: Path) -> None:
    made = net(data, "create", "lan", "--name", "Ali", "--subnet", "10.77.0.0/24", "--mode", "switch", "--json")
    assert made.returncode == 0, made.stderr
    created = json.loads(made.stdout)
    assert (created["event"], created["name"], created["address"]) == ("created", "ali", "10.77.0.1")
    again = net(data, "create", "lan")
    assert again.returncode == 2
    assert "already" in again.stderr

    status = json.loads(net(data, "status", "--json").stdout)
    assert (status["network"], status["up"], status["admin"], status["mode"]) == ("lan", False, True, "switch")
    [member] = status["members"]
    assert (member["name"], member["state"]) == ("ali", "me")
    shown = net(data, "status")
    assert "lan: not up, switch mode, 10.77.0.0/24, you are its admin" in shown.stdout
    assert "10.77.0.1" in shown.stdout

    taken = net(data, "join", "7-guitar-banana", "--as", "lan")
    assert taken.returncode == 2
    assert "already" in taken.stderr

    banning = net(data, "ban", "bob")
    assert banning.returncode == 2
    assert "bob" in banning.stderr
    left = net(data, "leave", "lan")
    assert left.returncode == 0
    assert net(data, "status", "--json").stdout == ""


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("create", "a.b"), 2, "cannot be a group's name"),
        (("create", "lan", "--subnet", "8.8.8.0/24"), 2, "not private"),
        (("create", "lan", "--pypeer"), 2, "for text"),
        (("up",), 2, "in no group yet"),
        (("up", "x"), 2, "no group 'x'"),
        (("status",), 2, "in no group yet"),
        (("invite", "x"), 2, "no group 'x'"),
        (("join",), 2, "join needs a phrase"),
        (("join", "1-a-b", "--as", "A B"), 2, "cannot be a group's name"),
        (("leave",), 2, "in no group yet"),
        (("up", "x", "--mtu", "1279"), 2, "1280"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(data: Path, arguments: tuple[str, ...], code: int, text: str) -> None:
    done = net(data, *arguments)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr
