"""Sender and receiver back to back, without disk or time; and each against a twin that lies."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tincan.apps.files.events import FileDone, FileLeftOut, FilesEvent
from tincan.apps.files.frames import (
    DATA_KIND,
    HEADER,
    Accept,
    Busy,
    Control,
    Decline,
    Different,
    Done,
    End,
    Entries,
    Entry,
    Error,
    Failed,
    Have,
    Offer,
    Ready,
    Same,
    Sent,
    Start,
    Verified,
    Whole,
    encode,
)
from tincan.apps.files.hashing import digest_of
from tincan.apps.files.manifest import make_manifest, offer_frames
from tincan.apps.files.names import System
from tincan.apps.files.receiver import Action, ReceiverCore
from tincan.apps.files.sender import SenderCore
from tincan.apps.files.splitter import Splitter
from tincan.apps.files.states import RECEIVER, SENDER, Receiving, Sending
from tincan.errors import IncompleteTransfer, PeerRefused, ProtocolError, TinCanError, UsageError

CONTENT = {"a": b"hello", "d/b": b"world!"}
ENTRIES = [Entry("a", 5, 0o644, 1), Entry("d", 0, 0o755, 1, True), Entry("d/b", 6, 0o600, 1)]
MANIFEST = make_manifest(ENTRIES)
FILES = (0, 2)


def data(content: bytes) -> bytes:
    return HEADER.pack(len(content), DATA_KIND) + content


def whole(index: int, content: bytes, offset: int = 0) -> bytes:
    end = End(index, len(content), digest_of(content))
    return encode(Start(index, offset)) + data(content[offset:]) + encode(end)


def in_one(index: int, content: bytes) -> bytes:
    return encode(Whole(index, memoryview(content), digest_of(content)))


def receiver(*, accepted: bool = True, have: Have | None = None) -> ReceiverCore:
    """A receiver that has seen the offer."""
    core = ReceiverCore(System())
    for frame in offer_frames(MANIFEST):
        assert list(core.receive(frame)) == []
    assert core.state is Receiving.DECIDING
    if accepted:
        core.accept()
        if have is not None:
            core.have(have)
        core.ready()
        core.data_to_send()
    return core


def sender(*frames: Control, sent: bool = False) -> SenderCore:
    """A sender that was accepted, and has got these frames."""
    core = SenderCore(MANIFEST)
    list(core.start())
    for frame in (Accept(), *frames):
        core.receive(frame)
    if sent:
        core.sent([(index, "") for index in FILES])
    return core


def pump(core: SenderCore, data: bytes) -> list[FilesEvent]:
    return [event for frame in Splitter().split(data) for event in core.receive(frame)]


def test_a_whole_transfer() -> None:
    tx, rx = SenderCore(MANIFEST), ReceiverCore(System())
    for frame in tx.start():
        assert list(rx.receive(frame)) == []
    assert rx.manifest == MANIFEST
    assert rx.places == [("a",), ("d",), ("d", "b")]
    rx.accept()
    rx.ready()
    pump(tx, rx.data_to_send())
    assert tx.state is Sending.SENDING
    events: list[FilesEvent] = []
    for job in tx.jobs():
        content = CONTENT[ENTRIES[job.index].name]
        tx.sent([(job.index, "")])
        start, piece, end = rx.receive(whole(job.index, content))
        assert isinstance(start, Start)
        assert bytes(piece) == content  # type: ignore[arg-type]
        assert isinstance(end, End)
        rx.verified(job.index)
        events += pump(tx, rx.data_to_send())
    assert events == [FileDone("a"), FileDone("d/b")]
    assert tx.settled
    assert list(rx.receive(tx.finish())) == [Sent()]
    rx.done()
    pump(tx, rx.data_to_send())
    assert (tx.state, rx.state) == (Sending.DONE, Receiving.DONE)
    assert tx.verified == 2


def test_verified_files_of_an_earlier_stream_are_not_sent_again() -> None:
    core = sender(Verified([0]), Ready())
    assert [job.index for job in core.jobs()] == [2]


def test_what_the_receiver_leaves_out_is_told() -> None:
    core = sender(Ready())
    assert core.receive(Failed(2, "no \x1b room")) == [FileLeftOut("d/b", "no \\x1b room")]
    assert dict(core.left_out) == {2: "no \\x1b room"}
    assert core.receive(Failed(2, "again")) == []


def test_small_files_come_in_one_piece() -> None:
    core = receiver()
    [first, second] = core.receive(in_one(0, b"hello") + in_one(2, b"world!"))
    assert (first, second) == (
        Whole(0, memoryview(b"hello"), digest_of(b"hello")),
        Whole(2, memoryview(b"world!"), digest_of(b"world!")),
    )
    core.verified(0)
    core.failed(2, "damaged")
    assert list(core.receive(encode(Sent()))) == [Sent()]
    core.done()
    assert list(Splitter().split(core.data_to_send())) == [Failed(2, "damaged"), Verified([0]), Done(1, 1)]


def test_what_is_left_out_is_swallowed() -> None:
    core = receiver()
    core.failed(0, "disk")
    assert list(core.receive(in_one(0, b"hello"))) == []
    assert list(core.receive(whole(0, b"hello"))) == []
    assert len(list(core.receive(whole(2, b"world!")))) == 3
    core.verified(2)
    assert list(core.receive(encode(Sent()))) == [Sent()]
    core.done()
    frames = list(Splitter().split(core.data_to_send()))
    assert frames == [Failed(0, "disk"), Verified([2]), Done(1, 1)]


def test_the_rest_of_a_partial_file() -> None:
    core = receiver(have=Have(0, False, True, [(2, digest_of(b"he")), (4, digest_of(b"hell"))]))
    _, piece, _ = core.receive(whole(0, b"hello", offset=4))
    assert bytes(piece) == b"o"  # type: ignore[arg-type]


def test_declined_and_out_of_room() -> None:
    core = SenderCore(MANIFEST)
    list(core.start())
    with pytest.raises(PeerRefused, match=r"^no$"):
        core.receive(Decline("no", True))
    assert core.state is Sending.DECLINED
    core = SenderCore(MANIFEST)
    list(core.start())
    with pytest.raises(IncompleteTransfer, match="room"):
        core.receive(Decline("no room", False))


def test_each_can_tell_the_other_why_it_stops() -> None:
    rx, tx = receiver(), sender(Ready())
    with pytest.raises(IncompleteTransfer, match="pipe burst"):
        list(rx.receive(tx.fail("pipe burst")))
    rx, tx = receiver(), sender(Ready())
    rx.fail("disk full")
    with pytest.raises(IncompleteTransfer, match="disk full"):
        pump(tx, rx.data_to_send())
    rx.fail("again")
    assert rx.data_to_send() == b""
    assert tx.fail("me too") == b""


# -- lies ------------------------------------------------------------------------------


def offered(listed: list[Entry], /, **changed: object) -> list[bytes]:
    true = make_manifest(listed)
    fields = {"version": 1, "id": true.id, "entries": len(listed), "total": true.total} | changed
    return [encode(Offer(**fields)), encode(Entries(listed))]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "frames",
    [
        offered(ENTRIES, entries=2),
        offered(ENTRIES, total=10),
        offered(ENTRIES, total=12),
        offered(ENTRIES, id=bytes(32)),
        offered(ENTRIES, version=2),
        offered(ENTRIES, entries=0),
        offered([Entry("../a", 1, 0, 0)]),
        offered([Entry("a", 1, 0, 0), Entry("a", 1, 0, 0)]),
        offered([Entry("a", 1, 0, 0, True)]),
        offered([Entry("a", -1, 0, 0, True)]),
        [encode(Entries(ENTRIES))],
        [*offered(ENTRIES), encode(Entries(ENTRIES))],
        [*offered(ENTRIES), encode(Sent())],
        [*offered(ENTRIES), encode(Start(0, 0))],
        [data(b"x")],
        [encode(Offer(1, bytes(32), 5, 5)), encode(Offer(1, bytes(32), 5, 5))],
    ],
)
def test_a_manifest_that_lies_is_refused(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolError):
        list(ReceiverCore(System()).receive(b"".join(frames)))


@pytest.mark.parametrize(
    "wire",
    [
        encode(Start(0, 0)) + data(b"hello!"),
        encode(Start(0, 0)) + data(b"hell") + encode(End(0, 4, digest_of(b"hell"))),
        encode(Start(0, 0)) + data(b"hello") + encode(End(0, 6, digest_of(b"hello"))),
        encode(Start(0, 0)) + data(b"hello") + encode(End(0, 5, b"")),
        encode(Start(0, 0)) + data(b"hello") + encode(End(2, 5, digest_of(b"hello"))),
        encode(Start(0, 0)) + encode(Start(2, 0)),
        encode(Start(0, 0)) + data(b"hello") + encode(Sent()),
        encode(Start(0, 3)),
        encode(Start(1, 0)),
        encode(Start(3, 0)),
        whole(0, b"hello") + encode(Start(0, 0)),
        whole(0, b"hello") + data(b"x"),
        whole(0, b"hello") + encode(End(0, 5, digest_of(b"hello"))),
        whole(0, b"hello") + encode(Sent()),
        in_one(0, b"hello!"),
        in_one(0, b"hell"),
        in_one(0, b""),
        in_one(1, b""),
        in_one(3, b""),
        in_one(0, b"hello") * 2,
        in_one(0, b"hello") + whole(0, b"hello"),
        in_one(0, b"hello") + data(b"x"),
        whole(0, b"hello") + in_one(0, b"hello"),
        encode(Start(0, 0)) + in_one(0, b"hello"),
        encode(Start(0, 0)) + in_one(2, b"world!"),
        encode(End(0, 0, bytes(32))),
        encode(Same(0)),
        encode(Different(0)),
        encode(Sent()),
        encode(Offer(1, bytes(32), 1, 1)),
        encode(Entries(ENTRIES)),
        encode(Verified([0])),
        encode(Done(2, 0)),
        encode(Accept()),
    ],
    ids=lambda wire: wire.hex()[:40],
)
def test_content_that_was_not_announced_is_refused(wire: bytes) -> None:
    taken: list[Action] = []
    with pytest.raises(ProtocolError):
        taken.extend(receiver().receive(wire))
    assert sum(len(action) for action in taken if isinstance(action, memoryview)) <= 5


@pytest.mark.parametrize(
    "wire",
    [
        encode(Start(0, 0)),
        encode(Same(2)),
        encode(Same(0)) * 2,
        encode(Same(0)) + encode(Start(0, 0)),
        in_one(0, b"hello"),
    ],
    ids=["sent anyway", "another", "twice", "and sent", "in one piece"],
)
def test_a_complete_file_is_only_compared(wire: bytes) -> None:
    core = receiver(have=Have(0, True, False, [(5, digest_of(b"hello"))]))
    with pytest.raises(ProtocolError):
        list(core.receive(wire))


@pytest.mark.parametrize(
    "frames",
    [
        [Verified([0]), Verified([0])],
        [Verified([1])],
        [Verified([99])],
        [Ready(), Verified([0])],
        [Ready(), Failed(1, "a folder")],
        [Ready(), Failed(99, "none")],
        [Ready(), Done(2, 0)],
        [Ready(), Ready()],
        [Ready(), Accept()],
        [Ready(), Have(0, True, False, [(5, bytes(32))])],
        [Have(0, True, False, [(4, bytes(32))])],
        [Have(0, False, False, [(6, bytes(32))])],
        [Have(0, False, False, [(3, bytes(32)), (3, bytes(32))])],
        [Have(0, False, False, [(3, bytes(32)), (2, bytes(32))])],
        [Have(1, False, False, [(0, bytes(32))])],
        [Have(2, False, False, [(1, bytes(32))]), Have(0, False, False, [(1, bytes(32))])],
        [Start(0, 0)],
        [Sent()],
        [Decline("late", True)],
    ],
    ids=str,
)
def test_a_receiver_that_lies_is_refused(frames: list[Control]) -> None:
    with pytest.raises(ProtocolError):
        sender(*frames)


@pytest.mark.parametrize("frame", [Verified([0]), Failed(0, "x"), Ready(), Have(0, False, False, [(1, bytes(32))])])
def test_nothing_comes_before_the_answer(frame: Control) -> None:
    core = SenderCore(MANIFEST)
    list(core.start())
    with pytest.raises(ProtocolError):
        core.receive(frame)


def test_done_must_count_right() -> None:
    core = sender(Ready(), sent=True)
    core.receive(Verified([0, 2]))
    core.finish()
    with pytest.raises(ProtocolError):
        core.receive(Done(1, 1))


def test_content_is_nothing_for_a_sender() -> None:
    with pytest.raises(ProtocolError):
        sender().receive(memoryview(b"x"))


def test_busy_is_welcome_at_any_time() -> None:
    rx: list[Callable[[], list[Action]]] = [lambda: list(receiver().receive(encode(Busy())))]
    assert [call() for call in rx] == [[]]
    assert sender(Busy(), Ready(), Busy()).receive(Busy()) == []


def test_too_much_is_told_to_the_user() -> None:
    one = Entry("x" * 4000, 1, 0, 0)
    with pytest.raises(UsageError, match="pack them"):
        make_manifest([one] * 1_000_001)
    with pytest.raises(UsageError, match="64 MiB"):
        make_manifest([one] * 20_000)


def test_every_state_can_end() -> None:
    for table, last in ((SENDER, {"done", "declined", "failed"}), (RECEIVER, {"done", "declined", "failed"})):
        assert {state.value for state, steps in table.items() if not steps} == last


def test_every_error_is_one_sentence() -> None:
    with pytest.raises(TinCanError) as caught:
        list(receiver().receive(encode(Error("why \x1b]0;evil\x07"))))
    assert "\x1b" not in str(caught.value)


def test_a_hundred_thousand_entries_are_quick() -> None:
    entries = [Entry(f"folder {n // 1000}/file {n}", 1, 0o644, 1) for n in range(100_000)]
    began = time.process_time()
    tx, rx = SenderCore(make_manifest(entries)), ReceiverCore(System(windows=True, folded=True))
    list(rx.receive(b"".join(tx.start())))
    rx.accept()
    rx.ready()
    pump(tx, rx.data_to_send())
    one = digest_of(b"x")
    for job in tx.jobs():
        tx.sent([(job.index, "")])
        wire = encode(Start(job.index, 0)) + data(b"x") + encode(End(job.index, 1, one))
        assert len(list(rx.receive(wire))) == 3
        rx.verified(job.index)
    assert len(pump(tx, rx.data_to_send())) == 100_000
    assert tx.settled
    assert time.process_time() - began < 100  # some steps for each; with all the others for each it took hours
