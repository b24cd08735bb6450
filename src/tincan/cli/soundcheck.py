"""``tin-can talk --test``: whether sound is ready for a call, before there is one."""

from __future__ import annotations

import json
import sys

from tincan.apps.soundcheck import CheckEvent, Level, Report, Stage, StageBegan, Trouble, check
from tincan.audio import echo
from tincan.audio.devices import Choice, Playing, Sound, describe
from tincan.audio.levels import SILENT
from tincan.audio.system import SystemSound
from tincan.cli.runner import run_async
from tincan.errors import TinCanError

QUIET = -45.0
"""dBov; a voice at a well set microphone is louder."""

BAR = 30
"""Letters of the level meter: two decibels each."""

_SAYING = {
    Stage.RECORDING: "Say something: three seconds are recorded ...",
    Stage.PLAYING: "This is how the other one would hear you ...",
    Stage.MEASURING: "Three chirps, to hear how long the devices take ...",
}


def sound_check(sound: Sound | None = None, *, choice: Choice | None = None, as_json: bool = False) -> int:
    """Check the sound of this machine and print what comes out; raises `DeviceMissing` where there is none."""
    printer = _Json() if as_json else _People()

    async def run() -> Report:
        checked = sound or SystemSound()
        checked.choose(choice or Choice())
        return await check(checked, printer.tell)

    try:
        printer.report(run_async(run()))
    except TinCanError as exc:
        printer.error(exc)
        raise
    return 0


class _People:
    """Lines, and on a terminal a meter that moves."""

    def __init__(self) -> None:
        self._moving = sys.stdout.isatty()

    def tell(self, event: CheckEvent) -> None:
        if isinstance(event, Level):
            if self._moving:
                print(f"\r  {bar(event.level)}", end="", flush=True)
            return
        if isinstance(event, Trouble):
            self._say(event.text)
        elif event.stage is Stage.SETTLING:
            self._say(describe(Playing(event.setup)))
        elif event.stage in _SAYING and (event.setup.microphone or event.stage is Stage.MEASURING):
            self._say(_SAYING[event.stage])

    def report(self, report: Report) -> None:
        self._say("")
        for line in words(report):
            self._say(line)

    def error(self, exc: TinCanError) -> None:
        """The sentence is said on stderr, as of any command."""

    def _say(self, text: str) -> None:
        print(f"\r{' ' * (BAR + 12)}\r{text}" if self._moving else text, flush=True)


class _Json:
    """One object a line; the names are those of docs/cli.md."""

    def tell(self, event: CheckEvent) -> None:
        if isinstance(event, Level):
            self._print("level", level=round(event.level, 1))
        elif isinstance(event, StageBegan):
            self._print("sound-check", stage=event.stage.value)
        else:
            self._print("sound-trouble", text=event.text)

    def report(self, report: Report) -> None:
        setup = report.setup
        self._print(
            "sound-tested",
            microphone=setup.microphone.name if setup.microphone else None,
            speaker=setup.speaker.name if setup.speaker else None,
            loudest=round(report.loudest, 1),
            quietest=round(report.quietest, 1),
            spoken=report.spoken,
            cut_off=report.cut_off,
            latency_ms=None if report.latency is None else round(report.latency, 1),
            period_ms=round(report.period, 2),
            longest_gap_ms=round(report.longest_gap, 1),
            echo=report.canceller.value if report.canceller else None,
        )

    def error(self, exc: TinCanError) -> None:
        self._print("error", code=exc.exit_code, text=str(exc))

    def _print(self, event: str, **fields: object) -> None:
        print(json.dumps({"event": event, **fields}), flush=True)


def bar(level: float) -> str:
    """Show a level as a bar from -60 to 0 dB, and as a number."""
    filled = max(0, min(BAR, round((level + 60) / 60 * BAR)))
    return f"[{'#' * filled}{'.' * (BAR - filled)}] {max(level, -99):4.0f} dB"


def words(report: Report) -> list[str]:
    """Say in sentences what came out."""
    found = []
    if report.setup.microphone is not None:
        found.append(_levels(report))
    if report.setup.speaker is None:
        found.append("Without a speaker you can talk, and not listen.")
    elif report.setup.microphone is not None:
        found.append(_latency(report))
        found.append(_echo(report))
    else:
        found.append("Without a microphone you can listen, and not talk.")
    worst = f"asked for sound every {report.period:.1f} ms, at the longest after {report.longest_gap:.0f} ms"
    found.append(
        f"The device {worst}{'.' if report.longest_gap < 100 else ': this machine is busy, sound may stutter.'}"
    )
    return found


def _levels(report: Report) -> str:
    room = "silent" if report.quietest <= SILENT else f"{report.quietest:.0f} dB"
    measured = f"loudest {report.loudest:.0f} dB, the room {room}"
    if report.loudest <= SILENT:
        return "Level: the microphone gives nothing at all; is it muted, or switched off?"
    if report.cut_off:
        return f"Level: {measured}. This is too loud and gets cut off; turn the microphone down."
    if report.loudest < QUIET or not report.spoken:
        return f"Level: {measured}. No voice was heard; speak louder, or turn the microphone up."
    return f"Level: {measured}. Good."


def _latency(report: Report) -> str:
    if report.latency is None:
        return "Devices: the microphone does not hear the speaker, so how long they take cannot be measured."
    return f"Devices: {report.latency:.0f} ms from the speaker to the microphone."


def _echo(report: Report) -> str:
    if report.latency is None:
        return "Echo: none; there is nothing to be cancelled."
    if report.canceller is None:
        return "Echo: the other one will hear himself; use a headset, or: pip install 'tin-can[echo]'"
    if report.canceller is echo.Method.SPEEX:
        return "Echo: cancelled by speexdsp; more goes away with: pip install 'tin-can[echo]'"
    return "Echo: the microphone hears the speaker; echo cancelling is there and takes it out."
