"""What this machine and network can do, one line each as it is found out."""

from __future__ import annotations

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Footer

from tincan.apps.doctor import Finding
from tincan.apps.text import visible
from tincan.tui.messages import Examined, FindingCame
from tincan.tui.seam import Examine
from tincan.tui.widgets.plain import Plain
from tincan.tui.words import VERDICTS

_SIGNS: Final = {True: ("\u2713", "-good"), False: ("\u2717", "-bad"), None: ("\u2013", "-neither")}


class DoctorScreen(Screen[None]):
    """Runs the examination in a worker and lists its findings."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "again", "Again", id="doctor.again", tooltip="Examine once more"),
        Binding("escape,q", "back", "Back", key_display="esc", id="doctor.back", tooltip="Leave this screen"),
    ]

    def __init__(self, examine: Examine) -> None:
        super().__init__()
        self._examine = examine

    def compose(self) -> ComposeResult:
        """See Textual."""
        with VerticalScroll(id="doctor"):
            yield Plain("Doctor", classes="-title")
            yield Plain("What this machine and network can do.", classes="-intro")
            yield Vertical(id="findings")
            yield Plain(id="verdict")
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Begin."""
        self.action_again()

    def action_again(self) -> None:
        """Begin anew."""
        self.query_one("#findings").remove_children()
        self.query_one("#verdict", Plain).put("Examining ...")
        self.run_worker(self._run(), name="doctor", exclusive=True)

    async def _run(self) -> None:
        self.post_message(Examined(await self._examine(self._found)))

    def _found(self, finding: Finding) -> None:
        self.post_message(FindingCame(finding))

    def on_finding_came(self, message: FindingCame) -> None:
        """Add a line."""
        message.stop()
        self.query_one("#findings").mount(_FindingLine(message.finding))

    def on_examined(self, message: Examined) -> None:
        """Say what it comes to."""
        message.stop()
        self.query_one("#verdict", Plain).put(VERDICTS[message.verdict])

    def action_back(self) -> None:
        """Leave."""
        self.dismiss()


class _FindingLine(Horizontal):
    """One finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__()
        self._finding = finding

    def compose(self) -> ComposeResult:
        """See Textual."""
        sign, look = _SIGNS[self._finding.good]
        yield Plain(sign, classes=f"-sign {look}")
        yield Plain(visible(self._finding.about), classes="-about")
        yield Plain(visible(self._finding.text), classes="-text")
