"""The table of a link's states."""

from __future__ import annotations

import pytest

from tincan.vpn.module.states import TABLE, Happening, State, follow


def test_every_state_is_reached_and_left() -> None:
    assert {after for (before, _), after in TABLE.items() if before is not after} == set(State) - {State.NEW}
    for state in State:
        reached, waiting = {state}, [state]
        while waiting:
            here = waiting.pop()
            for (before, _), after in TABLE.items():
                if before is here and after not in reached:
                    reached.add(after)
                    waiting.append(after)
        assert State.ONLINE in reached, f"no way back from {state}"


def test_nothing_takes_a_link_down_but_the_loss_of_the_strand_in_use() -> None:
    down = {happening for (before, happening), after in TABLE.items() if before is State.ONLINE is not after}
    assert down == {Happening.WAS_LOST}


def test_what_cannot_happen_is_a_defect() -> None:
    assert follow(1, State.NEW, Happening.CONNECTED) is State.CONNECTING
    with pytest.raises(KeyError):
        follow(1, State.NEW, Happening.WAS_LOST)
