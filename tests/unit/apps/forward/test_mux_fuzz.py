"""The multiplexer against whatever comes, and in whatever order things happen."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tincan.apps.forward.events import Asked, Ended, Refused, Reset
from tincan.apps.forward.frames import MAX_WHAT, PREFACE, Kind, encode, header
from tincan.apps.forward.mux import MAX_WINDOW, Mux
from tincan.errors import ProtocolError
from unit.apps.forward.helpers import MuxPair

patient = settings(deadline=None)  # a busy machine is not a bug

frames = st.one_of(
    st.builds(header, st.sampled_from([Kind.WINDOW, Kind.EOF]), st.integers(0, 6), st.sampled_from([0, 1, 2**20])),
    st.builds(
        encode,
        st.sampled_from([Kind.OPEN, Kind.ACCEPTED, Kind.REFUSED, Kind.DATA, Kind.RESET]),
        st.integers(0, 6),
        st.binary(max_size=9) | st.sampled_from([bytes(MAX_WHAT), bytes(65536)]),
    ),
    st.binary(max_size=12),
)


@patient
@given(st.lists(frames, max_size=20), st.integers(1, 200))
def test_arbitrary_frames(sent: list[bytes], size: int) -> None:
    """Nothing but a ProtocolError comes out, and nothing is held beyond the credit."""
    side = Mux(odd=True)
    side.open(b"one")
    side.open(b"two")
    data = PREFACE + b"".join(sent)
    held = 0
    try:
        for place in range(0, len(data), size):
            side.receive(data[place : place + size])
            for event in side.take_events():
                if isinstance(event, Asked) and event.id % 4:
                    side.accept(event.id)
                held += len(getattr(event, "payload", b""))
    except ProtocolError:
        pass
    assert held <= MAX_WINDOW
    side.data_to_send(2**20)


@patient
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    for start in (b"", PREFACE):
        side = Mux(odd=False)
        try:
            side.receive(start + data)
        except ProtocolError:
            continue
        side.take_events()


class Model:
    """Two sides, and what each has sent and taken."""

    def __init__(self) -> None:
        self.pair = MuxPair()
        self.sent: dict[tuple[str, int], bytearray] = {}
        self.ended: set[tuple[str, int]] = set()
        self.broken: set[int] = set()
        self.opened: list[int] = []
        self.unread: dict[tuple[str, int], int] = {}
        self.count = 0

    def step(self, action: str, side: str, choice: int, size: int) -> None:
        pair, core = self.pair, self.pair.sides[side]
        id = self.opened[choice % len(self.opened)] if self.opened else 0
        match action:
            case "open":
                self.opened.append(core.open(b"x"))
            case "send" if (side, id) not in self.ended:
                count = min(core.room(id), size)
                self.count += 1
                data = (self.count.to_bytes(4, "big") * (count // 4 + 1))[:count]
                core.send(id, data)
                self.sent.setdefault((side, id), bytearray()).extend(data)
            case "eof" if core.room(id):  # open, as far as this side knows
                core.send_eof(id)
                self.ended.add((side, id))
            case "reset" if id and choice % 3 == 0:
                core.release(id)
                self.broken.add(id)
            case "flush":
                pair.flush(side, size)
            case "deliver":
                pair.deliver(side, size)
            case "consume":
                self.consume(side, id)
        self.answer()

    def answer(self) -> None:
        for side in "ab":
            for event in self.pair.taken(side):
                if isinstance(event, Asked):
                    self.pair.sides[side].accept(event.id)
                elif isinstance(event, Reset | Refused):
                    assert event.id in self.broken
                elif isinstance(event, Ended):
                    other = "b" if side == "a" else "a"
                    assert (other, event.id) in self.ended
                    assert self.came(side, event.id) == self.sent.get((other, event.id), b"")

    def came(self, side: str, id: int) -> bytes:
        return bytes(self.pair.came[side].get(id, b""))

    def consume(self, side: str, id: int) -> None:
        came = len(self.came(side, id))
        self.pair.sides[side].consumed(id, came - self.unread.get((side, id), 0))
        self.unread[side, id] = came

    def finish(self) -> None:
        """Let everything arrive: if it does not come to rest, something waits for ever."""
        for _ in range(100):
            self.pair.settle()
            self.answer()
            for side in "ab":
                for id in self.opened:
                    self.consume(side, id)
        self.pair.settle()
        for side, other in ("ab", "ba"):
            for id in self.opened:
                if id not in self.broken:
                    assert self.came(other, id) == self.sent.get((side, id), b"")


actions = st.tuples(
    st.sampled_from(["open", "send", "send", "send", "eof", "reset", "flush", "deliver", "deliver", "consume"]),
    st.sampled_from("ab"),
    st.integers(0, 30),
    st.sampled_from([1, 7, 100, 5000, 70_000, 300_000]),
)


@patient
@given(st.lists(actions, max_size=150))
def test_whatever_happens_everything_arrives_in_order(steps: list[tuple[str, str, int, int]]) -> None:
    model = Model()
    for step in steps:
        model.step(*step)
    model.finish()
