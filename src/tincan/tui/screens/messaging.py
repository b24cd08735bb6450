"""The conversation itself."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Footer, TextArea

from tincan.tui.controller import Controller
from tincan.tui.messages import TalkChanged
from tincan.tui.screens.offer import OfferScreen, Question
from tincan.tui.talk import Phase, Talk
from tincan.tui.widgets.callbar import CallBar
from tincan.tui.widgets.chat import Composer, Hint, TopLine
from tincan.tui.widgets.history import History

A_CALL: Final = -1
"""Stands for the number of an offer where the peer calls."""

FIRST_REPEAT: Final = 0.8
"""Seconds until a terminal repeats a key that is held (0.66 at the most in what is common)."""

NEXT_REPEAT: Final = 0.25
"""Seconds between two repetitions, at the most: after that the key was let go."""

QUIET: Final = 0.5
"""Seconds without a key, and with nothing written, before a question comes up."""


class MessagingScreen(Screen[None]):
    """History above, composer below. After the end the history stays until the user leaves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("pageup", "scroll('page_up')", "Scroll up", show=False, priority=True, id="chat.page-up"),
        Binding("pagedown", "scroll('page_down')", "Scroll down", show=False, priority=True, id="chat.page-down"),
        Binding("ctrl+home", "scroll('home')", "To the beginning", show=False, priority=True, id="chat.beginning"),
        Binding("ctrl+end", "scroll('end')", "To the end", show=False, priority=True, id="chat.end"),
        Binding(
            "tab", "other", "History", show=False, id="chat.other", tooltip="Between the message and the history"
        ),
        Binding("ctrl+d", "leave", "Hang up", id="chat.leave", tooltip="Say goodbye and leave"),
        Binding("f2", "call", "Call", id="chat.call", tooltip="Call; take the call that rings; end the call"),
        Binding("f3", "push", "Talk", id="chat.push", tooltip="Push to talk: hold it, after /ptt"),
        Binding("f4", "mute", "Mute", id="chat.mute", tooltip="Close the microphone, or open it again"),
        Binding("escape", "back", "Leave", id="chat.back", tooltip="Back to the message; after the end: leave"),
    ]
    AUTO_FOCUS = "#composer"

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        self._controller = controller
        self._asked: int | None = None
        self._asking: Timer | None = None
        self._rang = False
        self._call_state = (False, False)
        self._held: Timer | None = None  # runs while the key of push to talk is held
        self._answering = False  # the question before this one has just been answered

    def compose(self) -> ComposeResult:
        """See Textual."""
        yield TopLine(id="top")
        yield CallBar(id="call")
        yield History(id="history")
        yield Hint(id="hint")
        yield Composer(id="composer")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show what is known, and hear of what comes."""
        self._controller.attach(self)
        self._show()
        self.watch(self.query_one(History), "scroll_y", self._show_hint, init=False)

    def on_unmount(self) -> None:
        """Hear no more."""
        self._controller.detach(self)

    def on_talk_changed(self, message: TalkChanged) -> None:
        """Show the talk."""
        message.stop()
        self._controller.seen()
        self._show()

    def on_screen_resume(self) -> None:
        """What lay above this screen is gone: the next question may come."""
        self._show_offer()

    def on_composer_sent(self, event: Composer.Sent) -> None:
        """Forward what the user wrote."""
        event.stop()
        self.query_one(History).scroll_end(animate=False, immediate=True, x_axis=False)
        self._controller.submit(event.text)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """Forward that something is being written."""
        event.stop()
        self._controller.typed(event.text_area.text)
        self._ask_later()

    def on_history_copied(self, event: History.Copied) -> None:
        """Forward to the clipboard."""
        event.stop()
        self.app.copy_to_clipboard(event.text)
        self.notify("The message is copied.", timeout=3)

    def on_key(self, event: Key) -> None:
        """A letter typed while the history has the focus belongs into the message."""
        composer = self.query_one(Composer)
        if self.focused is not composer and event.is_printable and event.character and not composer.disabled:
            event.stop()
            composer.focus()
            composer.insert(event.character)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """See Textual: Ctrl+D hangs up, and Esc leaves after the end."""
        over = self._controller.talk.phase is Phase.OVER
        match action:
            case "leave":
                return not over
            case "back":
                return over or self.focused is not self.query_one(Composer)
            case "call":
                return self._controller.carries_voice and not over
            case "mute" | "push":
                return self._controller.talk.call is not None
            case _:
                return True

    # -- calls ------------------------------------------------------------------------

    def action_call(self) -> None:
        """Forward: call, take the call, or end it."""
        self._controller.call_or_hang_up()

    def action_mute(self) -> None:
        """Forward."""
        self._controller.about_call("mute", "")

    def action_push(self) -> None:
        """Open the microphone until the key comes no more: terminals tell no more of a key that is held."""
        if self._held is None:
            self._controller.push(True)
            self._held = self.set_timer(FIRST_REPEAT, self._release)
        else:
            self._held.stop()
            self._held = self.set_timer(NEXT_REPEAT, self._release)

    def _release(self) -> None:
        self._held = None
        self._controller.push(False)

    def action_scroll(self, where: str) -> None:
        """Scroll the history, wherever the focus is."""
        history = self.query_one(History)
        match where:
            case "page_up":
                history.scroll_page_up(animate=False)
            case "page_down":
                history.scroll_page_down(animate=False)
            case "home":
                history.scroll_home(animate=False, immediate=True)
            case _:
                history.scroll_end(animate=False, immediate=True)

    def action_other(self) -> None:
        """Between composer and history."""
        composer, history = self.query_one(Composer), self.query_one(History)
        (history if self.focused is composer or composer.disabled else composer).focus()

    def action_leave(self) -> None:
        """Forward the wish to leave."""
        self._controller.ask_to_leave()

    def action_back(self) -> None:
        """Back to the message, or out when it is over."""
        self.clear_selection()
        if self._controller.talk.phase is Phase.OVER:
            self._controller.ask_to_leave()
        else:
            self.query_one(Composer).focus()

    def _show(self) -> None:
        talk = self._controller.talk
        self.query_one(TopLine).show(talk)
        self.query_one(CallBar).show(talk)
        self._show_call(talk)
        self.query_one(History).show(talk)
        self._show_hint()
        self._show_offer()
        composer = self.query_one(Composer)
        if talk.phase in (Phase.LEAVING, Phase.OVER) and not composer.disabled:
            composer.disabled = True
            composer.display = talk.phase is not Phase.OVER
            self.query_one(History).focus()
            self.refresh_bindings()
        elif talk.phase is Phase.OVER:
            composer.display = False

    def _show_call(self, talk: Talk) -> None:
        """Ring where a call came, and offer the keys that go with calls."""
        if talk.ringing and not self._rang:
            self.app.bell()
        self._rang = talk.ringing
        state = (self._controller.carries_voice, talk.call is not None)
        if state != self._call_state:
            self._call_state = state
            self.refresh_bindings()

    def _show_hint(self) -> None:
        self.query_one(Hint).show(self._controller.talk, self.query_one(History).unread)

    # -- questions: a call, files -----------------------------------------------------

    def _questions(self) -> dict[int, Question]:
        """What is to be asked, by the offer's number; a call comes before all files."""
        talk = self._controller.talk
        found = {}
        if talk.ringing:
            below = "Your microphone stays closed until you accept."
            found[A_CALL] = Question("Call", f"{talk.peer or 'The other can'} calls you.", below)
        below = f"They would be put into {self._controller.folder}"
        return found | {number: Question("Files", text, below) for number, text in talk.offers.items()}

    def _show_offer(self) -> None:
        """Ask about the oldest offer; one that was withdrawn is not asked about any more."""
        offers = self._controller.talk.ringing or self._controller.talk.offers
        shown = self.app.screen
        if isinstance(shown, OfferScreen):
            shown.check()
        elif offers and shown is self and self._asked is None:
            if self._answering:
                self._ask()
            elif self._asking is None:
                self._asking = self.set_timer(QUIET, self._ask)
        elif not offers:
            self._answering = False

    def _ask_later(self) -> None:
        """Somebody writes: no question in the middle of it."""
        self._answering = False
        if self._asking is not None:
            self._asking.stop()
            self._asking = None
        self._show_offer()

    def _ask(self) -> None:
        self._asking = None
        talk = self._controller.talk
        talking = talk.phase in (Phase.TALKING, Phase.RECONNECTING)
        questions = self._questions()
        if questions and talking and self.app.screen is self and not self.query_one(Composer).text:
            self._asked, question = next(iter(questions.items()))
            asking = OfferScreen(
                self._asked,
                question,
                still_open=lambda number: number in self._questions(),
                typed=None if self._answering else self._typed,
                done=self._answered,
            )
            self.app.push_screen(asking)

    def _typed(self, event: Key) -> None:
        """A key that was meant for the message when the question came up."""
        composer = self.query_one(Composer)
        if event.key == "enter":
            composer.action_send()
        elif event.is_printable and event.character:
            composer.insert(event.character)

    def _answered(self, number: int, accepted: bool | None) -> None:
        self._asked = None
        self._answering = accepted is not None
        if accepted is not None:
            if number == A_CALL and self._controller.talk.ringing:
                self._controller.answer_call(accepted)
            elif number in self._controller.talk.offers:
                self._controller.answer_files(number, accepted)
            self._ask()
