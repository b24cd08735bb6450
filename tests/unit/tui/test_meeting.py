"""Before there is a string: forms, waiting, errors and another try."""

from __future__ import annotations

from tincan.errors import AuthenticationFailed, NobodyCame, NoPath, NoPlaceReachable
from tincan.meet.events import PlaceTrouble
from tincan.meet.mailbox import Side
from tincan.tui.seam import ROOM_LETTERS, Dialect, Request, new_room
from unit.tui.memory import PHRASE, Exchange
from unit.tui.seats import seated

BOTH = (Dialect.NATIVE, Dialect.PYPEER)


async def test_a_wrong_phrase_is_told_on_both_sides_and_can_be_tried_again() -> None:
    exchange = Exchange()
    async with seated(exchange.make) as ada, seated(exchange.make) as bob:
        await ada.press("h")
        await ada.sees("Make the string")
        await ada.press("enter")
        await ada.sees("Waiting for the other can ...")
        await bob.press("j")
        await bob.sees("Join the string")
        await bob.type("417-guitar-apple")
        for seat in (ada, bob):
            await seat.sees("The phrase is wrong. Agree on a new one.")
        await ada.press("enter")
        await ada.sees("Waiting for the other can ...")
        await bob.press(*["backspace"] * 5)
        await bob.sees_no("apple")
        await bob.type("banana")
        for seat in (ada, bob):
            await seat.sees("Connected direct (UDP).")
        assert [request.phrase for request in exchange.requests] == [None, "417-guitar-apple", None, PHRASE]


async def test_every_error_leaves_the_form_usable() -> None:
    exchange = Exchange()
    async with seated(exchange.make) as bob:
        await bob.press("j")
        await bob.sees("Join the string")
        await bob.press("enter")
        await bob.sees("Type what the other one tells you.")
        await bob.press(*"some phrase")
        for error in (NobodyCame("Nobody came."), NoPlaceReachable("No place can be reached."), NoPath("No path.")):
            exchange.failure = error
            await bob.press("enter")
            await bob.sees(str(error), "some phrase")
        await bob.press("enter")
        await bob.sees("Looking for the other can ...")
        await bob.press("escape")
        await bob.sees("Join the string", "some phrase")
        await bob.press("escape")
        await bob.sees("Two cans, one string.")


async def test_a_commands_error_is_what_it_ends_with() -> None:
    exchange = Exchange()
    exchange.failure = AuthenticationFailed("The phrase is wrong.")
    async with seated(exchange.make, Request(Side.TAP, PHRASE)) as bob:
        assert (await bob.left()).error is not None


async def test_cancelling_ends_what_was_begun() -> None:
    exchange = Exchange()
    async with seated(exchange.make) as ada:
        await ada.press("h")
        await ada.sees("Make the string")
        await ada.press("enter")
        await ada.sees("Waiting for the other can ...")
        await ada.press("escape")
        await ada.sees("Make the string")
        assert exchange.all[0].ended
    async with seated(exchange.make, Request(Side.ATTACH, None)) as ada:
        await ada.sees("Waiting for the other can ...")
        await ada.press("escape")
        assert (await ada.left()).interrupted
        assert exchange.all[1].ended


async def test_tap_without_a_phrase_asks_for_it() -> None:
    exchange = Exchange()
    async with seated(exchange.make, Side.TAP) as bob:
        await bob.sees("Join the string")
        await bob.type("abc")
        await bob.sees("Looking for the other can ...")
        await bob.press("escape")
        await bob.sees("Join the string")
        exchange.failure = NobodyCame("Nobody came.")
        await bob.press("enter")
        await bob.sees("Nobody came.")
        await bob.press("escape")
        assert isinstance((await bob.left()).error, NobodyCame)  # the command ends as its last try did


async def test_what_is_typed_is_told_what_it_is_worth() -> None:
    async with seated(Exchange().make, Side.ATTACH) as ada:
        await ada.sees("Make the string")
        await ada.press(*"banana")
        await ada.sees("This phrase is weak")
        await ada.press(*" violin harbour pencil engine lantern")
        await ada.sees("This phrase is fair")


async def test_words_of_a_phrase_are_completed() -> None:
    async with seated(Exchange().make, Side.TAP) as bob:
        await bob.sees("Join the string")
        await bob.press(*"417-gui")
        await bob.sees("417-guitar")
        await bob.press("right", *"-xyz")
        await bob.sees("xyz is not among the words")


async def test_phrase_command_and_code_are_at_hand_while_waiting() -> None:
    exchange = Exchange()
    async with seated(exchange.make, Request(Side.ATTACH, None), size=(60, 20)) as ada:
        await ada.sees(PHRASE, "the LAN: reached")
        await ada.press("c")
        await ada.until(lambda: ada.app.clipboard == PHRASE)
        await ada.press("j")
        await ada.until(lambda: ada.app.clipboard == f"tin-can tap {PHRASE}")
        await ada.press("r")
        await ada.sees("██ ▄▄▄▄▄ █")
        async with seated(exchange.make, Request(Side.TAP, PHRASE)):
            await ada.sees("Connected direct (UDP).")  # whatever lies in front of the waiting screen


async def test_a_place_in_trouble_is_told() -> None:
    exchange = Exchange()
    async with seated(exchange.make, Request(Side.ATTACH, None), name="Ada") as ada:
        await ada.sees("the LAN: reached")
        controller = ada.app.controller
        assert controller is not None
        controller.talk.take(PlaceTrouble("wss://can.example", "It does not answer\x1b[2J."), controller.now())
        controller.note("")
        await ada.sees("! wss://can.example: It does not answer\\x1b[2J.")


async def test_rooms_of_another_dialect() -> None:
    exchange = Exchange()
    async with seated(exchange.make, dialects=BOTH) as ada:
        await ada.press("h")
        await ada.sees("Speaks", "pypeer")
        assert "Password" not in ada.screen()
        await ada.press("shift+tab", "right", "space")
        await ada.sees("Password", "Room", "leave it empty, and a room is made")
        await ada.press("tab", "tab")
        await ada.focuses("password-field")
        await ada.press(*"secret")
        await ada.sees("••••••")
        assert "secret" not in ada.screen()
        await ada.press("enter")
        await ada.sees("The room is", "It has a password.", "tin-can tap --pypeer ")
        request = exchange.requests[0]
        assert (request.side, request.password, request.dialect) == (Side.ATTACH, "secret", Dialect.PYPEER)
        assert request.phrase is not None
        assert len(request.phrase) == 6
        assert set(request.phrase) <= set(ROOM_LETTERS)
        assert "secret" not in repr(request)


def test_a_room_is_chosen_letter_by_letter() -> None:
    assert new_room(lambda letters: letters[-1]) == "999999"
