"""Streams of a link: on a channel at once, and by punched TCP as soon as that is there.

`Streams` opens streams and hands out those that the peer opens; `LinkStream`
is one of them, the shell around `tincan.link.lanes.Lanes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from tincan.errors import NoPath, ProtocolError
from tincan.link.interface import Channel, ChannelClosed, CloseReason, Link, Path, StreamBroken
from tincan.link.lanes import MAX_ADDRESSES, PIECE, Data, Lane, Lanes, More, NoOffer, Offer, punching
from tincan.link.punch import Punch, Punching
from tincan.link.tcp import Address
from tincan.link.tls import TlsStream
from tincan.meet.mailbox import Side
from tincan.tasks import settle

logger = logging.getLogger(__name__)

T = TypeVar("T")

PREFIX: Final = "stream:"
"""Labels of channels that carry streams begin with it; what the stream is for follows."""

MAX_WAITING: Final = 8
"""Streams of the peer that nobody has accepted yet; one more is closed."""

FAREWELL: Final = 1.0
"""Seconds that closing a channel may take; the link's own end comes after it."""

SMALL: Final = 64 * 1024
"""Bytes that are across sooner on the channel than a TCP path could be made."""

SOON: Final = 0.1
"""Seconds after which a path is made anyway: whoever types into a stream wants the quicker one too."""

_BROKEN: Final = "The stream to the peer broke."


class LinkStream:
    """A `tincan.link.interface.Stream` on a channel, which moves over to TCP by itself.

    Without ``settings`` it stays on the channel.
    """

    def __init__(self, channel: Channel, link: Link, side: Side, settings: Punching | None) -> None:
        self._channel = channel
        self._link = link
        self._side = side
        self._settings = settings
        self._lanes = Lanes()
        self._arrived: deque[bytearray | memoryview] = deque()
        self._tcp: TlsStream | None = None
        self._broken = False
        self._closed = False
        self._changed = asyncio.Event()
        self._writing = asyncio.Lock()
        self._talking = asyncio.Lock()
        self._offered: asyncio.Queue[Offer | More | NoOffer] = asyncio.Queue(MAX_ADDRESSES + 1)
        self._punched = asyncio.Event()
        self._written = 0
        self._patience = settings.patience.writing if settings is not None else 0.0
        self._worth_it = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._punching: asyncio.Task[None] | None = None
        self._begin(self._listen())
        self._begin(self._watch())

    def start_punching(self, *, bulk: bool = False) -> None:
        """Look for a TCP path, now that somebody wants this stream; at once when it will carry much (``bulk``)."""
        if bulk:
            self._worth_it.set()
        if self._punching is None and not self._closed:
            self._punching = self._begin(self._punch(self._settings))

    @property
    def path(self) -> Path:
        """See `Stream.path`."""
        return self._tcp.path if self._tcp is not None else self._link.status.path

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def by_tcp(self) -> bool:
        """Whether the TCP path is in use."""
        return self._tcp is not None

    async def settled(self) -> None:
        """Wait until it is known whether there is a TCP path."""
        await self._punched.wait()

    async def read(self, limit: int) -> bytes | memoryview:
        """See `Stream.read`."""
        if await self._comes_by_tcp():
            return await (await self._tcp_lane()).read(limit)
        return self._take(limit) if self._arrived else b""

    async def read_into(self, buffer: memoryview) -> int:
        """See `Stream.read_into`."""
        if await self._comes_by_tcp():
            return await (await self._tcp_lane()).read_into(buffer)
        data = self._take(len(buffer)) if self._arrived else b""
        buffer[: len(data)] = data
        return len(data)

    async def _comes_by_tcp(self) -> bool:
        """Wait until there is something to read; False: on the channel, unless that has ended."""
        while not self._arrived and self._lanes.incoming is Lane.CHANNEL:
            self._check()
            await self._change()
        return not self._arrived and self._lanes.incoming is Lane.TCP

    def _take(self, limit: int) -> memoryview:
        """Take from what the channel has brought."""
        piece = memoryview(self._arrived.popleft())
        if len(piece) > limit:
            self._arrived.appendleft(piece[limit:])
        credit = self._lanes.consumed(min(limit, len(piece)))
        if credit is not None:
            self._begin(self._send(credit))  # not waited for: what has come is worth having all the same
        return piece[:limit]

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """See `Stream.write`."""
        async with self._writing:
            rest = memoryview(data).cast("B")
            self._written += len(rest)
            if self._written > SMALL:
                self._worth_it.set()
            while rest:
                self._check(writing=True)
                if self._tcp is not None:
                    if self._lanes.outgoing is Lane.CHANNEL:
                        await self._say(self._lanes.switch())
                    await self._tcp.write(rest)
                    return
                if self._patience and self._written - len(rest) >= SMALL:
                    await self._wait_for_path()
                    continue
                count = min(len(rest), PIECE, self._lanes.room)
                if count:
                    await self._say(self._lanes.data(rest[:count]))
                    rest = rest[count:]
                else:
                    await self._change()

    async def _wait_for_path(self) -> None:
        """Wait a moment, once, for a path that is being made."""
        patience, self._patience = self._patience, 0.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                await self._punched.wait()

    async def write_eof(self) -> None:
        """See `Stream.write_eof`."""
        async with self._writing:
            if self._lanes.outgoing is Lane.CHANNEL:
                self._check(writing=True)
                await self._say(self._lanes.eof())
            elif self._lanes.outgoing is Lane.TCP and self._tcp is not None:
                await self._tcp.write_eof()

    async def close(self) -> None:
        """See `Stream.close`."""
        self._closed = True
        self._ring()
        await settle(*self._tasks)
        if self._tcp is not None:
            await self._tcp.close(
                came_elsewhere=self._lanes.incoming is Lane.ENDED, sent_elsewhere=self._lanes.outgoing is Lane.ENDED
            )
        await self._close_channel()

    # -- inside ---------------------------------------------------------------------

    def _check(self, *, writing: bool = False) -> None:
        ended = writing and self._lanes.outgoing is Lane.ENDED
        # Where TCP has taken over, the channel may go.
        lost = self._broken and not (writing and self._lanes.outgoing is Lane.TCP)
        if self._closed or ended or lost:
            raise StreamBroken(_BROKEN)

    def _ring(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _change(self) -> None:
        await self._changed.wait()

    async def _tcp_lane(self) -> TlsStream:
        """Return the TCP lane, for which the peer may be a moment ahead of us."""
        await self._punched.wait()
        if self._tcp is None or self._closed:
            raise StreamBroken(_BROKEN)
        return self._tcp

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Do something that `close` waits for, or stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _say(self, message: bytes) -> None:
        """Send what the core says has been sent: also when whoever waits for it is cancelled."""
        if not await asyncio.shield(self._begin(self._send(message))):
            raise StreamBroken(_BROKEN)

    async def _send(self, message: bytes) -> bool:
        """Send a message, after those before it; return whether the channel still took it."""
        try:
            async with self._talking:
                await self._channel.send(message)
        except ChannelClosed:
            return False
        return True

    async def _close_channel(self) -> None:
        """Close the channel, but do not wait for ever that a peer acknowledges the last of it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await self._channel.close()

    async def _listen(self) -> None:
        """Take what comes on the channel; never waits for the application, so credits and offers get through."""
        try:
            while True:
                event = self._lanes.receive(await self._channel.receive())
                if isinstance(event, Data):
                    self._store(event.data)
                elif isinstance(event, Offer | More | NoOffer) and self._settings is not None:
                    self._worth_it.set()
                    if self._offered.full():
                        raise ProtocolError("The peer offers without end.")
                    self._offered.put_nowait(event)
                self._ring()
        except ChannelClosed:
            pass
        except ProtocolError as exc:
            logger.info("%s", exc)
            self._begin(self._close_channel())
        finally:
            self._broken = True
            if not self._offered.full():
                self._offered.put_nowait(NoOffer())  # for one who still waits for the peer's
            self._ring()

    def _store(self, data: bytes) -> None:
        """Keep data for the reader, small pieces together: the window counts bytes, not what holds them."""
        last = self._arrived[-1] if self._arrived else None
        if isinstance(last, bytearray) and len(last) + len(data) <= PIECE:
            last += data
        else:
            self._arrived.append(bytearray(data))

    async def _watch(self) -> None:
        """Let a stream end with its link; one that ended in good order still has its last bytes to bring."""
        if await self._link.wait_closed() in (CloseReason.LOST, CloseReason.BROKEN):
            logger.info("the link of a stream is lost")
            if self._punching is not None:
                self._punching.cancel()
                await self._punched.wait()
            if self._tcp is not None:
                await self._tcp.close()

    async def _punch(self, settings: Punching | None) -> None:
        try:
            await self._connect(settings)
        except (NoPath, OSError, StreamBroken) as exc:
            logger.info("stream stays on the channel: %s", exc)
        finally:
            self._punched.set()
            self._ring()

    async def _connect(self, settings: Punching | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SOON):
                await self._worth_it.wait()
        later: asyncio.Queue[Address] = asyncio.Queue()
        try:
            punch = Punch(self._side, settings, later.put_nowait) if settings is not None else None
        except OSError as exc:
            logger.info("no port for TCP: %s", exc)
            punch = None
        if punch is None:
            await self._say(punching(NoOffer()))
            raise NoPath("This side looks for no TCP path.")
        mapping = asyncio.create_task(punch.keep_mapping())
        try:
            helpers = [asyncio.create_task(punch.ask_servers()), asyncio.create_task(self._tell_more(later))]
            try:
                await self._say(punching(punch.offer))
                async with asyncio.timeout(punch.patience):
                    offer = await self._offered.get()
                if not isinstance(offer, Offer):
                    raise NoPath("The peer looks for no TCP path.")
                helpers.append(asyncio.create_task(self._hear_more(punch)))
                # At once, so that readers and `close` find it while the helpers are still being stopped.
                self._tcp = await punch.connect(offer)
                self._punched.set()
                self._ring()
                logger.info("stream goes by TCP (%s)", self._tcp.path.value)
            finally:
                punch.close()
                await settle(*helpers)
            await asyncio.Event().wait()  # the connection may go through the mapping: it stays until `close`
        finally:
            await settle(mapping)

    async def _tell_more(self, later: asyncio.Queue[Address]) -> None:
        with contextlib.suppress(StreamBroken):
            while True:
                await self._say(punching(More([await later.get()])))

    async def _hear_more(self, punch: Punch) -> None:
        while True:
            more = await self._offered.get()
            if isinstance(more, More):
                punch.add(more.addresses)


class Streams:
    """The streams of one link, as an async context manager that closes them all at its end.

    Without ``punching`` they stay on channels. Channels that carry something
    else, or that are for nothing named in ``purposes``, are closed.
    """

    def __init__(self, link: Link, side: Side, purposes: frozenset[str], punching: Punching | None) -> None:
        self._link = link
        self._side = side
        self._punching = punching
        self._accepted: dict[str, asyncio.Queue[LinkStream | None]] = {p: asyncio.Queue() for p in purposes}
        self._streams: list[LinkStream] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to accept."""
        self._task = asyncio.create_task(self._accept(), name="streams")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all streams."""
        if self._task is not None:
            await settle(self._task)
        await asyncio.gather(*(stream.close() for stream in self._streams))

    async def open(self, purpose: str, *, bulk: bool = False) -> LinkStream:
        """Open a stream, which will carry much if ``bulk``; raises `ChannelClosed` when the link has ended."""
        stream = self._adopt(await self._link.open_channel(PREFIX + purpose))
        stream.start_punching(bulk=bulk)
        return stream

    async def accept(self, purpose: str) -> LinkStream:
        """Return the next stream for a purpose that the peer opened; raises `ChannelClosed` at the end."""
        queue = self._accepted[purpose]
        stream = await queue.get()
        if stream is None:
            queue.put_nowait(None)
            raise ChannelClosed("The link has ended.")
        stream.start_punching()
        return stream

    def _adopt(self, channel: Channel) -> LinkStream:
        stream = LinkStream(channel, self._link, self._side, self._punching)
        self._streams = [*(s for s in self._streams if not s.closed), stream]
        return stream

    async def _accept(self) -> None:
        try:
            while True:
                channel = await self._link.accept_channel()
                queue = self._accepted.get(channel.label.removeprefix(PREFIX))
                if not channel.label.startswith(PREFIX) or queue is None or queue.qsize() >= MAX_WAITING:
                    logger.info("a channel was not expected")
                    await channel.close()
                else:
                    queue.put_nowait(self._adopt(channel))
        except ChannelClosed:
            pass
        finally:
            for queue in self._accepted.values():
                queue.put_nowait(None)
