"""The command: what it refuses before anybody is met, and what it tells people and programs."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from tincan.apps.forward import (
    ConnectionClosed,
    ConnectionOpened,
    ForwardEvent,
    Listening,
    NotForwarded,
    Plan,
    StringMended,
)
from tincan.cli.forward import ForwardJson, hint, teller
from tincan.cli.output import Output
from tincan.meet.events import Waiting
from tincan.meet.phrase import parse
from unit.apps.forward.helpers import plan
from unit.cli.programs import run, sentence


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "nothing to forward"),
        (("-L", "nonsense"), "'nonsense'"),
        (("-R", "1:2:3:4:5"), "'1:2:3:4:5'"),
        (("-u", "-L", "53:/run/dns"), "'53:/run/dns'"),
        (("--allow", "80"), "'80'"),
        (("--allow-listen", "web"), "'web'"),
        (("--classic", "--allow", "web:80"), "--classic"),
        (("--pypeer", "--allow", "web:80"), "--pypeer"),
        (("--static-link", "--allow", "web:80"), "--static-link"),
    ],
)
def test_what_is_refused_at_once(tmp_path: Path, arguments: tuple[str, ...], says: str) -> None:
    assert says in sentence(run(tmp_path, "forward", *arguments), 2)


def test_a_port_that_is_taken_is_told_before_anybody_is_met(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = sentence(run(tmp_path, "forward", "some phrase", "-q", "-L", f"{port}:localhost:80"), 1)
    assert f"localhost:{port}" in said


@pytest.mark.parametrize(
    ("wish", "needed"),
    [
        (plan(["1:Web:80", "2:[::1]:53"]), "--allow web:80 --allow '[::1]:53'"),
        (plan(remote=["8080:web:80"]), "--allow-listen 8080"),
        (plan(allow=["web:80"]), "-L [BIND:]PORT:HOST:PORT"),
        (plan(allow_listen=["80"]), "-R [BIND:]PORT:HOST:PORT"),
    ],
)
def test_who_waits_is_told_what_the_other_one_types(wish: Plan, needed: str) -> None:
    generated, chosen = (Waiting(code="0" * 12, phrase=parse(text)) for text in ("7-guitar-banana", "our own words"))
    assert "    tin-can forward 7-guitar-banana " in hint(wish, generated)
    for event in (generated, chosen):
        assert needed in hint(wish, event)
    assert "our own words" not in hint(wish, chosen)


EVENTS: list[ForwardEvent] = [
    Listening("0:web:80", "localhost:4000", there=False),
    Listening("80:web:80", "localhost:80", there=True),
    ConnectionOpened(1, "web:80"),
    ConnectionClosed(1, 20, 30),
    NotForwarded("web:81", "no \x1b[2J"),
    NotForwarded("web:81", "no \x1b[2J"),
    StringMended(),
]


def test_programs_are_told_every_event(capsys: pytest.CaptureFixture[str]) -> None:
    tell = teller(ForwardJson(quiet=True))
    for event in EVENTS:
        tell(event)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"event": "listening", "spec": "0:web:80", "address": "localhost:4000"},
        {"event": "listening", "spec": "80:web:80", "address": "localhost:80", "there": True},
        {"event": "open", "id": 1, "target": "web:80"},
        {"event": "close", "id": 1, "sent": 20, "received": 30},
        {"event": "refused", "target": "web:81", "text": "no \x1b[2J"},
        {"event": "refused", "target": "web:81", "text": "no \x1b[2J"},
    ]


@pytest.mark.parametrize("quiet", [False, True])
def test_people_are_told_of_a_failure_once(capsys: pytest.CaptureFixture[str], quiet: bool) -> None:
    tell = teller(Output(quiet=quiet))
    for event in EVENTS:
        tell(event)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count(r"Not forwarded (web:81): no \x1b[2J") == 1
    assert ("Listening on localhost:80 at the other can (80:web:80)." in said.err) is not quiet
