"""Runs one conversation for the screens: events become the `Talk`, wishes become calls.

`Controller.run` is a worker's job. Whatever shows the talk attaches itself as
the listener and gets one `TalkChanged` at a time, however much happens, until
it calls `seen`. The next event of a message is asked for only then, which is
what acknowledges the message: it has been shown. So a peer that floods us is
slowed down by the drawing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from textual.message_pump import MessagePump

from tincan.apps.call.commands import CallCommands, at_once
from tincan.apps.call.interface import Switch
from tincan.apps.chat.events import MessageReceived
from tincan.apps.conversation import Conversation
from tincan.apps.desk_events import FilesEnded, FilesOffered
from tincan.apps.text import visible
from tincan.errors import TinCanError, UsageError
from tincan.link.interface import ChannelClosed
from tincan.tasks import plain_errors
from tincan.tui.messages import LeaveAsked, TalkChanged
from tincan.tui.seam import MakeConversation, Request
from tincan.tui.slash import COMMANDS, SlashCommand, message_text, run_slash
from tincan.tui.talk import Phase, Talk

if TYPE_CHECKING:
    from tincan.apps.call.events import CallStatus
    from tincan.apps.call.interface import Calls
    from tincan.apps.desk import FileDesk

PATH_INTERVAL: Final = 1.0
"""Seconds between looks at the route."""

CALL_INTERVAL: Final = 0.2
"""Seconds between looks at how loud both are."""

TYPING_IDLE: Final = 5.0
"""Seconds without a key after which the user is not typing any more."""

ERRANDS: Final = 16
"""Questions for devices that wait for the sound server."""

MARGIN: Final = 1.5
"""Seconds beyond a goodbye's deadline that closing the link may take."""


class Controller:
    """One conversation and its `Talk`; the `Scene` of the slash commands."""

    def __init__(
        self,
        make: MakeConversation,
        request: Request,
        now: Callable[[], datetime],
        commands: Sequence[SlashCommand] = COMMANDS,
    ) -> None:
        self.request = request
        self.talk = Talk(own_name=request.name)
        self.commands = commands
        self._make = make
        self.now = now
        self._conversation: Conversation | None = None
        self._listener: MessagePump | None = None
        self._seen = asyncio.Event()
        self._seen.set()
        self._outbox: asyncio.Queue[tuple[int, str, bool]] = asyncio.Queue()
        self._errands: asyncio.Queue[str] = asyncio.Queue(ERRANDS)
        self._call_commands = CallCommands()
        self._typing = False
        self._typing_changed = asyncio.Event()
        self._idle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._ended = asyncio.Event()

    @property
    def folder(self) -> str:
        """Where files go that the user accepts."""
        try:
            return visible(str(Path.cwd()))
        except OSError:
            return "this folder"

    # -- the listener -----------------------------------------------------------------

    def attach(self, listener: MessagePump) -> None:
        """Tell this screen of changes from now on; it has just shown everything."""
        self._listener = listener
        self._seen.set()

    def detach(self, listener: MessagePump) -> None:
        """This screen is gone."""
        if self._listener is listener:
            self._listener = None
            self._seen.set()

    def seen(self) -> None:
        """The listener is about to show everything."""
        self._seen.set()

    def _changed(self) -> None:
        if self._listener is not None and self._seen.is_set():
            self._seen.clear()
            self._listener.post_message(TalkChanged())

    # -- the worker -------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the conversation until it is over; how it ended is in `Talk.ending`."""
        self._task = asyncio.current_task()
        try:
            with plain_errors():
                async with self._make(self.request) as conversation:
                    self._conversation = conversation
                    await self._hold(conversation)
        except TinCanError as exc:
            self.talk.fail(exc, self.now())
        finally:
            self.talk.stop(self.now())  # unless the end is told already
            self._ended.set()
            self._changed()

    async def _hold(self, conversation: Conversation) -> None:
        async with asyncio.TaskGroup() as group:
            helpers = [
                group.create_task(self._speak(conversation)),
                group.create_task(self._tell_typing(conversation)),
                group.create_task(self._run_errands(conversation)),
                group.create_task(self._watch_path(conversation)),
                group.create_task(self._watch_call(conversation)),
            ]
            try:
                async for event in conversation.events():
                    self.talk.take(event, self.now())
                    self.talk.call = self._call_status(conversation)
                    self._look(conversation)
                    self._changed()
                    if isinstance(event, MessageReceived | FilesOffered | FilesEnded):
                        await self._seen.wait()
            finally:
                self._not_typing()
                for helper in helpers:
                    helper.cancel()

    async def _speak(self, conversation: Conversation) -> None:
        while True:
            key, text, action = await self._outbox.get()
            try:
                self.talk.sent(key, await conversation.send(text, action))
            except UsageError as exc:
                self.talk.not_sent(key, str(exc), self.now())
            except ChannelClosed:
                self.talk.not_sent(key, "", self.now())
            finally:
                self._outbox.task_done()
            self._changed()

    async def _run_errands(self, conversation: Conversation) -> None:
        while True:
            rest = await self._errands.get()
            try:
                said = await self._call_commands.run(conversation.calls, "device", rest)
            except TinCanError as exc:
                said = str(exc)
            self._say(said)

    def _say(self, said: str) -> None:
        if said:
            self.note(said)

    async def _tell_typing(self, conversation: Conversation) -> None:
        while True:
            await self._typing_changed.wait()
            self._typing_changed.clear()
            with contextlib.suppress(ChannelClosed):
                await conversation.typing(self._typing)

    async def _watch_path(self, conversation: Conversation) -> None:
        while True:
            await asyncio.sleep(PATH_INTERVAL)
            if self._look(conversation):
                self._changed()

    async def _watch_call(self, conversation: Conversation) -> None:
        """Keep the needles moving: a status is told once a second only."""
        while True:
            await asyncio.sleep(CALL_INTERVAL)
            if self.talk.call is not None and self.talk.call != self._call_status(conversation):
                self.talk.call = self._call_status(conversation)
                self._changed()

    def _call_status(self, conversation: Conversation) -> CallStatus | None:
        if conversation.calls is None or self.talk.phase is Phase.OVER:
            return None
        return conversation.calls.status

    def _look(self, conversation: Conversation) -> bool:
        status = conversation.status
        return status is not None and self.talk.connected and self.talk.route(status, self.now())

    # -- what the user wants ----------------------------------------------------------

    def submit(self, line: str) -> None:
        """Take what the user typed: a command or a message."""
        self.typed("")
        if not run_slash(line, self):
            self.say(message_text(line))

    def say(self, text: str, action: bool = False) -> None:
        """See `Scene.say`."""
        if self.talk.phase in (Phase.TALKING, Phase.RECONNECTING):
            self._outbox.put_nowait((self.talk.say(text, action, self.now()), text, action))
        else:
            self.talk.note("Not sent: there is no string.", self.now())
        self._changed()

    def note(self, text: str) -> None:
        """See `Scene.note`."""
        self.talk.note(text, self.now())
        self._changed()

    def send_file(self, path: str) -> None:
        """See `Scene.send_file`."""
        self._with_files(lambda files: self.note(f"Offering {visible(files.send(path))} ..."))

    def answer(self, accepted: bool) -> None:
        """See `Scene.answer`."""
        if self.talk.ringing:
            self.answer_call(accepted)
        else:
            self.answer_files(None, accepted)

    def answer_files(self, number: int | None, accepted: bool) -> None:
        """Answer an offer of the peer, the oldest one if no number is given."""
        number = next(iter(self.talk.offers), None) if number is None else number
        if number is not None:
            self.talk.answered(number)
        self._with_files(lambda files: files.answer(number, accepted))
        self._changed()

    def answer_call(self, accepted: bool) -> None:
        """Accept or decline the peer's call."""
        self._with_calls(lambda calls: calls.answer(accepted))

    def call_or_hang_up(self) -> None:
        """Do what the key for calls does: call, take the call that rings, or end the one there is."""
        if self.talk.ringing:
            self.answer_call(True)
        else:
            self.about_call("hangup" if self.talk.calling or self.talk.call is not None else "call", "")

    @property
    def carries_voice(self) -> bool:
        """Whether there could be a call."""
        return self._conversation is not None and self._conversation.calls is not None

    def about_call(self, name: str, rest: str) -> None:
        """See `Scene.about_call`. Only what the sound server has to answer waits: a microphone is closed at once."""
        if name == "device":
            with contextlib.suppress(asyncio.QueueFull):  # nobody can mean so many at once
                self._errands.put_nowait(rest)
        else:
            self._with_calls(lambda calls: self._say(at_once(calls, name, rest)))

    def push(self, pressed: bool) -> None:
        """Open the microphone while the key is held."""
        self.talk.pressed = pressed
        self._with_calls(lambda calls: calls.switch(Switch.PRESSED, pressed))
        self._changed()

    def _with_calls(self, wish: Callable[[Calls], None]) -> None:
        calls = self._conversation.calls if self._conversation is not None else None
        try:
            if calls is None:
                raise UsageError("This conversation carries no voice.")
            wish(calls)
        except TinCanError as exc:
            self.note(str(exc))

    def _with_files(self, wish: Callable[[FileDesk], None]) -> None:
        files = self._conversation.files if self._conversation is not None else None
        try:
            if self.talk.phase not in (Phase.TALKING, Phase.RECONNECTING):
                raise UsageError("There is no string.")
            if files is None:
                raise UsageError("This conversation carries no files.")
            wish(files)
        except UsageError as exc:
            self.note(str(exc))

    def rename(self, name: str) -> None:
        """See `Scene.rename`."""
        self.talk.own_name = name

    def ask_to_leave(self) -> None:
        """See `Scene.ask_to_leave`."""
        if self._listener is not None:
            self._listener.post_message(LeaveAsked())

    def typed(self, draft: str) -> None:
        """The draft of the next message has changed; a command is none of the peer's business."""
        self._not_typing()
        if draft.strip() and (not draft.startswith("/") or draft.startswith("/me ")):
            self._typing = True
            self._idle = asyncio.get_running_loop().call_later(TYPING_IDLE, self._not_typing)
            self._typing_changed.set()

    def _not_typing(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        self._typing = False
        self._typing_changed.set()

    async def leave(self, seconds: float) -> None:
        """Get what was typed delivered, say goodbye and end; all of it within so many seconds, about."""
        deadline = asyncio.get_running_loop().time() + seconds
        talking = self.talk.phase in (Phase.TALKING, Phase.RECONNECTING)
        self.talk.leave()
        self._changed()
        if self._conversation is not None and talking:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline):
                    await self._outbox.join()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(deadline + MARGIN):
                    await self._conversation.goodbye(deadline)
                    await self._ended.wait()
        await self.stop()

    async def stop(self) -> None:
        """End at once, in whatever state it is; return when nothing of it is left."""
        self._seen.set()
        if self._task is not None and not self._ended.is_set():
            self._task.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MARGIN):
                    await self._ended.wait()
