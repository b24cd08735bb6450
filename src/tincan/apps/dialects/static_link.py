"""The static link: two cans meet without any server, by two texts that people hand to each other.

One side shows an offer and waits for an answer; the other is given the offer,
shows the answer and waits for the first. Whoever drives it (a prompt, a file,
a screen) gives two callbacks: ``show``, which is told what to put before the
user, and ``read_answer``, which brings what he pasted.

Ours (`static_url`) is proved (`proof`) and then carries our chat; the classic
form carries Morse code and is not.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Final, Literal, Protocol

from tincan.apps.call.desk import CallDesk
from tincan.apps.conversation import Conversation, LinkConversation
from tincan.apps.desks import MakeCalls
from tincan.apps.dialects import classic as classic_form
from tincan.apps.dialects import static_url
from tincan.apps.dialects.classic import LABELS, ClassicCodec, Mode
from tincan.apps.dialects.classic_relay import classic_sound
from tincan.apps.dialects.pasted import Kind, Pasted, unpack
from tincan.apps.dialects.proof import Ends, prove
from tincan.apps.dialects.static_news import AnswerReady, AnswerUnusable, OfferReady, ReadAnswer, Show, WordsReady
from tincan.apps.dialects.static_url import StaticDescription
from tincan.apps.foreign import ForeignConversation
from tincan.errors import NobodyCame, NoPath, ProtocolError, UsageError
from tincan.link.description import Description
from tincan.link.dial import Connected, Tell
from tincan.link.foreign import ForeignDial, foreign_link
from tincan.link.interface import CONTROL_LABEL, Channel, CloseReason, Link, LinkStatus, Media
from tincan.link.sdp import SessionDescription
from tincan.meet.events import PeerFound
from tincan.meet.phrase import Phrase
from tincan.nat.servers import IceServer

if TYPE_CHECKING:
    from tincan.link.datachannel import WebRtcChannel
    from tincan.link.webrtc import WebRtcLink

STATIC_SECURITY: Final = (
    "Compare the two words that both screens will show: if they differ, somebody is in the middle. "
    "Where both have given the same phrase, that is not needed."
)

PLACE: Final = "static link"
MAX_TRIES: Final = 20
"""Texts that cannot be used before it ends: nobody pastes that often, but a program might."""


def static_conversation(
    *,
    offer_text: str | None,
    show: Show,
    read_answer: ReadAnswer,
    phrase: Phrase | None = None,
    servers: tuple[IceServer, ...] = (),
    timeout: float = 600.0,
    relay_only: bool = False,
    name: str = "",
    classic: bool = False,
    mode: Literal["attach", "tap", "talk"] = "attach",
    calls: MakeCalls | None = None,
) -> Conversation:
    """Return a conversation with whoever gets the offer, or with whoever made ``offer_text``.

    ``timeout``: seconds for the answer to be carried over. ``name`` is how the
    peer sees us, in our own form; ``mode`` which classic command is played, in
    the classic one, which ``classic`` asks for when there is no offer yet;
    ``talk`` is for voice in both, and ``calls`` makes what handles it.
    Raises `ProtocolError` for an offer that cannot be read, `UsageError` when
    one side has a phrase and the other none.
    """
    offer = None if offer_text is None else unpack(offer_text)
    if classic if offer is None else not offer.ours:
        if phrase is not None:
            raise UsageError("A classic static link cannot be sealed by a phrase; leave one of the two out.")
        played = Mode(mode)
        form: _Form = _ClassicForm(offer, played)
        return ForeignConversation(
            _StaticDial(form, show, read_answer, servers, timeout, relay_only),
            ClassicCodec(played),
            classic_sound(played, calls),
        )
    dial = _StaticDial(_OwnForm(offer, phrase, show), show, read_answer, servers, timeout, relay_only)

    @contextlib.asynccontextmanager
    async def tie(tell: Tell) -> AsyncIterator[Link]:
        async with dial(tell) as (link, channel):
            yield ControlledLink(link, channel)

    return LinkConversation(tie, name=name, calls=calls or CallDesk, talks=mode == "talk")


class _Form(Protocol):
    """What differs between our static link and the classic one."""

    offer: SessionDescription | None
    """The other side's; None when it is this side that offers."""

    async def describe(self, dial: ForeignDial) -> str:
        """Return our URL."""

    def read_answer(self, text: str) -> SessionDescription:
        """Read what was pasted; raise `ProtocolError`."""

    async def channel(self, dial: ForeignDial) -> WebRtcChannel:
        """Return the channel to talk on, with whoever is there proved as far as the form can."""


class _ClassicForm:
    def __init__(self, offer: Pasted | None, mode: Mode) -> None:
        self.offer = None if offer is None else classic_form.read_pasted(offer, Kind.OFFER)
        self._mode = mode

    async def describe(self, dial: ForeignDial) -> str:
        return classic_form.url(Kind.OFFER if self.offer is None else Kind.ANSWER, await dial.describe())

    def read_answer(self, text: str) -> SessionDescription:
        return classic_form.read_blob(text, Kind.ANSWER)

    async def channel(self, dial: ForeignDial) -> WebRtcChannel:
        if self.offer is None:
            return await dial.open(self._mode.label, reliable=self._mode.reliable)
        return await dial.accept(*LABELS)


class _OwnForm:
    def __init__(self, offer: Pasted | None, phrase: Phrase | None, show: Show) -> None:
        self._phrase = phrase
        self._show = show
        self._ours: StaticDescription | None = None
        self._theirs = None if offer is None else static_url.read_pasted(offer, Kind.OFFER)
        if self._theirs is not None and self._theirs.sealed and phrase is None:
            raise UsageError("This offer is sealed by a phrase; give the same phrase as the one who made it.")
        if self._theirs is not None and not self._theirs.sealed and phrase is not None:
            raise UsageError("This offer was made without a phrase; ask for one with it, or leave the phrase out.")
        self.offer = None if self._theirs is None else _session(self._theirs.description, "actpass")

    async def describe(self, dial: ForeignDial) -> str:
        description, sealed = await dial.gather(), self._phrase is not None
        if self._theirs is None:
            self._ours = StaticDescription(Kind.OFFER, description, sealed)
        else:
            self._ours = StaticDescription(Kind.ANSWER, description, sealed, self._theirs.name)
        return static_url.url(self._ours)

    def read_answer(self, text: str) -> SessionDescription:
        pasted = unpack(text)
        if not pasted.ours:
            raise ProtocolError(
                "This is a classic URL, and the offer was not; paste the answer that begins tin-can:."
            )
        answer = static_url.read_pasted(pasted, Kind.ANSWER)
        assert self._ours is not None  # noqa: S101 - describe() comes first
        if answer.answers != self._ours.name:
            raise ProtocolError("This answers another offer; hand the offer shown here to the other side.")
        if answer.sealed != self._ours.sealed:
            raise ProtocolError("One side gave a phrase and the other none; both must give the same one, or neither.")
        self._theirs = answer
        return _session(answer.description, "active")

    async def channel(self, dial: ForeignDial) -> WebRtcChannel:
        assert self._ours is not None  # noqa: S101 - describe() comes first
        assert self._theirs is not None  # noqa: S101 - there is a link
        offers = self.offer is None
        channel = await (dial.open(CONTROL_LABEL) if offers else dial.accept(CONTROL_LABEL))
        own, remote = self._ours.description.fingerprint, self._theirs.description.fingerprint
        ends = Ends(own, remote) if offers else Ends(remote, own)
        words = await prove(channel, self._phrase, ends, offers=offers)
        if words is not None:
            self._show(WordsReady(words))
        return channel


def _session(description: Description, setup: str) -> SessionDescription:
    return SessionDescription(description, setup)


class _StaticDial:
    """Makes the link of either form; a `tincan.apps.foreign.Dial`."""

    def __init__(
        self,
        form: _Form,
        show: Show,
        read_answer: ReadAnswer,
        servers: tuple[IceServer, ...],
        timeout: float,
        relay_only: bool,
    ) -> None:
        self._form = form
        self._show = show
        self._read_answer = read_answer
        self._servers = servers
        self._timeout = timeout
        self._relay_only = relay_only

    @contextlib.asynccontextmanager
    async def __call__(self, tell: Tell) -> AsyncIterator[tuple[WebRtcLink, WebRtcChannel]]:
        """See `Dial`."""
        offer = self._form.offer
        async with foreign_link(
            offers=offer is None,
            servers=self._servers,
            relay_only=self._relay_only,
            patience=None if offer is None else self._timeout,
        ) as dial:
            ours = await self._form.describe(dial)
            if offer is None:
                self._show(OfferReady(ours))
                async with dial.reachable():
                    answer = await self._answer()
                tell(PeerFound(PLACE))
                link = await dial.connect(answer)
            else:
                self._show(AnswerReady(ours))
                link = await self._wait(dial, offer)
                tell(PeerFound(PLACE))
            channel = await self._form.channel(dial)
            tell(Connected(link.status.path.value, PLACE))
            yield link, channel

    async def _answer(self) -> SessionDescription:
        """Return the first answer that can be used."""
        tries = 0
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    try:
                        return self._form.read_answer(await self._read_answer())
                    except ProtocolError as exc:
                        tries += 1
                        if tries == MAX_TRIES:
                            raise
                        self._show(AnswerUnusable(str(exc)))
        except TimeoutError:
            raise NobodyCame("No answer was given in time. Make a new offer when the other side is ready.") from None

    async def _wait(self, dial: ForeignDial, offer: SessionDescription) -> WebRtcLink:
        """Connect to the one who gets our answer, whenever that is."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._timeout
        try:
            return await dial.connect(offer)
        except NoPath as exc:
            if loop.time() < deadline:
                raise
            raise NobodyCame(
                "The other side did not use the answer in time, or no network path between the two works. "
                "Ask for a new offer."
            ) from exc


class ControlledLink:
    """A link whose control channel was opened like any other. See `tincan.link.interface.Link`."""

    def __init__(self, link: Link, control: Channel) -> None:
        self._link = link
        self._control = control

    @property
    def control(self) -> Channel:
        """See `Link.control`."""
        return self._control

    @property
    def status(self) -> LinkStatus:
        """See `Link.status`."""
        return self._link.status

    @property
    def binding(self) -> bytes:
        """See `Link.binding`."""
        return self._link.binding

    async def open_channel(self, label: str) -> Channel:
        """See `Link.open_channel`."""
        return await self._link.open_channel(label)

    async def accept_channel(self) -> Channel:
        """See `Link.accept_channel`."""
        return await self._link.accept_channel()

    def media(self, hear: Callable[[bytes], None]) -> Media:
        """See `Link.media`."""
        return self._link.media(hear)

    async def wait_closed(self) -> CloseReason:
        """See `Link.wait_closed`."""
        return await self._link.wait_closed()

    async def close(self) -> None:
        """See `Link.close`."""
        await self._link.close()
