"""What a peer may have our SCTP keep and count."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tincan.link.sctp import (
    MAX_MISORDERED,
    MAX_PIECES,
    MAX_STREAMS,
    MAX_UNFINISHED,
    Hostile,
    check_acknowledgement,
    check_unfinished,
)

QUIET = {"pieces": 0, "misordered": 0, "window": 0, "streams": 1}
BOUNDS = [
    {"pieces": MAX_PIECES},
    {"pieces": MAX_MISORDERED + MAX_PIECES, "misordered": MAX_MISORDERED},
    {"window": -MAX_UNFINISHED},
    {"streams": MAX_STREAMS},
]


@pytest.mark.parametrize("kept", BOUNDS)
def test_up_to_a_bound_anything_is_kept(kept: dict[str, int]) -> None:
    check_unfinished(**{**QUIET, **kept})


@pytest.mark.parametrize("kept", BOUNDS)
def test_beyond_a_bound_the_peer_is_hostile(kept: dict[str, int]) -> None:
    beyond = {name: value - 1 if name == "window" else value + 1 for name, value in kept.items()}
    if "misordered" in beyond:
        beyond["pieces"] += 1  # those that are misordered are no pieces of the message that is not complete
    with pytest.raises(Hostile):
        check_unfinished(**{**QUIET, **beyond})


@pytest.mark.parametrize(
    ("last_sent", "cumulative", "gaps"),
    [
        (10, 10, []),  # everything
        (10, 4, []),
        (10, 4, [(2, 3), (5, 6)]),
        (10, 4, [(1, 6)]),
        (3, 2**32 - 2, [(2, 5)]),  # the number has begun anew
        (-1, 2**32 - 1, []),  # nothing was sent yet, and the first number is 0
        (10, 4, [(3, 2)]),  # nonsense that acknowledges nothing
    ],
)
def test_acknowledgements_of_what_was_sent(last_sent: int, cumulative: int, gaps: Sequence[tuple[int, int]]) -> None:
    check_acknowledgement(last_sent=last_sent, cumulative=cumulative, gaps=gaps)


@pytest.mark.parametrize(
    ("last_sent", "cumulative", "gaps"),
    [
        (10, 11, []),
        (10, 10, [(1, 1)]),
        (10, 4, [(1, 7)]),
        (10, 4, [(1, 3), (1, 3), (1, 1)]),  # the same ones again and again
        (10, 10, [(1, 65535)] * 300),
        (2**32 - 1, 5, []),
    ],
)
def test_acknowledgements_of_nothing(last_sent: int, cumulative: int, gaps: Sequence[tuple[int, int]]) -> None:
    with pytest.raises(Hostile):
        check_acknowledgement(last_sent=last_sent, cumulative=cumulative, gaps=gaps)
