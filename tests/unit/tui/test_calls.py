"""Calls, at the screen: they ring, are answered, watched and ended, by keys and by commands."""

from __future__ import annotations

import asyncio

import pytest

from tincan.apps.call.events import EndReason, SoundTrouble
from tincan.apps.call.interface import Switch
from tincan.audio.devices import Devices
from tincan.tui.widgets.callbar import meter
from unit.tui.memory import CallingExchange
from unit.tui.seats import Seat, answered


@pytest.fixture
def exchange() -> CallingExchange:
    return CallingExchange()


async def is_asked(seat: Seat) -> None:
    """Wait until the question stands there and takes an answer."""
    await seat.sees("Bob calls you.", "Your microphone stays closed")
    await seat.until(lambda: not seat.app.screen.query_one("#answers").disabled)


async def in_a_call(ada: Seat, exchange: CallingExchange) -> None:
    await ada.type("/call")
    await ada.sees("Calling Bob ...", "calling ...")
    exchange.calls.pick_up()
    await ada.sees("You are talking with Bob.", "0:00")


@pytest.mark.parametrize(("key", "wish", "told"), [("y", "accept", "0:00"), ("n", "decline", "was declined.")])
async def test_a_call_is_asked_about(exchange: CallingExchange, key: str, wish: str, told: str) -> None:
    async with answered(exchange) as (ada, _):
        exchange.calls.ring()
        await is_asked(ada)
        await ada.press(key)
        await ada.sees(told)
        assert exchange.calls.wishes == [wish]


async def test_a_call_taken_back_is_not_asked_about_any_more(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        exchange.calls.ring()
        await is_asked(ada)
        exchange.calls.end()
        await ada.sees_no("Bob calls you.")
        await ada.sees("Bob ended the call.")
        await ada.type("/accept")
        await ada.sees("Nothing is offered")


async def test_who_is_writing_answers_nothing_by_accident(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, bob):
        await ada.press(*"yes")
        exchange.calls.ring()
        await ada.sees("Bob calls: /accept or /decline, or F2")
        await ada.press(*" and no", "enter")
        await bob.sees("yes and no")
        assert exchange.calls.wishes == []
        await is_asked(ada)
        await ada.press("n")
        await ada.sees("was declined.")


@pytest.mark.parametrize("line", ["/accept", "/call"])
async def test_a_call_is_taken_by_a_command(exchange: CallingExchange, line: str) -> None:
    async with answered(exchange) as (ada, _):
        await ada.press(*line)
        exchange.calls.ring()
        await ada.sees("Bob calls")
        await ada.press("enter")
        await ada.sees("You are talking with Bob.", "0:00")


async def test_one_key_calls_takes_and_hangs_up(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        await ada.sees("f2 Call")
        await ada.press("f2")
        await ada.sees("Calling Bob ...")
        await ada.press("f2")
        await ada.sees("You ended the call.")
        await ada.press("x")
        exchange.calls.ring()
        await ada.sees("Bob calls: /accept")
        await ada.press("f2")
        await ada.sees("0:00")
        await ada.press("f2")
        await ada.sees("You ended the call after 0:00.")
        assert exchange.calls.wishes == ["call", "hangup", "accept", "hangup"]


async def test_the_bar_shows_the_call_and_goes_with_it(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        assert "you" not in ada.lines()[1]
        await in_a_call(ada, exchange)
        exchange.calls.show(
            seconds=3723.0, level=-20.0, peer_level=-60.0, rtt=0.031, loss=0.25, jitter_ms=7.0, mouth_to_ear_ms=91.0
        )
        await ada.sees(
            f"1:02:03  you {meter(-20)}", f"Bob {meter(-60)}", "direct (UDP), 31 ms, 91 ms to the ear, 25 % lost"
        )
        await ada.sees("Microphone / Speaker")
        exchange.calls.mute_peer(True)
        await ada.sees("Bob has closed the microphone.", f"{meter(-60)} muted")
        exchange.calls.end(EndReason.LOST)
        await ada.sees("The call was cut after 1:02:03.")
        await ada.sees_no("to the ear")


async def test_the_microphone_is_closed_and_opened(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        await in_a_call(ada, exchange)
        await ada.sees("f4 Mute")
        await ada.press("f4")
        await ada.sees("The microphone is closed.", f"{meter(-127)} muted")
        await ada.type("/mute off")
        await ada.sees("The microphone is open.")
        assert exchange.calls.wishes[-2:] == ["mute on", "mute off"]


async def test_push_to_talk_is_on_as_long_as_the_key_repeats(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        await in_a_call(ada, exchange)
        await ada.type("/ptt")
        await ada.sees("hold F3")
        await ada.press("f3")
        await ada.sees("talking")
        await ada.press("f3", "f3", "f3")
        await ada.until(lambda: exchange.calls.wishes[-1] == "pressed off")
        await ada.sees("hold F3")
        assert exchange.calls.wishes.count("pressed on") == 1


@pytest.mark.parametrize("what", ["echo", "noise"])
async def test_switches(exchange: CallingExchange, what: str) -> None:
    async with answered(exchange) as (ada, _):
        await in_a_call(ada, exchange)
        await ada.type(f"/{what}")
        await ada.sees(f"Say on or off: /{what} on, /{what} off")
        await ada.type(f"/{what} on")
        await ada.sees(" is on.")
        assert exchange.calls.wishes[-1] == f"{what} on"


async def test_devices_are_listed_and_chosen(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        await in_a_call(ada, exchange)
        await ada.type("/device")
        await ada.sees("Microphones:", "* Microphone", "  Headset microphone", "Speakers:")
        await ada.type("/device speaker headset")
        await ada.sees("Microphone: Microphone. Speaker: Headset.")
        await ada.type("/device headset")
        await ada.sees("Microphone: Headset microphone. Speaker: Headset.")
        await ada.type("/device gramophone")
        await ada.sees("There is no one device called 'gramophone'")
        assert exchange.calls.wishes[1:] == ["choose None Headset", "choose Headset microphone Headset"]


async def test_trouble_is_told_and_the_call_goes_on(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        await in_a_call(ada, exchange)
        exchange.all[0].asides.put_nowait(SoundTrouble("The sound has stopped; it is opened again."))
        await ada.sees("The sound has stopped; it is opened again.", "0:00")


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("/hangup", "There is no call."),
        ("/mute", "There is no call; /mute on or /mute off sets it"),
        ("/accept", "Nothing is offered"),
    ],
)
async def test_what_makes_no_sense_is_told(exchange: CallingExchange, line: str, sentence: str) -> None:
    async with answered(exchange) as (ada, _):
        await ada.type(line)
        await ada.sees(sentence)


async def test_without_voice_there_is_no_key_for_it() -> None:
    async with answered() as (ada, _):
        assert "Call" not in ada.lines()[-1]
        await ada.type("/call")
        await ada.sees("This conversation carries no voice.")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)])
async def test_the_bar_fits(exchange: CallingExchange, size: tuple[int, int]) -> None:
    async with answered(exchange, size=size) as (ada, _):
        await in_a_call(ada, exchange)
        exchange.calls.show(
            seconds=36_000.0, microphone="A very long name of a device " * 3, muted=True, peer_muted=True,
            rtt=0.3, loss=0.1, jitter_ms=100.0, mouth_to_ear_ms=300.0,
        )  # fmt: skip
        await ada.sees("10:00:00", "muted", "Bob", "300 ms to the ear", "Write a message")
        assert all(len(line) <= size[0] for line in ada.lines())


async def test_switching_before_a_call_is_possible(exchange: CallingExchange) -> None:
    async with answered(exchange) as (ada, _):
        await ada.type("/mute on")
        await ada.sees("The microphone is closed.")
        await ada.type("/device headset")
        await ada.sees("Microphone: Headset microphone. Speaker: Headset.")
        assert exchange.calls.wishes == [f"{Switch.MUTED.value} on", "choose Headset microphone Headset"]


async def test_a_microphone_is_closed_at_once_whatever_the_sound_server_does(exchange: CallingExchange) -> None:
    async def never() -> Devices:
        await asyncio.Event().wait()
        return Devices()

    async with answered(exchange) as (ada, _):
        await in_a_call(ada, exchange)
        exchange.calls.devices = never  # type: ignore[method-assign]
        await ada.type("/device")
        await ada.press("f4")
        await ada.sees("The microphone is closed.", f"{meter(-127)} muted")
