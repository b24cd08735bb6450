"""``tin-can config``, with a real environment and a real file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tincan.config import SETTINGS
from unit.cli.programs import run, sentence


def write_config(home: Path, text: str | bytes) -> Path:
    path = home / "config" / "tin-can" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_it_shows_everything_and_where_it_came_from(tmp_path: Path) -> None:
    path = write_config(
        tmp_path,
        'name = "from the file"\nswitchboards = ["file.example"]\nturn = ["turn:t.example"]\nturn_user = "ada"\n'
        'turn_password = "do not show"\n',
    )
    done = run(tmp_path, "config", "--json", TIN_CAN_SWITCHBOARD="one.example two.example", TIN_CAN_RELAY_ONLY="yes")
    assert (done.returncode, done.stderr) == (0, "")
    shown = json.loads(done.stdout)
    assert shown["file"] == str(path)
    settings = shown["settings"]
    assert set(settings) == {setting.name for setting in SETTINGS}
    assert settings["name"] == {"value": "from the file", "source": "config.toml"}
    assert settings["switchboards"] == {"value": ["one.example", "two.example"], "source": "TIN_CAN_SWITCHBOARD"}
    assert settings["relay_only"] == {"value": True, "source": "TIN_CAN_RELAY_ONLY"}
    assert settings["timeout"] == {"value": 600.0, "source": "default"}
    assert settings["turn_password"] == {"value": "(hidden)", "source": "config.toml"}
    assert "do not show" not in done.stdout


def test_it_is_readable_too(tmp_path: Path) -> None:
    done = run(tmp_path, "config", TIN_CAN_NAME="Ada", TIN_CAN_TURN_PASSWORD="do not show")
    assert (done.returncode, done.stderr) == (0, "")
    assert "(does not exist)" in done.stdout.splitlines()[0]
    lines = {line.split()[0]: line for line in done.stdout.splitlines()[2:]}
    assert set(lines) == {setting.name for setting in SETTINGS}
    assert lines["name"].split() == ["name", "TIN_CAN_NAME", "Ada"]
    assert lines["lan"].split() == ["lan", "default", "yes"]
    assert lines["turn_password"].split() == ["turn_password", "TIN_CAN_TURN_PASSWORD", "(hidden)"]
    assert lines["timeout"].split() == ["timeout", "default", "600"]
    assert all(len(line) <= 80 for line in lines.values() if "stun" not in line)
    assert "do not show" not in done.stdout


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('name = "unfinished', "not valid TOML"),
        (b"name = '\xff'", "not valid TOML"),
        ('nmae = "Ada"', "nmae"),
        ("timeout = true", "timeout from config.toml"),
        ("turn = ['turn:a']", "--turn-user"),
        ("stun = ['nonsense']", "'nonsense'"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, content: str | bytes, says: str) -> None:
    write_config(tmp_path, content)
    # The environment that every test has would hide what the file says of STUN.
    assert says in sentence(run(tmp_path, "config", TIN_CAN_STUN=""), 2)


def test_a_damaged_file_is_told_by_every_command_that_meets(tmp_path: Path) -> None:
    path = write_config(tmp_path, "timeout = soon")
    assert str(path) in sentence(run(tmp_path, "tap", "7-guitar-banana"), 2)


def test_a_wrong_environment_is_one_sentence(tmp_path: Path) -> None:
    assert "TIN_CAN_TIMEOUT" in sentence(run(tmp_path, "config", TIN_CAN_TIMEOUT="soon"), 2)
