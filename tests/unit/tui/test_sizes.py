"""Small windows, and every action has a key: nothing is cut so that it cannot be used."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from textual.dom import DOMNode

from tincan import tui
from tincan.tui.seam import Dialect
from unit.tui.memory import PHRASE, Exchange
from unit.tui.seats import answered, seated

SMALL = (60, 20)
"""The pictures of test_snapshots.py are those of 80x24."""


async def test_every_screen_fits() -> None:
    exchange = Exchange()
    async with seated(exchange.make, size=SMALL, dialects=(Dialect.NATIVE, Dialect.PYPEER)) as ada:
        await ada.sees("Two cans, one string.", "h  Host", "j  Join", "d  Doctor", "q  Quit")
        await ada.press("j")
        await ada.sees("Speaks", "Phrase", "f1 Help")
        await ada.press("enter")
        await ada.sees("Type what the other one tells you.", "Join")
        await ada.press("escape")
        await ada.sees("Two cans")
        await ada.press("d")
        await ada.sees("Doctor", "192.0.2.7", "esc Back")
        await ada.press(*["down"] * 12)
        await ada.sees("Two cans can meet and be connected here.")
        await ada.press("escape")
        await ada.sees("h  Host")
        await ada.press("h")
        await ada.sees("Make the string")
        await ada.press("enter")
        await ada.sees(
            PHRASE, f"tin-can tap {PHRASE}", "Waiting for the other can ...", "c Copy", "esc Cancel", "f1 Help"
        )


async def test_the_conversation_fits() -> None:
    async with answered(size=SMALL) as (ada, bob):
        await bob.type("word " * 40 + "end")
        await ada.sees("end", "Bob", "12:01", "23 ms", "Write a message", "⏎ Send", "f1 Help")
        assert all(len(line) <= SMALL[0] for line in ada.lines())
        await ada.press("f1")
        await ada.sees("On this screen", "Esc closes")
        await ada.press(*["pagedown"] * 4)
        await ada.sees("/quit")
        await ada.press("escape")
        await ada.sees_no("Esc closes")


async def test_the_window_may_change_its_size() -> None:
    async with answered() as (ada, bob):
        for number in range(30):
            await bob.type(f"this is number {number}, and it has some words to be wrapped in a narrow window")
        await ada.sees("number 29")
        await ada.pilot.resize_terminal(50, 15)
        await ada.sees("number 29")
        await ada.pilot.resize_terminal(100, 40)
        await ada.sees("number 29", "number 20")


def test_every_binding_has_an_id_and_a_description() -> None:
    for module in pkgutil.walk_packages(tui.__path__, "tincan.tui."):
        importlib.import_module(module.name)
    bindings = [
        binding
        for kind in _below(DOMNode)
        if kind.__module__.startswith("tincan")
        for binding in vars(kind).get("BINDINGS", ())
    ]
    assert len(bindings) > 20
    for binding in bindings:
        assert binding.id, binding
        assert binding.description, binding
    ids = [binding.id for binding in bindings]
    assert len(ids) == len(set(ids))


def _below(kind: type) -> Iterator[type]:
    for child in kind.__subclasses__():
        yield child
        yield from _below(child)


async def test_the_theme_is_switched_and_the_palette_runs_actions() -> None:
    async with seated(Exchange().make) as ada:
        await ada.sees("Two cans")
        assert ada.app.theme == "tin-can-dark"
        await ada.press("ctrl+t")
        await ada.until(lambda: ada.app.theme == "tin-can-light")
        await ada.press("ctrl+p")
        await ada.sees("Search for commands")
        await ada.press(*"theme")
        await ada.sees("Theme (^t)")
        await ada.press("down", "enter")
        await ada.until(lambda: ada.app.theme == "tin-can-dark")
