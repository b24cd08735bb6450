"""``attach-string`` and ``tap``: text chat over a string."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Coroutine
from typing import Any

import click

from tincan.apps.call.events import CallEvent, CallOffered
from tincan.apps.chat import ChatEvent, Closed
from tincan.apps.conversation import Conversation, Reconnected, Reconnecting, StringConversation
from tincan.apps.desk_events import DeskEvent, FilesOffered
from tincan.cli.calls import CallLines, SoundKept, TalkOptions, talk_options
from tincan.cli.dialects import Mode, foreign_conversation
from tincan.cli.lines import Lines, Terminal, first_line, piped
from tincan.cli.logs import set_up_logging
from tincan.cli.main import at_a_screen
from tincan.cli.options import PHRASE_HELP, MeetingOptions, conversation_options, find_text
from tincan.cli.output import Hint, JsonOutput, Output, TerminalOutput, route, with_places
from tincan.cli.runner import run_async
from tincan.cli.strings import advise
from tincan.errors import UsageError
from tincan.link.dial import Connected
from tincan.link.interface import ChannelClosed
from tincan.meet.events import Waiting
from tincan.meet.mailbox import Side
from tincan.meet.phrase import Phrase, describe_strength, parse

GOODBYE = 30.0
"""Seconds to get what was typed delivered after the end of stdin."""

PATH_INTERVAL = 1.0
"""Seconds between looks at the route."""

_NOBODY_ASKED = "Nobody can be asked there; tin-can send and tin-can receive need nobody."


@click.command(epilog=PHRASE_HELP)
@click.argument("phrase", required=False)
@conversation_options
def attach_string(phrase: str | None, options: MeetingOptions) -> int:
    """Create a string and wait for the other can; then chat.

    Without PHRASE one is made up and shown: tell it to the other one.
    """
    return _chat("attach", phrase, options)


@click.command(epilog=PHRASE_HELP)
@click.argument("phrase", required=False)
@conversation_options
def tap(phrase: str | None, options: MeetingOptions) -> int:
    """Join the string that the other can has attached; then chat.

    Without PHRASE it is asked for.
    """
    return _chat("tap", phrase, options)


@click.command(epilog=PHRASE_HELP)
@click.argument("phrase", required=False)
@click.option("--test", is_flag=True, help="Try the sound of this machine, without a peer.")
@talk_options
@conversation_options
def talk(phrase: str | None, test: bool, options: MeetingOptions, wishes: TalkOptions) -> int:
    """Talk: voice and text.

    Whoever comes first creates the string, the other one joins; then the call
    begins. Without PHRASE one is made up and shown.
    """
    if test:
        from tincan.audio.devices import Choice
        from tincan.cli.soundcheck import sound_check

        return sound_check(choice=Choice(wishes.microphone, wishes.speaker), as_json=options.json)
    if options.foreign.pypeer:
        raise UsageError("pypeer knows no calls; use attach-string and tap.")
    return _chat("talk", phrase, options, wishes)


def _chat(mode: Mode, argument: str | None, options: MeetingOptions, wishes: TalkOptions | None = None) -> int:
    # The argument of a static link is an offer; a phrase for it is given in the quiet ways.
    text = argument if options.foreign.static_link else find_text(argument, options, first_line)
    if _screens(options) and not options.foreign.static_link:
        return _screen(mode, text, options, wishes)
    if text is None and mode == "tap" and not options.foreign.static_link:
        if not _prompts(options):
            raise UsageError(f"{mode} needs a phrase: give it as argument, by --phrase-file or in TIN_CAN_PHRASE.")
        text = input("Phrase: ")
    set_up_logging(options.verbose, options.log_file)
    if _prompts(options):
        terminal = Terminal("> ")
        output: Output = TerminalOutput(terminal.show, quiet=options.quiet)
        try:
            return _run(_talk(mode, text, options, output, Lines(terminal.lines), wishes), output)
        finally:
            terminal.restore()
    output = JsonOutput(quiet=options.quiet) if options.json else Output(quiet=options.quiet)
    return _run(_talk(mode, text, options, output, Lines(piped), wishes), output)


def _screen(mode: Mode, text: str | None, options: MeetingOptions, wishes: TalkOptions | None) -> int:
    from tincan.cli.screens import show_screens, wanted

    if text is None and mode == "tap":
        return show_screens(options, Side.TAP)  # the form asks for it
    return show_screens(options, wanted(mode, text, options), wishes)


def _prompts(options: MeetingOptions) -> bool:
    """Whether a person types and reads lines here."""
    return not options.json and sys.stdin.isatty() and sys.stdout.isatty()


def _screens(options: MeetingOptions) -> bool:
    """Whether a person sits at a terminal that can show screens, and has not asked for lines."""
    return options.terminal and at_a_screen()


def _run(talk: Coroutine[Any, Any, int], output: Output) -> int:
    with output.telling_errors():
        return run_async(talk)


async def _talk(
    mode: Mode,
    text: str | None,
    options: MeetingOptions,
    output: Output,
    lines: Lines,
    wishes: TalkOptions | None = None,
) -> int:
    early = not _prompts(options) or (options.foreign.static_link and options.foreign.file is None)
    if early:
        lines.start()  # a person is asked only once there is somebody to talk to, or an answer to paste
    conversation, hint = _conversation(mode, text, options, output, lines, wishes)
    tell = route(output, hint, counting_from_arrival=mode == "attach")
    commands = isinstance(output, TerminalOutput) or mode == "talk"
    sound = SoundKept()
    async with conversation:
        tasks = [asyncio.create_task(_watch_path(conversation, output))]
        try:
            async for event in conversation.events():
                if isinstance(event, Closed):
                    return _end(event, output) or (sound.exit_code(conversation) if mode == "talk" else 0)
                if isinstance(event, ChatEvent):
                    output.chat(event)
                elif isinstance(event, CallEvent):
                    sound.hear(event)
                    _show_call(event, conversation, output, asked=commands)
                elif isinstance(event, DeskEvent):
                    _show_files(event, conversation, output)
                elif not isinstance(event, Reconnecting | Reconnected):
                    tell(event)
                    if isinstance(event, Connected):
                        if _prompts(options):
                            output.note("Type a message and Enter. Ctrl-D or /quit leaves.")
                        if not early:
                            lines.start()
                        tasks.append(asyncio.create_task(_speak(conversation, output, lines, commands)))
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    return 0


def _conversation(
    mode: Mode,
    text: str | None,
    options: MeetingOptions,
    output: Output,
    lines: Lines,
    wishes: TalkOptions | None,
) -> tuple[Conversation, Hint]:
    calls = wishes.make_calls if wishes is not None else None
    if options.foreign:
        conversation = foreign_conversation(mode, text, options, output, lines, calls)
        return conversation, lambda event: "Waiting for the other side ..."
    phrase = parse(text) if text is not None else None
    if phrase is not None:
        advise(phrase, output)
    side = Side.TAP if mode == "tap" else Side.ATTACH if mode == "attach" or phrase is None else None
    ours = StringConversation(
        side,
        phrase,
        options.settings,
        name=options.name,
        calls=calls,
        talks=mode == "talk",
    )
    hint = with_places(lambda event: _hint(mode, side, event, phrase), side, options.settings.switchboards)
    return ours, hint


async def _speak(conversation: Conversation, output: Output, lines: Lines, commands: bool) -> None:
    person = isinstance(output, TerminalOutput)
    about_calls = CallLines(conversation, output)
    while (line := await lines.next()) is not None:
        if line.strip() == "/quit" and person:
            break
        if not line:
            continue
        try:
            if commands and await about_calls.take(line):
                continue
            if person and _about_files(line, conversation, output):
                continue
            if line.startswith("/me ") and person:
                await conversation.send(line[4:], action=True)
            else:
                await conversation.send(line[1:] if commands and line.startswith("//") else line)
        except UsageError as exc:
            output.note(f"Not sent: {exc}")
        except ChannelClosed:
            return
    await conversation.goodbye(asyncio.get_running_loop().time() + GOODBYE)


def _show_call(event: CallEvent, conversation: Conversation, output: Output, *, asked: bool) -> None:
    if isinstance(event, CallOffered) and not asked and conversation.calls is not None:
        with contextlib.suppress(UsageError):  # it has been taken back meanwhile
            conversation.calls.answer(False)
        output.note(f"{output.peer} called, which is declined: nobody can be asked here; tin-can talk takes calls.")
    else:
        output.call(event)


def _about_files(line: str, conversation: Conversation, output: Output) -> bool:
    """Do what a line asks for that is about files; say whether it is one."""
    command, _, rest = line.strip().partition(" ")
    if command not in ("/send", "/accept", "/decline"):
        return False
    try:
        if conversation.files is None:
            raise UsageError("This conversation carries no files.")
        if command != "/send":
            conversation.files.answer(None, command == "/accept")
        elif rest:
            output.note(f"Offering {conversation.files.send(rest.strip())} ...")
        else:
            raise UsageError("Say what to send: /send PATH, a file or a folder.")
    except UsageError as exc:
        output.note(str(exc))
    return True


def _show_files(event: DeskEvent, conversation: Conversation, output: Output) -> None:
    if isinstance(output, TerminalOutput):
        output.files(event)
    elif isinstance(event, FilesOffered) and conversation.files is not None:
        with contextlib.suppress(UsageError):  # it has been taken back meanwhile
            conversation.files.answer(event.id, False, _NOBODY_ASKED)
        output.note(f"{output.peer} offered files, which are declined: take them with screens, or tin-can receive.")


async def _watch_path(conversation: Conversation, output: Output) -> None:
    path = None
    while True:
        await asyncio.sleep(PATH_INTERVAL)
        status = conversation.status
        if status is not None:
            if path is not None and status.path is not path:
                output.path(status.path.value, status.rtt)
            path = status.path


def _end(event: Closed, output: Output) -> int:
    lost = ""
    if event.undelivered:
        lost = f" {event.undelivered} message{'s' if event.undelivered > 1 else ''} of yours did not arrive for sure."
    if event.error is not None:
        if lost:
            output.note(lost.strip())
        output.closed(event.reason.value, "The string is cut.")
        raise event.error
    who = "You hung up." if event.reason.value == "local" else "The other can hung up."
    output.closed(event.reason.value, who + lost)
    return 0


def _hint(mode: Mode, side: Side | None, event: Waiting, given: Phrase | None) -> str:
    if side is Side.TAP:
        return "Looking for the other can ..."
    command = "talk" if mode == "talk" else "tap"
    if given is not None:
        return f"Waiting for the other can, which types 'tin-can {command}' and the same phrase ..."
    text = event.phrase.text
    return (
        f"The phrase is  {text}\n"
        f"({describe_strength(event.phrase)}). The other one types:\n\n"
        f"    tin-can {command} {text}\n\n"
        "Waiting ..."
    )
