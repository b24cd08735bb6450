"""The options of the commands that meet a peer: phrase, servers, precedence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from tincan.cli.options import MeetingOptions, find_phrase, meeting_options, servers
from tincan.config import DEFAULT_STUN
from tincan.errors import UsageError
from tincan.link.dial import Settings
from tincan.nat.servers import IceServer

# -- the phrase --------------------------------------------------------------------


def options(phrase_file: str | None = None, **environment: str) -> MeetingOptions:
    return MeetingOptions(
        settings=Settings(),
        name="",
        phrase_file=phrase_file,
        plain=False,
        json=False,
        quiet=False,
        verbose=0,
        log_file=None,
        environment=environment,
    )


def never() -> str:
    raise AssertionError("stdin was read")


@pytest.mark.parametrize(
    ("argument", "file", "stdin", "environment", "phrase"),
    [
        ("an argument", None, None, None, "an argument"),
        ("an argument", None, None, "an environment", "an argument"),
        (None, "a file\nand more\n", None, None, "a file"),
        (None, "a file\r\n", None, "an environment", "a file"),
        (None, "no end of line", None, None, "no end of line"),
        (None, None, "stdin", None, "stdin"),
        (None, None, "stdin", "an environment", "stdin"),
        (None, None, None, "an environment", "an environment"),
        (None, None, None, "", None),
        (None, None, None, None, None),
        ("7 Guitar BANANA", None, None, None, "7-guitar-banana"),
    ],
)
def test_where_the_phrase_comes_from(
    tmp_path: Path,
    argument: str | None,
    file: str | None,
    stdin: str | None,
    environment: str | None,
    phrase: str | None,
) -> None:
    name = None
    if file is not None:
        name = str(tmp_path / "phrase")
        Path(name).write_bytes(file.encode())
    elif stdin is not None:
        name = "-"
    variables = {} if environment is None else {"TIN_CAN_PHRASE": environment}
    read: Callable[[], str] = never if stdin is None else lambda: stdin
    found = find_phrase(argument, options(name, **variables), read)
    assert (found.text if found is not None else None) == phrase


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n", b"\xff\xfe\n", b"x" * 5000])
def test_a_file_without_a_phrase_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "phrase"
    path.write_bytes(content)
    with pytest.raises(UsageError):
        find_phrase(None, options(str(path)), never)


@pytest.mark.parametrize("file", ["a file", "-"])
def test_a_phrase_given_twice_is_refused(file: str) -> None:
    with pytest.raises(UsageError, match="twice"):
        find_phrase("an argument", options(file), never)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            find_phrase(None, options(str(path)), never)


def test_an_empty_argument_is_not_the_same_as_none() -> None:
    with pytest.raises(UsageError, match="empty"):
        find_phrase("", options(TIN_CAN_PHRASE="an environment"), never)


# -- servers -----------------------------------------------------------------------

NOTHING: dict[str, Any] = {"switchboards": (), "stun": (), "turn": (), "turn_user": None, "turn_password": None}
GOOGLE, CLOUDFLARE = (
    IceServer("stun", host, port) for host, port in (("stun.l.google.com", 19302), ("stun.cloudflare.com", 3478))
)
LOGIN = {"turn_user": "ada", "turn_password": "secret"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"stun": DEFAULT_STUN}, ()),
        ({"stun": DEFAULT_STUN, "switchboards": ("a",)}, (GOOGLE, CLOUDFLARE)),
        ({"stun": ("none",), "switchboards": ("a",)}, ()),
        ({"stun": ("stun:own",)}, (IceServer("stun", "own", 3478),)),
        ({"stun": ("stun:a:1", "stun:[::1]:2")}, (IceServer("stun", "a", 1), IceServer("stun", "::1", 2))),
        ({"turn": ("turn:t",), **LOGIN}, (IceServer("turn", "t", 3478, "udp", "ada", "secret"),)),
        ({"turn": ("turn:t?transport=tcp",), **LOGIN}, (IceServer("turn", "t", 3478, "tcp", "ada", "secret"),)),
        ({"turn": ("turns:t",), **LOGIN}, (IceServer("turn", "t", 5349, "tls", "ada", "secret"),)),
        (
            {"stun": ("stun:s",), "turn": ("turn:t",), **LOGIN},
            (IceServer("stun", "s", 3478), IceServer("turn", "t", 3478, "udp", "ada", "secret")),
        ),
        (LOGIN, ()),
    ],
)
def test_which_servers_are_asked(given: dict[str, Any], expected: tuple[IceServer, ...]) -> None:
    assert servers(NOTHING | given) == expected


def test_the_default_servers_can_be_asked_for() -> None:
    assert servers(NOTHING | {"stun": DEFAULT_STUN}, ask_default_stun=True) == (GOOGLE, CLOUDFLARE)


@pytest.mark.parametrize(
    "given",
    [
        {"stun": ("turn:t",), **LOGIN},
        {"stun": ("none", "stun:s")},
        {"stun": ("s",)},
        {"turn": ("stun:s",), **LOGIN},
        {"turn": ("turn:t",)},
        {"turn": ("turn:t",), "turn_user": "ada"},
        {"turn": ("turn:t",), "turn_password": "secret"},
        {"turn": ("none",), **LOGIN},
    ],
)
def test_servers_of_the_wrong_kind_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        servers(NOTHING | given)


# -- precedence --------------------------------------------------------------------


def read_as(home: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], **environment: str) -> MeetingOptions:
    """Return what a command would get, from real arguments, environment and file."""
    found: list[MeetingOptions] = []

    @click.command()
    @meeting_options
    def command(options: MeetingOptions) -> None:
        found.append(options)

    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    for name in ("SWITCHBOARD", "LAN", "STUN", "TURN", "TURN_USER", "TURN_PASSWORD", "RELAY_ONLY", "TIMEOUT", "NAME"):
        monkeypatch.delenv(f"TIN_CAN_{name}", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    result = CliRunner().invoke(command, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return found[0]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a config file."""
    path = tmp_path / "config" / "tin-can" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(
        'timeout = 1\nname = "file"\nswitchboards = ["file.example"]\nlan = false\nstun = ["stun:file"]\n'
    )
    return tmp_path


def test_option_then_environment_then_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from_file = read_as(home, monkeypatch, [])
    assert from_file.name == "file"
    assert from_file.settings == Settings(
        switchboards=("file.example",), lan=False, servers=(IceServer("stun", "file", 3478),), timeout=1.0
    )
    environment = {
        "TIN_CAN_TIMEOUT": "2",
        "TIN_CAN_NAME": "variable",
        "TIN_CAN_SWITCHBOARD": "a b",
        "TIN_CAN_LAN": "1",
    }
    from_environment = read_as(home, monkeypatch, [], **environment)
    assert from_environment.name == "variable"
    assert from_environment.settings.timeout == 2.0
    assert from_environment.settings.switchboards == ("a", "b")
    assert from_environment.settings.lan
    arguments = ["--timeout", "3", "--name", "option", "--switchboard", "x", "--switchboard", "y", "--no-lan"]
    given = read_as(home, monkeypatch, arguments, **environment)
    assert given.name == "option"
    assert given.settings.timeout == 3.0
    assert given.settings.switchboards == ("x", "y")
    assert not given.settings.lan


def test_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = read_as(tmp_path, monkeypatch, [])
    assert found.settings == Settings(switchboards=(), lan=True, servers=(), relay_only=False, timeout=600.0)
    assert (found.plain, found.json, found.quiet, found.verbose) == (False, False, False, 0)


def test_relay_only_can_be_switched_on_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_as(tmp_path, monkeypatch, ["--relay-only"]).settings.relay_only
    assert read_as(tmp_path, monkeypatch, [], TIN_CAN_RELAY_ONLY="yes").settings.relay_only
    assert read_as(tmp_path, monkeypatch, ["-vv"]).verbose == 2


def test_the_options_never_show_a_phrase() -> None:
    assert "secret" not in repr(options(TIN_CAN_PHRASE="secret"))
