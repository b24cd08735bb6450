"""Until the string is tied: what the other one needs, and what is going on."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer

from tincan.meet.mailbox import Side
from tincan.tui.controller import Controller
from tincan.tui.messages import TalkChanged
from tincan.tui.screens.code import CodeScreen
from tincan.tui.talk import Phase
from tincan.tui.widgets.plain import Plain
from tincan.tui.widgets.qr import QrCode, qr_lines
from tincan.tui.widgets.waiting import Invitation, Now, Places
from tincan.tui.words import join_command, side_words


class WaitingScreen(Screen[bool]):
    """Shows the meeting; its result is whether there is a string now. Cancelling gives None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy_phrase", "Copy", id="waiting.copy-phrase", tooltip="Copy the phrase"),
        Binding("j", "copy_command", "Copy command", id="waiting.copy-command", tooltip="Copy what the other types"),
        Binding("r", "code", "QR", id="waiting.code", tooltip="Show the QR code of that command, large"),
        Binding("escape", "cancel", "Cancel", id="waiting.cancel", tooltip="Stop waiting"),
    ]

    def __init__(self, controller: Controller) -> None:
        super().__init__()
        # The code stands beside the phrase where there is room for both.
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (76, "-wide")]
        self.VERTICAL_BREAKPOINTS = [(0, "-low"), (22, "-high")]
        self._controller = controller
        self._request = controller.request
        self._offered = False
        self._finished = False

    def compose(self) -> ComposeResult:
        """See Textual."""
        with VerticalScroll(id="waiting"):
            yield Plain(side_words(self._request.side), classes="-title")
            if self._request.side is Side.ATTACH:
                with Horizontal(id="invite"), Vertical(id="left"):
                    yield Invitation(self._request, id="invitation")
                    yield Now(self._request.side, id="now")
            else:
                yield Now(self._request.side, id="now")
            yield Places(id="places")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Show what is known, and hear of what comes."""
        self._controller.attach(self)
        self._show()

    def on_unmount(self) -> None:
        """Hear no more."""
        self._controller.detach(self)

    def on_talk_changed(self, message: TalkChanged) -> None:
        """Show the talk; go on when there is a string, or never will be."""
        message.stop()
        self._controller.seen()
        self._show()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """See Textual: what needs a phrase to be shown is offered when there is one."""
        if action in ("copy_phrase", "copy_command", "code"):
            return self._request.side is Side.ATTACH and self._controller.talk.phrase is not None
        return True

    def action_copy_phrase(self) -> None:
        """Copy the phrase."""
        self.app.copy_to_clipboard(self._phrase())
        self.notify("The phrase is copied.", timeout=3)

    def action_copy_command(self) -> None:
        """Copy what the other one types."""
        self.app.copy_to_clipboard(join_command(self._request, self._phrase()))
        self.notify("The command is copied.", timeout=3)

    def action_code(self) -> None:
        """Show the code alone."""
        self.app.push_screen(CodeScreen(join_command(self._request, self._phrase())))

    async def action_cancel(self) -> None:
        """Give it up."""
        self._controller.detach(self)
        await self._controller.stop()
        self._finish(None)

    def _phrase(self) -> str:
        phrase = self._controller.talk.phrase
        return phrase.text if phrase is not None else ""

    def _show(self) -> None:
        talk = self._controller.talk
        self.query_one(Now).show(talk)
        self.query_one(Places).show(talk)
        for invitation in self.query(Invitation):
            invitation.show(talk)
            if talk.phrase is not None and not self.query(QrCode):
                command = join_command(self._request, self._phrase())
                if qr_lines(command) is not None:
                    self.query_one("#invite").mount(QrCode(command, id="qr"))
        if talk.phrase is not None and not self._offered:
            self._offered = True
            self.refresh_bindings()
        if talk.connected or talk.phase is Phase.OVER:
            self._finish(talk.connected)

    def _finish(self, result: bool | None) -> None:
        if not self._finished:
            self._finished = True
            while self.app.screen is not self:
                self.app.pop_screen()  # the code or the help, in front of this screen
            self.dismiss(result)
