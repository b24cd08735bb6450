"""Opens one screen after the other: start, form, waiting, conversation, doctor."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterable
from typing import Any, ClassVar

from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Input, TextArea

from tincan.meet.mailbox import Side
from tincan.tui.controller import Controller
from tincan.tui.messages import LeaveAsked, RequestMade
from tincan.tui.screens.doctor import DoctorScreen
from tincan.tui.screens.form import FormScreen
from tincan.tui.screens.keys import KeysScreen, keys_of
from tincan.tui.screens.messaging import MessagingScreen
from tincan.tui.screens.start import StartScreen
from tincan.tui.screens.waiting import WaitingScreen
from tincan.tui.seam import Opening, Outcome, Request, Services
from tincan.tui.slash import summary
from tincan.tui.talk import Phase
from tincan.tui.themes import DARK, LIGHT
from tincan.tui.words import not_arrived


class TinCanApp(App[Outcome]):
    """All screens. Its result is an `Outcome`; ``failure`` is what broke it, if anything did."""

    TITLE = "tin-can"
    CSS_PATH = "styles.tcss"
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f1", "keys", "Help", id="app.keys", tooltip="Show these keys", priority=True),
        Binding("ctrl+t", "toggle_theme", "Theme", show=False, id="app.theme", tooltip="Dark or light"),
        Binding("ctrl+q", "quit", "Quit", id="app.quit", tooltip="Say goodbye and leave tin-can", priority=True),
        Binding(
            "ctrl+c",
            "interrupt",
            "Interrupt",
            show=False,
            id="app.interrupt",
            tooltip="Copy what is selected; else leave tin-can",
            priority=True,
        ),
        Binding(
            "ctrl+z",
            "suspend_process",
            "Suspend",
            show=False,
            id="app.suspend",
            tooltip="Suspend tin-can; fg brings it back",
            priority=True,
        ),
    ]

    def __init__(self, services: Services, opening: Opening = None) -> None:
        # With NO_COLOR, Textual leaves out every colour only if it may use the terminal's own.
        super().__init__(ansi_color=True if os.environ.get("NO_COLOR") else None)
        self.failure: Exception | None = None
        self._services = services
        self._opening = opening
        self._user = services.name
        self.controller: Controller | None = None
        """What runs the latest conversation."""

        self._leaving = False
        for theme in (DARK, LIGHT):
            self.register_theme(theme)
        self.theme = DARK.name

    def on_mount(self) -> None:
        """Open the first screen."""
        loop = asyncio.get_running_loop()
        # Textual makes tasks start at once on Python 3.12; the rooms below were tested with ordinary ones.
        loop.set_task_factory(None)
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            with contextlib.suppress(NotImplementedError, AttributeError, RuntimeError):  # Windows
                loop.add_signal_handler(getattr(signal, name), self.action_interrupt)
        if isinstance(self._opening, Request):
            self._begin(self._opening)
        elif self._opening is not None:
            self._open_form(self._opening)
        else:
            self.push_screen(StartScreen())

    # -- one screen after the other ---------------------------------------------------

    def on_start_screen_chosen(self, event: StartScreen.Chosen) -> None:
        """Open what was chosen."""
        match event.choice:
            case "host":
                self._open_form(Side.ATTACH)
            case "join":
                self._open_form(Side.TAP)
            case "doctor":
                self.push_screen(DoctorScreen(self._services.examine))
            case _:
                self._leave()

    def on_request_made(self, message: RequestMade) -> None:
        """Begin the conversation that a form asks for."""
        self._begin(message.request)

    def on_leave_asked(self, message: LeaveAsked) -> None:
        """Leave the conversation."""
        self._hang_up()

    def _open_form(self, side: Side) -> None:
        self.push_screen(FormScreen(side, self._services.dialects, self._user), self._form_left)

    def _form_left(self, _: None) -> None:
        if self._opening is not None:  # there is nothing behind the form of `tin-can tap`
            ending = self.controller.talk.ending if self.controller is not None else None
            self.exit(Outcome(interrupted=True, error=ending.error if ending is not None else None))

    def _begin(self, request: Request) -> None:
        self.controller = Controller(self._services.make_conversation, request, self._services.now)
        self.run_worker(self.controller.run(), name="conversation")
        self.push_screen(WaitingScreen(self.controller), self._waited)

    def _waited(self, connected: bool | None) -> None:
        if self.controller is None:
            return
        ending = self.controller.talk.ending
        if connected:
            self.push_screen(MessagingScreen(self.controller))
        elif isinstance(self._opening, Request):
            self._leave(interrupted=ending is None or ending.error is None)
        elif isinstance(self.screen, FormScreen) and ending is not None and ending.error is not None:
            self.screen.complain(ending.error)

    def _hang_up(self) -> None:
        """Leave the conversation: back to the start, or out if that is what was opened for."""
        if self._opening is not None:
            self._leave()
        elif self.controller is not None:
            self.run_worker(self._back_to_start(self.controller), name="goodbye")

    async def _back_to_start(self, controller: Controller) -> None:
        over = controller.talk.phase is Phase.OVER
        await controller.leave(self._services.goodbye)
        self._user = controller.talk.own_name
        while not isinstance(self.screen, StartScreen):
            self.pop_screen()
        ending = controller.talk.ending
        if not over and ending is not None and ending.undelivered:
            self.notify(not_arrived(ending.undelivered), severity="warning", markup=False)
        if not over and controller.talk.broken_off:
            self.notify("\n".join(controller.talk.broken_off), severity="warning", markup=False)

    # -- leaving ----------------------------------------------------------------------

    async def action_quit(self) -> None:
        """Leave in good order; a second time: at once."""
        self._leave()

    def action_interrupt(self) -> None:
        """Copy what is selected, as Ctrl+C does elsewhere; with nothing selected, leave."""
        text = self._selected()
        if text:
            self.copy_to_clipboard(text)
            self.screen.clear_selection()
            self.notify("Copied.", timeout=2)
        else:
            self._leave(interrupted=True)

    def _selected(self) -> str | None:
        focused = self.focused
        if isinstance(focused, Input | TextArea) and focused.selected_text:
            return focused.selected_text
        return self.screen.get_selected_text()

    def _leave(self, *, interrupted: bool = False) -> None:
        if self._leaving:
            self.exit(Outcome(interrupted=True))
            return
        self._leaving = True
        self.run_worker(self._depart(interrupted), name="goodbye")

    async def _depart(self, interrupted: bool) -> None:
        controller = self.controller
        if controller is not None:
            over = controller.talk.phase is Phase.OVER
            await controller.leave(self._services.goodbye)
            if self._opening is not None:
                self.exit(_outcome(controller, over, interrupted))
                return
        self.exit(Outcome(interrupted=interrupted or self._opening is not None))

    # -- everywhere -------------------------------------------------------------------

    def action_keys(self) -> None:
        """Show the keys of this screen."""
        if isinstance(self.screen, KeysScreen):
            self.pop_screen()
            return
        sections = keys_of(self.screen, self)
        if isinstance(self.screen, MessagingScreen) and self.controller is not None:
            sections.append(("Commands", summary(self.controller.commands)))
        self.push_screen(KeysScreen(sections))

    def action_toggle_theme(self) -> None:
        """Dark or light."""
        self.theme = LIGHT.name if self.theme == DARK.name else DARK.name

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """See Textual: the palette offers what the keys of the screen do."""
        offered = set()
        for node, binding, enabled, tooltip in screen.active_bindings.values():
            moves = binding.action.startswith(("none", "scroll", "move", "app.focus"))
            if binding.id is not None and enabled and not moves and binding.id not in offered:
                offered.add(binding.id)
                yield SystemCommand(
                    f"{binding.description} ({self.get_key_display(binding)})",
                    tooltip or binding.description,
                    lambda action=binding.action, node=node: self.run_action(action, node),
                )

    def _handle_exception(self, error: Exception) -> None:
        self.failure = self.failure or error
        super()._handle_exception(error)

    def _print_error_renderables(self) -> None:
        # Textual's traceback shows local variables, and with them phrases; who opened the screens tells of `failure`.
        self._exit_renderables.clear()


def _outcome(controller: Controller, over: bool, interrupted: bool) -> Outcome:
    """Return how a command ends that was opened for one conversation. ``over``: it had ended before the user left."""
    ending = controller.talk.ending
    error = ending.error if ending is not None else None
    missed = not_arrived(ending.undelivered) if ending is not None else ""
    lost = " ".join(filter(None, [missed, *controller.talk.broken_off]))
    if over and error is not None:
        return Outcome(error=error, note=lost)
    if over and controller.talk.connected:
        return Outcome(note=f"{ending.sentence if ending is not None else ''} {lost}".strip())
    return Outcome(interrupted=interrupted or not controller.talk.connected, note=lost)
