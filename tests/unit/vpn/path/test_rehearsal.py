"""What a pump does between packets to be quick when the next one comes."""

from __future__ import annotations

import math
import socket
import sys

import pytest

if sys.platform != "linux":
    pytest.skip("virtual networks need Linux", allow_module_level=True)

from tincan.vpn.path import rehearsal
from tincan.vpn.path.hub import Hub
from tincan.vpn.path.plane import Cipher
from tincan.vpn.path.rehearsal import EVERY, LIVELY, Pace, Rehearsal
from tincan.vpn.path.wire import UPDATE_SECONDS
from tincan.vpn.path.words import Received, pack


def test_packets_now_and_then_are_rehearsed_for_and_none_or_many_are_not() -> None:
    pace = Pace()
    assert pace.wait(10.0, -1) == -1  # nothing came yet
    assert not pace.due(10.0, came=False)
    assert not pace.due(11.0, came=True)  # there is a real one
    assert pace.wait(11.0, -1) == EVERY
    assert pace.wait(11.0, 5.0) == EVERY
    assert pace.wait(11.0, EVERY / 2) == EVERY / 2  # something else is to be done sooner
    assert pace.wait(11.0, 0.0) == 0
    assert pace.due(11.0 + EVERY, came=False)
    assert not pace.due(11.0 + EVERY, came=True)
    assert not pace.due(11.0 + EVERY + LIVELY, came=False)
    assert pace.wait(11.0 + EVERY + LIVELY, -1) == -1


@pytest.mark.parametrize("switched", [False, True])
@pytest.mark.parametrize("cipher", Cipher)
def test_it_goes_all_the_way_as_a_real_packet_does_and_goes_on_for_hours(switched: bool, cipher: Cipher) -> None:
    once = Rehearsal(switched, cipher, 0.0)
    [first] = once.run(0.0)
    assert b"\x45\0\0\x54" in bytes(first)  # IPv4, 84 bytes
    for n in range(20):
        assert once.run(n * UPDATE_SECONDS * 1.1) == [first]


def test_a_pump_rehearses_once_something_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "LIVELY", math.inf)  # however slow the machine is
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    tap, other = socket.socketpair()
    with ours, tap, other:
        hub = Hub(theirs.detach(), None, tap.fileno())
        runs: list[float] = []

        class Counting(Rehearsal):
            def run(self, now: float) -> list[memoryview | bytes | bytearray]:
                runs.append(now)
                if len(runs) == 3:
                    hub.end(7)
                return super().run(now)

        class Quiet:
            """A half that has nothing to do."""

            def obey(self, *_: object) -> dict[int, dict[str, int | float | None]]:
                return {}

            def told(self, _: object) -> None: ...

            def received(self, _: object) -> None: ...

            def turn(self, _: float) -> float:
                return math.inf

        hub.add(Quiet())
        asked: list[int] = []
        hub.watch(tap.fileno(), lambda: asked.append(len(runs)))
        hub.rehearsal = Counting(False, Cipher.AES_128_GCM, 0.0)
        ours.send(pack(Received(1, b"something")))
        assert hub.run() == 7
    assert len(runs) == 3
    assert asked == [1, 2, 3]  # nothing was there to read
