"""A chat over a link: the thin asyncio shell around `ChatProtocol`.

::

    async with ChatSession(link, name="Ada") as chat:
        async for event in chat.events():    # in one task
            ...
        await chat.send("hello")             # in another
        await chat.goodbye(deadline)

One task reads the control channel, one writes to it. The reader stops while
the queue of events is full, so a slow application slows the peer down instead
of growing this process. Acknowledgements are never waited for by whoever
reads events, so two busy sides cannot block each other; but do not await
`send` in the very loop that takes the events: the room it may wait for is
made by taking events.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Self

from tincan import __version__
from tincan.apps.capabilities import mismatch
from tincan.apps.chat.events import ChatEvent, Closed, MessageReceived, PeerHello, PeerLeft
from tincan.apps.chat.protocol import WINDOW, ChatProtocol, WindowFull, check_text
from tincan.apps.chat.states import State
from tincan.errors import NoPath, PeerRefused, ProtocolError, TinCanError
from tincan.link.interface import ChannelClosed, CloseReason, Link

MAX_EVENTS = 64
"""Events that wait for the application before reading from the link stops."""

LAST_WORDS = 0.5
"""Seconds that the last frames (a bye, a complaint) may take to leave before the link is closed."""


class ChatSession:
    """One chat with one peer, as an async context manager; it closes the link at its end.

    Leaving the context without `goodbye` closes the link at once.
    """

    def __init__(
        self,
        link: Link,
        *,
        name: str,
        capabilities: Iterable[str] = ("chat",),
        agent: str = f"tin-can/{__version__}",
        max_events: int = MAX_EVENTS,
        others: Callable[[bytes], None] | None = None,
    ) -> None:
        """``others`` is given the frames that are not the chat's; see `post`."""
        self._link = link
        self._others = others
        self._posted: list[bytes] = []
        self._core = ChatProtocol(name=name, agent=agent, capabilities=capabilities)
        self._max_events = max_events
        self._queue: deque[ChatEvent] = deque()
        self._taken: ChatEvent | None = None  # the event that the application has now
        self._peer_left_taken = False
        self._first_goodbye: CloseReason | None = None
        self._error: TinCanError | None = None
        self._stopping = False
        self._link_ended = False  # what it brought may still wait to be read
        self._unwritten = 0  # frames taken from the core that the link has not taken yet
        self._closed: Closed | None = None
        self._ended = False
        self._bell = asyncio.Event()
        self._turn = asyncio.Lock()  # messages go out in the order of the calls
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Greet the peer and start."""
        self._core.start()
        self._task = asyncio.create_task(self._run(), name="chat")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the link, if `goodbye` has not done so."""
        self._stopping = True
        await self._link.close()
        self._ring()
        if self._task is not None:
            await self._task

    @property
    def undelivered(self) -> int:
        """How many of our messages the peer has not acknowledged."""
        return self._core.undelivered

    async def send(self, text: str, action: bool = False) -> int:
        """Say something; return its id once it is on its way.

        Waits for the peer's hello, for room among the unacknowledged messages
        and for the link. Raises `UsageError` for text that cannot be sent and
        `ChannelClosed` when the chat is over or the peer has left.
        """
        check_text(text)
        async with self._turn:
            message_id = await self._enqueue(text, action)
            await self._until(self._all_written)
        return message_id

    async def typing(self, active: bool) -> None:
        """Tell the peer whether the user is typing; outside a conversation nothing happens."""
        if self._core.state is State.OPEN and not self._link_ended:
            self._core.set_typing(active)
            self._ring()
            await self._until(self._all_written)

    def acknowledge(self, message_id: int) -> None:
        """Tell the peer that its message was shown, earlier than asking for the next event does."""
        self._core.acknowledge(message_id)
        self._ring()

    def post(self, frame: bytes) -> None:
        """Send a frame that is not the chat's, after what the chat has to send; when the link is over it is lost."""
        self._posted.append(frame)
        self._ring()

    async def events(self) -> AsyncIterator[ChatEvent]:
        """Yield what happens; the last one is `Closed`.

        Asking for the next event acknowledges the message before it: it has
        been shown. For one task at a time; it may stop and begin again.
        """
        while (event := await self._next_event()) is not None:
            yield event

    async def goodbye(self, deadline: float) -> None:
        """Leave in good order; return when the link is closed.

        Waits until the peer has acknowledged everything, says goodbye, and
        goes on taking and acknowledging the peer's messages until it has said
        goodbye too. Keep reading `events` meanwhile. ``deadline``, in the
        running loop's time, ends all waiting but that for the bye itself to
        leave (`LAST_WORDS`); `Closed` tells what was left undelivered.
        """
        try:
            async with asyncio.timeout_at(deadline):
                async with self._turn:
                    await self._until(self._nothing_undelivered)
                self._say_goodbye()
                await self._until(lambda: self._ended)
        except TimeoutError:
            self._say_goodbye()
        self._stopping = True
        self._ring()
        await self._until(lambda: self._ended)

    # One place to wait: whoever changes something that others may wait for rings.

    def _ring(self) -> None:
        self._bell.set()
        self._bell = asyncio.Event()

    async def _until(self, ready: Callable[[], bool]) -> None:
        while not ready():
            await self._bell.wait()

    # The application

    async def _enqueue(self, text: str, action: bool) -> int:
        while True:
            await self._until(lambda: self._core.state is State.OPEN or self._cannot_talk())
            if self._cannot_talk():
                raise ChannelClosed("The chat is over; nothing more can be said.")
            try:
                message_id = self._core.send_message(text, action)
            except WindowFull:
                await self._until(lambda: self._core.undelivered < WINDOW or self._cannot_talk())
            else:
                self._ring()
                return message_id

    async def _next_event(self) -> ChatEvent | None:
        self._settle()
        await self._until(lambda: bool(self._queue) or self._ended)
        if self._queue:
            self._taken = self._queue.popleft()
            self._ring()
            return self._taken
        closed, self._closed = self._closed, None
        return closed

    def _settle(self) -> None:
        """The application is done with the event it had."""
        taken, self._taken = self._taken, None
        if isinstance(taken, MessageReceived):
            self.acknowledge(taken.id)
        elif isinstance(taken, PeerLeft):
            self._peer_left_taken = True
            self._answer_goodbye()

    def _answer_goodbye(self) -> None:
        """Leave too, once the peer's last words are shown and it has shown ours."""
        if self._peer_left_taken and self._core.undelivered == 0:
            self._say_goodbye()

    def _say_goodbye(self) -> None:
        if self._core.state in (State.OPEN, State.PEER_LEFT) and not self._link_ended:
            self._first_goodbye = self._first_goodbye or CloseReason.LOCAL
            self._core.say_goodbye()
            self._ring()

    # The link

    async def _run(self) -> None:
        """Live from the greeting to the closed link, and leave a `Closed` whatever happened."""
        try:
            async with asyncio.TaskGroup() as group:
                reader = group.create_task(self._read())
                writer = group.create_task(self._write())
                reader.add_done_callback(lambda _: self._ring())
                group.create_task(self._watch())
                await self._until(lambda: reader.done() or self._is_over())
                try:
                    async with asyncio.timeout(LAST_WORDS):
                        await self._until(self._all_written)
                        await self._link.control.drain()
                except TimeoutError:
                    pass  # the peer takes no more; it will see the link close
                await self._link.close()
                reader.cancel()
                writer.cancel()
            self._closed = self._why_closed(await self._link.wait_closed())
        finally:
            self._ended = True
            self._ring()

    async def _read(self) -> None:
        try:
            while not self._is_over():
                await self._until(lambda: len(self._queue) < self._max_events or self._stopping)
                frame = await self._link.control.receive()
                if not self._core.receive(frame) and self._others is not None:
                    self._others(frame)
                self._collect()
        except ChannelClosed:
            pass
        except ProtocolError as error:
            self._error = error

    def _collect(self) -> None:
        """Put what happened into the queue: one frame makes two events at most."""
        while (event := self._core.next_event()) is not None:
            if isinstance(event, PeerHello) and (text := mismatch("chat", event.capabilities)):
                self._error = PeerRefused(text)
                break
            self._queue.append(event)
            if isinstance(event, PeerLeft):
                self._first_goodbye = self._first_goodbye or CloseReason.PEER
                if event.complaint is not None:
                    why = "The peer ended the chat because of what this side sent"
                    self._error = PeerRefused(f"{why}. It says: {event.complaint}")
        self._answer_goodbye()
        self._ring()

    async def _write(self) -> None:
        try:
            while not self._link_ended:
                await self._until(lambda: self._core.has_data_to_send or bool(self._posted) or self._link_ended)
                frames, self._posted = [*self._core.data_to_send(), *self._posted], []
                self._unwritten = len(frames)
                for frame in frames:
                    await self._link.control.send(frame)
                    self._unwritten -= 1
                self._ring()
        except ChannelClosed:
            pass

    async def _watch(self) -> None:
        """Learn of the link's end even while nothing is read or written."""
        await self._link.wait_closed()
        self._link_ended = True
        self._ring()

    def _all_written(self) -> bool:
        """Whether there is nothing that the link still has to take, or it never will."""
        return self._link_ended or not (self._unwritten or self._core.has_data_to_send or self._posted)

    def _cannot_talk(self) -> bool:
        """Whether no message can be sent now, and none ever again."""
        return self._link_ended or self._core.state not in (State.NEW, State.GREETING, State.OPEN)

    def _nothing_undelivered(self) -> bool:
        if self._core.state in (State.NEW, State.GREETING):
            return self._link_ended
        return self._link_ended or self._core.undelivered == 0

    def _is_over(self) -> bool:
        return self._stopping or self._error is not None or self._core.state in (State.OVER, State.FAILED)

    def _why_closed(self, link_reason: CloseReason) -> Closed:
        error, reason = self._error, self._first_goodbye or link_reason
        if error is not None:
            reason = CloseReason.BROKEN
        elif reason is CloseReason.LOST:
            error = NoPath("The connection to the peer was lost.")
        elif reason is CloseReason.BROKEN:
            error = ProtocolError("The peer sent something that the connection could not take.")
        return Closed(reason, self._core.undelivered, error)
