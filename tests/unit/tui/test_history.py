"""The history: long, scrolled, selected, copied, and whatever the peer puts into it."""

from __future__ import annotations

from datetime import datetime

from hypothesis import given
from hypothesis import strategies as st

from tincan.apps.chat.events import Closed, Delivered, MessageReceived, PeerHello
from tincan.apps.text import visible
from tincan.link.dial import Connected
from tincan.link.interface import CloseReason
from tincan.tui.lines import extract, lay_out
from tincan.tui.talk import MAX_ENTRIES, Delivery, Entry, Kind, Talk
from tincan.tui.widgets.history import History
from unit.tui.memory import Exchange
from unit.tui.seats import NOON, Seat, answered

HOSTILE = (
    "\x1b[2J\x1b]52;c;ZXZpbA==\x07 \u202eevil\u202c [bold]big[/bold] [@click=app.quit]x[/] "
    "\x9b31m \r\x00\u200b\U000e0041"
)


async def flood(seat: Seat, count: int, text: str = "number") -> None:
    controller = seat.app.controller
    assert controller is not None
    for number in range(count):
        controller.talk.take(MessageReceived(number + 1, f"{text} {number}", False), NOON)
    controller.note("that was all")
    await seat.sees("that was all")


async def test_a_long_history_is_scrolled_and_bounded() -> None:
    async with answered() as (ada, _):
        await flood(ada, MAX_ENTRIES + 500)
        controller = ada.app.controller
        assert controller is not None
        assert len(controller.talk.entries) == MAX_ENTRIES
        await ada.press("ctrl+home")
        await ada.sees("number 501")
        assert "number 500" not in ada.screen()
        await ada.press("pagedown")
        await ada.sees_no("number 501")
        controller.talk.take(MessageReceived(9999, "the newest", False), NOON)
        controller.note("")
        await ada.sees("↓ 1 new below")
        assert "the newest" not in ada.screen()
        await ada.press("ctrl+end")
        await ada.sees("the newest")
        await ada.sees_no("new below")


async def test_a_message_is_marked_and_copied_by_keys() -> None:
    async with answered() as (ada, bob):
        await bob.type("first\nof two lines")
        await bob.type("second")
        await ada.sees("second")
        await ada.press("tab")
        await ada.focuses("history")
        await ada.press("up", "up", "enter")
        await ada.until(lambda: ada.app.clipboard == "first\nof two lines")
        await ada.press("x")  # a letter goes into the message
        await ada.sees("│ x")


async def test_text_is_selected_with_the_mouse_and_copied_with_ctrl_c() -> None:
    async with answered() as (ada, bob):
        await bob.type("a" * 70 + " wrapped words")
        await ada.sees("wrapped words")
        history = ada.app.screen.query_one(History)
        await ada.pilot.mouse_down(history, offset=(20, 2))
        await ada.pilot.hover(history, offset=(38, 3))
        await ada.pilot.mouse_up(history, offset=(38, 3))
        await ada.until(ada.app.screen.get_selected_text)
        await ada.press("ctrl+c")
        await ada.until(lambda: ada.app.clipboard)
        assert ada.app.clipboard.startswith("a" * 70 + " wra")
        assert "wrapped" not in ada.app.clipboard
        assert ada.app.return_value is None


async def test_hostile_text_is_shown_harmlessly() -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, bob):
        await exchange.all[1].send(HOSTILE)
        await ada.sees(
            "\\x1b[2J\\x1b]52;c;ZXZpbA==\\x07", "\\u202eevil\\u202c", "[bold]big[/bold]", "[@click=app.quit]"
        )
        await exchange.all[1].send(HOSTILE, action=True)
        await ada.sees("*           Bob \\x1b[2J")
        shown = ada.screen()
        assert not any(character in shown for character in "\x1b\x07\u202e\u202c\x9b\r\x00\u200b\U000e0041")
        assert ada.app.clipboard == ""
        await bob.type("still here")
        await ada.sees("still here")


async def test_a_hostile_name_is_shown_harmlessly() -> None:
    async with answered() as (ada, _):
        controller = ada.app.controller
        assert controller is not None
        for number, name in enumerate(("[red]Bob[/red]", "\x1b[31mBob", "B" * 64), 1):
            controller.talk.take(PeerHello(name, "", 1, frozenset()), NOON)
            controller.talk.take(MessageReceived(number, f"message {number}", False), NOON)
            controller.note("")
            await ada.sees(f"message {number}", visible(name)[:6])
            assert "\x1b" not in ada.screen()


def test_the_talk_counts_what_did_not_arrive() -> None:
    talk = Talk(own_name="Ada")
    talk.take(Connected("lan", "lan"), NOON)
    keys = [talk.say(text, False, NOON) for text in ("one", "two", "three", "four")]
    talk.sent(keys[0], 1)
    talk.take(Delivered(1), NOON)
    talk.take(Delivered(2), NOON)  # before we were told that it has this id
    talk.sent(keys[1], 2)
    talk.sent(keys[2], 3)
    talk.take(Closed(CloseReason.PEER, 1), NOON)
    states = [talk.entries[key].delivery for key in keys]
    assert states == [Delivery.DELIVERED, Delivery.DELIVERED, Delivery.UNSURE, Delivery.UNSURE]
    assert talk.ending is not None
    assert talk.ending.undelivered == 2  # the fourth never left


@given(
    text=st.text(alphabet=st.sampled_from("ab 漢é\n-👍🏽"), max_size=200).filter(
        lambda text: all(line == line.rstrip() for line in text.split("\n"))
    ),
    width=st.integers(30, 120),
)
def test_what_was_wrapped_is_copied_as_it_was(text: str, width: int) -> None:
    entry = Entry(1, Kind.PEER, "Bob", text, datetime(2026, 1, 1))
    lines = lay_out(entry, width)
    assert extract(lines, len(lines[0].head), None) == text
