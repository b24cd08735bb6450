"""The test vectors of draft-irtf-cfrg-cpace against the package that we use, and against the text once more."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path

import pytest
from cpace import CPace, CPaceError, CPaceRole
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from unit.meet import reference

_FILE = json.loads((Path(__file__).parent / "fixtures" / "cpace.json").read_text())
RUN = {name: bytes.fromhex(value) for name, value in _FILE["run"].items() if isinstance(value, str)}
POINTS = _FILE["points"]
ABORT = [bytes.fromhex(POINTS["u"][n]) for n in POINTS["abort"]]


def seeded(role: CPaceRole) -> CPace:
    """One side of the draft's run."""
    scalar, share, ad = ("ya", "Ya", "ADa") if role is CPaceRole.INITIATOR else ("yb", "Yb", "ADb")
    return CPace(role=role, sid=RUN["sid"], ad=RUN[ad], scalar=RUN[scalar], public_share=RUN[share])


def started(role: CPaceRole) -> CPace:
    """One side of a run with the draft's password, but our own random scalar, as the handshake starts it."""
    ad = RUN["ADa"] if role is CPaceRole.INITIATOR else RUN["ADb"]
    return CPace.start(role=role, prs=RUN["PRS"], sid=RUN["sid"], ci=RUN["CI"], ad=ad)


# -- the vectors against the text: no typo can hide ------------------------------------------


def test_the_generator_follows_from_the_inputs() -> None:
    string = reference.generator_string(RUN["PRS"], RUN["CI"], RUN["sid"])
    assert string == RUN["generator_string"]
    assert string.count(b"\0") == _FILE["run"]["ZPAD_length"]
    digest = hashlib.sha512(string).digest()[:32]
    assert digest == RUN["hash_of_generator_string"]
    assert reference.field_element(digest) == RUN["field_element"]
    assert reference.elligator2(RUN["field_element"]) == RUN["g"]


def test_the_shares_and_the_secret_point_follow() -> None:
    assert reference.x25519(RUN["ya"], RUN["g"]) == RUN["Ya"]
    assert reference.x25519(RUN["yb"], RUN["g"]) == RUN["Yb"]
    assert reference.x25519(RUN["ya"], RUN["Yb"]) == RUN["K"]
    assert reference.x25519(RUN["yb"], RUN["Ya"]) == RUN["K"]


def test_the_session_key_and_the_session_id_follow() -> None:
    what = reference.transcript(RUN["Ya"], RUN["ADa"], RUN["Yb"], RUN["ADb"])
    assert reference.isk(RUN["sid"], RUN["K"], what) == RUN["ISK_IR"]
    assert hashlib.sha512(b"CPaceSidOutput" + what).digest() == RUN["sid_output_ir"]


@pytest.mark.parametrize("number", range(12))
def test_the_results_of_the_points_follow(number: int) -> None:
    result = reference.x25519(bytes.fromhex(POINTS["s"]), bytes.fromhex(POINTS["u"][number]))
    assert result.hex() == POINTS["q"][number]
    assert (result == bytes(32)) == (number in POINTS["abort"])


def test_the_slow_ladder_is_x25519() -> None:
    for _ in range(5):
        scalar, other = secrets.token_bytes(32), X25519PrivateKey.generate().public_key().public_bytes_raw()
        fast = X25519PrivateKey.from_private_bytes(scalar).exchange(X25519PublicKey.from_public_bytes(other))
        assert reference.x25519(scalar, other) == fast


# -- the package against the vectors ---------------------------------------------------------


def test_the_run_of_the_draft() -> None:
    initiator, responder = seeded(CPaceRole.INITIATOR), seeded(CPaceRole.RESPONDER)
    initiator.derive(RUN["Yb"], RUN["ADb"])
    responder.derive(RUN["Ya"], RUN["ADa"])
    for side in initiator, responder:
        assert side.isk == RUN["ISK_IR"]
        assert side.sid_output == RUN["sid_output_ir"]


def test_the_confirmation_tags_of_the_run() -> None:
    initiator, responder = seeded(CPaceRole.INITIATOR), seeded(CPaceRole.RESPONDER)
    initiator.derive(RUN["Yb"], RUN["ADb"])
    responder.derive(RUN["Ya"], RUN["ADa"])
    assert initiator.tag() == reference.tag(RUN["sid"], RUN["ISK_IR"], RUN["Ya"], RUN["ADa"])
    assert responder.tag() == reference.tag(RUN["sid"], RUN["ISK_IR"], RUN["Yb"], RUN["ADb"])
    assert initiator.verify(responder.tag())
    assert responder.verify(initiator.tag())
    assert not initiator.verify(initiator.tag())


@pytest.mark.parametrize("role", CPaceRole)
def test_a_side_that_is_started_takes_the_generator_of_the_draft(role: CPaceRole) -> None:
    """Its scalar is its own, so what shows is that it agrees with the draft's other side."""
    ours, theirs = started(role), seeded(next(r for r in CPaceRole if r is not role))
    share, ad = (RUN["Yb"], RUN["ADb"]) if role is CPaceRole.INITIATOR else (RUN["Ya"], RUN["ADa"])
    our_ad = RUN["ADa"] if role is CPaceRole.INITIATOR else RUN["ADb"]
    ours.derive(share, ad)
    theirs.derive(ours.public_share, our_ad)
    assert ours.isk == theirs.isk
    assert ours.verify(theirs.tag())
    assert theirs.verify(ours.tag())


def test_two_runs_never_take_the_same_scalar() -> None:
    assert len({started(CPaceRole.INITIATOR).public_share for _ in range(20)}) == 20


@pytest.mark.parametrize("role", CPaceRole)
@pytest.mark.parametrize("point", ABORT, ids=bytes.hex)
def test_points_that_must_abort(role: CPaceRole, point: bytes) -> None:
    for side in started(role), seeded(role):
        with pytest.raises(CPaceError):
            side.derive(point)


@pytest.mark.parametrize("number", sorted(set(range(12)) - set(POINTS["abort"])))
def test_points_that_must_not_abort(number: int) -> None:
    """They are weak only to who forgets that the top bit is no part of the coordinate."""
    side = CPace(role=CPaceRole.INITIATOR, sid=b"", ad=b"", scalar=bytes.fromhex(POINTS["s"]), public_share=RUN["Ya"])
    point = bytes.fromhex(POINTS["u"][number])
    side.derive(point)
    expected = reference.isk(
        b"", bytes.fromhex(POINTS["q"][number]), reference.transcript(RUN["Ya"], b"", point, b"")
    )
    assert side.isk == expected
