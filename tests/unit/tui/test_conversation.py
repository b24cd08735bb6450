"""Two people talk with each other, from the start screen to the goodbye."""

from __future__ import annotations

from tincan.errors import NoPath
from tincan.link.interface import LinkStatus, Path
from tincan.meet.mailbox import Side
from tincan.tui.seam import Request
from unit.tui.memory import PHRASE, Exchange, MendingConversation
from unit.tui.seats import answered, seated, talking


async def test_from_the_start_screen_to_the_goodbye() -> None:
    exchange = Exchange()
    async with seated(exchange.make, name="Ada") as ada, seated(exchange.make, name="Bob") as bob:
        await ada.press("h")
        await ada.sees("Make the string")
        await ada.press("enter")
        await ada.sees(PHRASE, "One guess in 1.7 million", f"tin-can tap {PHRASE}", "the LAN: reached")
        await bob.press("j")
        await bob.sees("Join the string")
        await bob.type(PHRASE)
        await ada.sees("Connected direct (UDP).", "Bob is here.", "23 ms")
        await bob.sees("Ada is here.")
        await ada.type("Can you hear me?")
        await bob.sees("Ada         Can you hear me?")
        await ada.sees("✓✓")
        await bob.type("Loud and clear.")
        await ada.sees("Bob         Loud and clear.")
        await bob.type("/quit")
        await bob.sees("Two cans, one string.")
        await ada.sees("Bob hung up.", "Loud and clear.", "the string is cut")
        await ada.press("escape")
        await ada.sees("Two cans, one string.")
        assert all(conversation.ended for conversation in exchange.all)


async def test_ticks_say_how_far_a_message_has_come() -> None:
    exchange = Exchange()
    async with answered(exchange, goodbye=0.1) as (ada, bob):
        held: list[bytes] = []
        link = exchange.all[1].link
        assert link is not None
        link.alter = lambda _, frame: held.append(frame)  # Bob's acknowledgement is lost
        await ada.type("hello")
        await bob.sees("hello")
        await ada.until(lambda: any(line.endswith(" ✓") for line in ada.lines()))
        await ada.until(lambda: held)
        link.alter = None
        await bob.type("there")
        await ada.type("again")
        await ada.until(lambda: any(line.endswith("✓✓") and "again" in line for line in ada.lines()))
        await ada.press("ctrl+d")
        outcome = await ada.left()
        assert outcome.note == "1 message of yours did not arrive for sure."


async def test_typing_is_seen_by_the_other() -> None:
    async with talking() as (ada, bob):
        await bob.press("H", "i")
        await ada.sees("Bob is typing ...")
        await bob.press("enter")
        await ada.sees("Hi")
        await ada.sees_no("Bob is typing ...")
        await bob.press(*"/path")  # a command is none of Ada's business
        await bob.sees("/path")
        assert "Bob is typing ..." not in ada.screen()
        await bob.press("enter", "x")
        await ada.sees("Bob is typing ...")
        await bob.press("backspace")
        await ada.sees_no("Bob is typing ...")


async def test_slash_commands() -> None:
    async with talking() as (ada, bob):
        await ada.type("/me waves")
        await bob.sees("*           Ada waves")
        await ada.type("/name Countess")
        await bob.sees("Ada is called Countess from now on")
        await ada.type("hi")
        await ada.sees("Countess    hi")
        await ada.type("/name")
        await ada.sees("You: Countess. The other can: Bob (tin-can/")
        await ada.type("/path")
        await ada.sees("Connected direct (UDP), 23 ms there and back; met at the")
        await ada.type("/help")
        await ada.sees("/quit", "say goodbye and leave")
        await ada.type("/dance")
        await ada.sees("There is no command /dance")
        await ada.type("//etc")
        await bob.sees("/etc")
        await ada.type("/quit")
        outcome = await ada.left()
        assert (outcome.interrupted, outcome.error) == (False, None)
        await bob.sees("Ada hung up.")
        assert "dance" not in bob.screen()


async def test_a_message_of_several_lines() -> None:
    async with talking() as (ada, bob):
        await ada.type("one\ntwo\n\nfour")
        await bob.sees("one", "two", "four")
        rows = [line.split()[-1] for line in bob.lines() if line.endswith(("one", "two", "four"))]
        assert rows == ["one", "two", "four"]


async def test_a_peer_that_vanishes() -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, bob):
        await bob.type("before")
        await ada.sees("before")
        link = exchange.all[1].link
        assert link is not None
        link.vanish()
        await ada.sees("The connection to the peer was lost.", "before", "the string is cut")
        await ada.press("x", "enter")  # nobody is there to take it
        await ada.press("escape")
        outcome = await ada.left()
        assert isinstance(outcome.error, NoPath)


async def test_messages_that_were_lost_are_told_at_the_end() -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, _):
        ours, theirs = (conversation.link for conversation in exchange.all)
        assert ours is not None
        assert theirs is not None
        ours.alter = lambda _, frame: None
        await ada.type("one")
        await ada.type("two")
        await ada.until(lambda: ada.screen().count(" ✓") == 2)
        theirs.vanish()
        await ada.sees("2 messages of yours")
        assert sum(line.endswith("?") for line in ada.lines()) == 2


async def test_the_route_changes_and_the_link_mends_itself() -> None:
    exchange = Exchange()
    exchange_make = exchange.make

    def mending(request: Request) -> MendingConversation:
        exchange_make(request)
        made = MendingConversation(exchange, request, exchange.all.pop().phrase)
        exchange.all.append(made)
        return made

    async with (
        seated(mending, Request(Side.ATTACH, PHRASE, name="Ada")) as ada,
        seated(exchange.make, Request(Side.TAP, PHRASE, name="Bob")) as bob,
    ):
        await bob.sees("Ada is here.")
        await bob.type("hello")
        await ada.sees("hello", "reconnecting ...")
        host = exchange.all[0]
        assert host.link is not None
        host.link.status = LinkStatus(Path.RELAYED, 0.2)
        host.asides.put_nowait(None)  # type: ignore[arg-type]
        await ada.sees("Connected again through a relay.", "200 ms")


async def test_interrupting_says_goodbye_and_ends_with_130() -> None:
    async with talking() as (ada, bob):
        await ada.press("ctrl+c")
        assert (await ada.left()).interrupted
        await bob.sees("Ada hung up.")
        await bob.press("ctrl+q")
        outcome = await bob.left()
        assert (outcome.interrupted, outcome.error, outcome.note) == (False, None, "Ada hung up.")


async def test_leaving_does_not_wait_for_a_peer_that_is_silent() -> None:
    exchange = Exchange()
    async with answered(exchange) as (ada, _):
        for conversation in exchange.all:
            assert conversation.link is not None
            conversation.link.alter = lambda _, frame: None
        await ada.type("into the void")
        await ada.press("ctrl+q")
        await ada.sees("saying goodbye ...")
        await ada.press("ctrl+c")  # a second time: at once
        assert (await ada.left()).interrupted
