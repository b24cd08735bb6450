"""Help, version, completion: quick, complete, and the same from every door."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tincan import __version__
from tincan.cli.commands import COMMANDS, Command, top_help
from tincan.cli.group import group
from unit.cli.programs import run

HEAVY = ("aioice", "aiortc", "aiohttp", "websockets", "zeroconf", "cryptography", "textual", "sounddevice", "av")
commands = pytest.mark.parametrize("command", COMMANDS, ids=[command.name for command in COMMANDS])


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("help",), ("--",)])
def test_every_door_to_the_help_shows_the_same(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == top_help() + "\n"


def test_the_help_is_what_click_would_print() -> None:
    result = CliRunner().invoke(group, ["--help"])
    assert result.exit_code == 0
    assert result.output == top_help() + "\n"
    assert all(len(line) < 100 for line in top_help().splitlines())


@commands
def test_the_top_help_names_every_command(command: Command) -> None:
    [line] = [line for line in top_help().splitlines() if line.startswith(f"  {command.name} ")]
    assert command.summary in line
    assert command.arguments in line


@commands
def test_every_command_has_a_help(command: Command) -> None:
    result = CliRunner().invoke(group, [command.name, "--help"])
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: cli {command.name} ") or f" {command.name} " in result.output
    words = " ".join(result.output.split())
    if "PHRASE" in command.arguments:
        assert "visible in the process list" in words
        assert "--phrase-file" in words
        assert "TIN_CAN_PHRASE" in words


@pytest.mark.parametrize("arguments", [("net",), ("net", "social"), ("friend",)], ids=" ".join)
def test_a_group_without_a_command_shows_its_help(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    said = done.stdout + done.stderr
    assert said.startswith(f"Usage: tin-can {' '.join(arguments)} ")
    assert "..." not in said.partition("Commands:")[2]


@pytest.mark.parametrize(
    ("command", "shown"),
    [("attach-string", True), ("tap", True), ("talk", True), ("pipe", False), ("send", False), ("forward", False)],
)
def test_other_programs_dialects_are_offered_where_they_can_be_had(command: str, shown: bool) -> None:
    result = CliRunner().invoke(group, [command, "--help"])
    for option in ("--pypeer", "--classic", "--static-link"):
        assert (option in result.output) is shown


@pytest.mark.parametrize("option", ["--pypeer", "--classic", "--static-link"])
def test_elsewhere_a_sentence_says_where(tmp_path: Path, option: str) -> None:
    done = run(tmp_path, "pipe", option, "x")
    assert done.returncode == 2
    assert "use attach-string, tap or talk" in done.stderr


@pytest.mark.parametrize("arguments", [("--version",), ("--version", "tap")])
def test_version(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"tin-can {__version__}\n", "")


def _imported(log: str) -> set[str]:
    """Return the packages in what ``-X importtime`` has written."""
    lines = [line for line in log.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_the_help_loads_nothing(tmp_path: Path) -> None:
    done = run(tmp_path, "--help", PYTHONPROFILEIMPORTTIME="1")
    loaded = _imported(done.stderr)
    assert "tincan" in loaded
    assert not loaded & {*HEAVY, "asyncio", "click", "typing"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script(tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, _TIN_CAN_COMPLETE=f"{shell}_source", PYTHONWARNINGS="ignore")
    assert done.returncode == 0, done.stderr
    assert "_TIN_CAN_COMPLETE" in done.stdout
    assert "tin-can" in done.stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("tin-can t", "plain,tap"),
        ("tin-can tap --sw", "plain,--switchboard"),
        ("tin-can doctor --tur", "plain,--turn"),
    ],
)
def test_completion_offers_words_and_loads_no_networks(tmp_path: Path, words: str, offered: str) -> None:
    done = run(
        tmp_path,
        _TIN_CAN_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(words.count(" ")),
        PYTHONPROFILEIMPORTTIME="1",
    )
    assert done.returncode == 0, done.stderr
    assert offered in done.stdout.splitlines()
    loaded = _imported(done.stderr)
    assert "click" in loaded
    assert not loaded & set(HEAVY)
