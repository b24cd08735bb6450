"""Two cans, one with a person at a terminal: the prompt, what is being typed, and how the terminal is left."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import pytest

from lab.cans import SECRET, TIN_CAN, Can, settings
from lab.netlab import PATIENCE, Host, Lab, WaitTimeout
from lab.terminal import Garbage, Person, Screen


@pytest.fixture
def desk(lab: Lab) -> Host:
    return lab.isolated("desk")


def sit_down(desk: Host, command: str, *arguments: str, env: dict[str, str] | None = None) -> Person:
    return Person(desk, [*TIN_CAN, command, "--plain", *arguments], settings(env))


def talking(desk: Host, side: str = "attach-string", env: dict[str, str] | None = None) -> tuple[Person, Can]:
    """Return a person and another can, connected, the person at an empty prompt."""
    person = sit_down(desk, side, SECRET, env=env)
    can = Can(desk, "tap" if side == "attach-string" else "attach-string", SECRET)
    can.event("connected")
    person.sees_line("desk is here")
    person.sees_prompt()
    return person, can


@pytest.mark.parametrize("side", ["attach-string", "tap"])
def test_what_is_being_typed_stays_when_a_message_comes(desk: Host, side: str) -> None:
    person, can = talking(desk, side)
    person.type("half a mes")
    person.sees_prompt("half a mes")
    can.say("a word in between")
    person.sees_line("desk: a word in between")
    screen = person.sees_prompt("half a mes")
    assert "desk: a word in between" in screen.lines
    assert sum("half a mes" in line for line in screen.lines) == 1
    person.type("sage, long enough for two lines of the terminal: " + "la " * 20)
    person.sees(lambda screen: screen.lines[-1].endswith("la la"))
    can.say("and another one")
    person.sees_line("desk: and another one")
    screen = person.sees(lambda screen: screen.lines[-1].endswith("la la"))
    assert "desk: and another one" in screen.lines
    assert sum("half a message" in line for line in screen.lines) == 1
    person.type("end\r")
    assert (
        can.event("message")["text"] == f"half a message, long enough for two lines of the terminal: {'la ' * 20}end"
    )
    person.type("/me waves\r")
    assert can.event("message")["action"] is True
    assert can.hang_up() == 0
    assert person.wait() == 0


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        pytest.param("/quit\r", 0, id="quit"),
        pytest.param("\x04", 0, id="Ctrl-D"),
        pytest.param("\x03", 130, id="Ctrl-C"),
        pytest.param("half a line\x03", 130, id="Ctrl-C in a line"),
    ],
)
def test_leaving(desk: Host, keys: str, code: int) -> None:
    person, can = talking(desk)
    person.type(keys)
    assert can.wait() == 0
    assert person.wait() == code
    assert_left_well(person)


def test_the_other_one_leaves_in_the_middle_of_a_line(desk: Host) -> None:
    person, can = talking(desk)
    person.type("half a line")
    person.sees_prompt("half a line")
    assert can.hang_up() == 0
    assert person.wait() == 0
    assert_left_well(person)
    assert "The other can hung up." in person.screen.lines


def test_leaving_while_nobody_has_come(desk: Host) -> None:
    """By Ctrl-C as the line is waited on, and at the question for the phrase."""
    waiting = sit_down(desk, "attach-string")
    waiting.sees_line("Waiting ...")
    waiting.type("\x03")
    asked = [sit_down(desk, "tap") for _ in range(2)]
    for person, key in zip(asked, "\x03\x04", strict=True):
        person.sees_prompt(prompt="Phrase: ")
        press_until_gone(person, key)
    for person in (waiting, *asked):
        assert person.wait() == 130
        assert_left_well(person)


def press_until_gone(person: Person, key: str, presses: int = 200) -> None:
    """Press a key as people do; a signal between the prompt and the read behind it would change nothing."""
    for _ in range(presses):
        person.type(key)
        with contextlib.suppress(WaitTimeout):
            person.process.wait(0.5)
            return


def test_tap_asks_for_the_phrase(desk: Host) -> None:
    person = sit_down(desk, "tap")
    person.sees_prompt(prompt="Phrase: ")
    can = Can(desk, "attach-string", SECRET)
    person.type(f"{SECRET}\r")
    can.event("connected")
    person.sees_prompt()
    person.type("\x1b[A")  # the key Up: what was typed before, and the phrase shall not be there
    person.type("hello\r")
    assert can.event("message")["text"] == "hello"
    assert can.hang_up() == 0
    assert person.wait() == 0
    assert_left_well(person)


def assert_left_well(person: Person) -> None:
    assert person.settings_restored
    screen = person.screen
    assert screen.cursor == (len(screen.lines) - 1, 0)
    assert screen.lines[-1] == ""
    assert "Traceback" not in person.raw
    # Bracketed paste, which line editing switches on, must not stay with the shell.
    assert person.raw.rfind("\x1b[?2004l") >= person.raw.rfind("\x1b[?2004h")


HOSTILE = {
    "\x1b[31mred\x1b]0;title\x07": r"\x1b[31mred\x1b]0;title\x07",
    "\x1b[2J\x08\x08 \u202egnp.exe": r"\x1b[2J\x08\x08 \u202egnp.exe",
    "\u009b5n \x7f\t\r>": r"\x9b5n \x7f\t\r>",
}


def test_nothing_of_the_peer_is_obeyed_by_the_terminal(desk: Host) -> None:
    person = sit_down(desk, "attach-string", SECRET)
    can = Can(desk, "tap", SECRET, "--name", "\x1b[2JEve\r\n\x07")
    name = r"\x1b[2JEve \x07"
    person.sees_line(f"{name} is here")
    for text, shown in HOSTILE.items():
        can.say(text)
        screen = person.sees_line(shown)
        assert f"{name}: {shown}" in screen.lines
    for part in ("\x1b[31m", "\x1b]", "\x1b[2J", "\x07", "\u202e", "\u009b", "\x7f", "\t"):
        assert part not in person.raw
    assert can.hang_up() == 0
    assert person.wait() == 0
    assert_left_well(person)


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=lambda env: next(iter(env)))
def test_without_colour(desk: Host, env: dict[str, str]) -> None:
    person, can = talking(desk, env=env)
    can.say("black and white")
    person.sees_line("desk: black and white")
    person.type("\x04")
    assert person.wait() == 0
    assert can.wait() == 0
    assert "\x1b" not in person.raw if "TERM" in env else not has_colour(person.raw)


def test_with_colour(desk: Host) -> None:
    person, can = talking(desk, env={"NO_COLOR": ""})
    assert has_colour(person.raw)
    assert can.hang_up() == 0
    assert person.wait() == 0


def has_colour(raw: str) -> bool:
    return any(f"\x1b[{code}m" in raw for code in range(1, 108))


@pytest.mark.parametrize("sequence", ["\x1b]0;title\x07", "\x1b[2J", "\x1b[5n", "\x1bc", "\x9b", "\x00"])
def test_the_screen_of_these_tests_refuses_what_no_line_editor_says(sequence: str) -> None:
    with pytest.raises(Garbage):
        Screen(f"harmless {sequence}")


# -- the screens, which open where nobody asks for lines ----------------------------


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        pytest.param("/quit\r", 0, id="quit"),
        pytest.param("\x04", 0, id="Ctrl-D"),
        pytest.param("\x11", 0, id="Ctrl-Q"),
        pytest.param("\x03", 130, id="Ctrl-C"),
    ],
)
def test_the_screens_leave_the_terminal_as_it_was(desk: Host, keys: str, code: int) -> None:
    person = Person(desk, [*TIN_CAN, "attach-string", SECRET], settings({"TERM": "xterm-256color"}))
    can = Can(desk, "tap", SECRET, "--name", "\x1b]0;Eve\x07")
    can.say("first words")
    for text in HOSTILE:
        can.say(text)
    person.reads("first words")
    person.reads("gnp.exe")
    person.type("heard\r")
    assert can.event("message")["text"] == "heard"
    person.type(keys)
    assert can.wait() == 0
    assert person.wait() == code
    assert person.settings_restored
    assert person.raw.rfind("\x1b[?1049l") > person.raw.rfind("\x1b[?1049h") >= 0  # the other screen is left
    for part in ("\x1b[31mred", "\x1b]0;", "\u202e", "\u009b", "\x7f", "Traceback"):
        assert part not in person.raw


def test_a_file_is_sent_at_one_screen_and_accepted_at_the_other(desk: Host, tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(bytes(range(256)) * 4000)
    (tmp_path / "here").mkdir()
    here = settings({"TERM": "xterm-256color", "PYTHONPATH": ""})
    into = ["/bin/sh", "-c", 'cd "$0" && exec "$@"', str(tmp_path / "here"), *TIN_CAN]
    ada = Person(desk, [*into, "attach-string", SECRET, "--name", "Ada"], here)
    bob = Person(desk, [*TIN_CAN, "tap", SECRET, "--name", "Bob"], here)
    bob.reads("Ada is here")
    bob.type(f"/send {tmp_path / 'photo.jpg'}\r")
    ada.reads("They would be put into")
    deadline = time.monotonic() + PATIENCE
    while not (tmp_path / "here" / "photo.jpg").exists() and time.monotonic() < deadline:
        time.sleep(2)  # it takes no answer in its first moment
        ada.type("y")
    bob.reads("Sent 1 file")
    assert (tmp_path / "here" / "photo.jpg").read_bytes() == (tmp_path / "photo.jpg").read_bytes()
    bob.type("\x11")
    assert bob.wait() == 0
    ada.reads("Bob hung up")
    ada.type("\x1b")
    assert ada.wait() == 0
