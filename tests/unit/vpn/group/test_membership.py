"""Bans and secrets: members as twins in time of the test's own, and those who do not keep to the rules."""

from __future__ import annotations

import random

import msgspec
import pytest

from tincan.vpn.group.certificate import VALIDITY, Certificate, Statement, commitment_of, sign
from tincan.vpn.group.membership import Left, MemberLeft, Odd, Rotate, WeHaveRunOut, payload_of
from tincan.vpn.group.state import KEPT_EPOCHS, GroupState, Known
from tincan.vpn.party.keys import Keys
from tincan.vpn.party.messages import Bye, Hello
from tincan.vpn.party.seal import Letters
from unit.vpn.group.groups import NOW, Table, admin_state, invited


def everybody_knows(table: Table, *names: str) -> bool:
    return all(table.seats[name].peers() == set(names) - {name} for name in names)


def test_members_learn_of_each_other_by_their_certificates() -> None:
    table = Table("bob", "carol")
    assert table.seats["carol"].peers() == {"alice"}, "whom the invitation came from"
    table.run(1)
    assert everybody_knows(table, "alice", "bob", "carol")
    assert all(seat.passed for seat in table.seats.values())


@pytest.mark.parametrize("seed", range(8))
def test_a_ban_reaches_everybody_over_a_line_that_loses_letters(seed: int) -> None:
    table = Table("bob", "carol", "dave", seed=seed, loss=0.4)
    table.run(60)
    assert everybody_knows(table, "alice", "bob", "carol", "dave")
    table.ban("bob")
    assert table.seats["alice"].peers() == {"carol", "dave"}
    table.run(60)
    assert everybody_knows(table, "alice", "carol", "dave")
    assert table.seats["bob"].banned
    secrets = {table.seats[name].core.state.secrets[2] for name in ("alice", "carol", "dave")}
    assert len(secrets) == 1
    assert 2 not in table.seats["bob"].core.state.secrets


def test_a_banned_member_reads_nothing_and_nobody_hears_it() -> None:
    table = Table("bob", "carol")
    table.run(5)
    bob, carol = table.seats["bob"], table.seats["carol"]
    table.ban("bob")
    table.run(10)
    before = len(table.seen)
    carol_heard = len(carol.passed)
    # Bob's program pays no attention to the ban.
    for payload in (Hello(bob.session, True, 30.0, bob.core.card()), Bye(bob.session)):
        table.post(bob, *bob.letters.seal("1", payload_of(payload), table.now))
    table.hello(table.seats["alice"])
    table.run(3)
    new = table.seen[before:]
    assert new
    uid = table.states["bob"].certificate().uid
    assert all(passed_uid != uid for passed_uid, _ in carol.passed[carol_heard:])
    assert [bob.letters.open(topic, message, table.now) for _, _, topic, message in table.under_way] == []
    opened = [
        letter
        for message in new
        for topic in bob.letters.topics(table.now)
        if (letter := bob.letters.open(topic, message, table.now))
    ]
    for letter in opened:  # the answer to his hello on the old circle: why nobody answers, and no secret
        rotate = msgspec.msgpack.decode(letter.payload, type=Rotate)
        assert rotate.secret == b""


def test_one_who_was_away_for_several_bans_is_told_by_any_member() -> None:
    table = Table("bob", "carol", "dave", "erin")
    table.run(3)
    del table.seats["carol"]
    table.ban("bob")
    table.run(3)
    table.ban("dave")
    table.run(3)
    del table.seats["alice"]  # the admin is not needed for it
    carol = table.sit("carol")
    assert carol.core.circle == "1"
    table.run(8)
    assert carol.core.circle == "3"
    assert carol.peers() == {"erin", "alice"}
    assert table.seats["erin"].peers() == {"carol", "alice"}


def test_who_was_banned_while_away_is_told_and_gets_no_secret() -> None:
    table = Table("bob", "carol")
    table.run(3)
    del table.seats["bob"]
    table.ban("bob")
    table.run(3)
    bob = table.sit("bob")
    table.run(8)
    assert bob.banned
    assert bob.core.state.secrets.keys() == {1}
    assert table.seats["carol"].peers() == {"alice"}


def test_who_leaves_makes_room_as_soon_as_the_admin_hears_of_it() -> None:
    table = Table("bob", "carol")
    table.run(3)
    bob = table.seats["bob"]
    bob.core.leave()
    table.do(bob)
    table.run(1)
    uid = table.states["bob"].certificate().uid
    for name in ("alice", "carol"):
        assert MemberLeft(uid, "bob") in table.seats[name].others


def test_secrets_of_long_ago_are_forgotten() -> None:
    chance = random.Random(1)
    admin = admin_state(chance)
    for n in range(KEPT_EPOCHS + 3):
        state = invited(admin, f"m{n}", chance)
        admin.ban(state.certificate().name, chance.randbytes)
    assert len(admin.secrets) == KEPT_EPOCHS
    assert max(admin.secrets) == admin.holds().epoch == KEPT_EPOCHS + 4


def test_who_ran_out_is_forgotten_though_nobody_says_anything() -> None:
    table = Table()
    late = NOW - VALIDITY + 20
    bob = invited(table.states["alice"], "bob", table.chance, late)
    table.seats["alice"].core.reload(table.states["alice"], NOW)
    seat = table.sit("bob", bob)
    table.run(10)
    assert everybody_knows(table, "alice", "bob")
    alice = table.seats["alice"]
    assert alice.core.next_deadline() == bob.certificate().expires
    del table.seats["bob"]
    table.run(15)
    assert alice.peers() == set()
    assert seat.others == []
    seat.core.tick(table.now)
    assert WeHaveRunOut() in seat.core.effects()
    assert alice.core.next_deadline() == alice.core.state.certificate().expires


# -- those who do not keep to the rules ---------------------------------------------


def from_stranger(table: Table, card: bytes, keys: Keys) -> Letters:
    """Somebody who knows the secret says hello with a card."""
    letters = Letters(keys, table.chance.randbytes)
    letters.set_circles({"1": table.states["alice"].secrets[1]})
    table.post(None, *letters.seal("1", payload_of(Hello(bytes(8), True, 30.0, card)), table.now))
    return letters


def forgeries(table: Table, keys: Keys) -> dict[str, bytes]:
    admin = table.states["alice"]
    own = admin.certificate()
    other_group = admin_state(random.Random(99))
    assert other_group.group_seed is not None
    wrong_key = Keys(other_group.group_seed, bytes(32)).signer
    assert admin.group_seed is not None
    right_key = Keys(admin.group_seed, bytes(32)).signer
    mine = msgspec.structs.replace(
        own, serial=77, name="mallory", sign=keys.public.sign, box=keys.public.box, admin=False
    )
    good = msgspec.structs.replace(mine, ip4=str(own.address4.ip + 40) + "/22")
    raw = sign(good, right_key)
    statement = sign(admin.holds(), right_key)
    return {
        "none": b"",
        "junk": b"\xff" * 100,
        "signed by somebody else": sign(good, wrong_key),
        "of another group": sign(msgspec.structs.replace(good, group=other_group.group), wrong_key),
        "another's": admin.card,
        "changed": raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
        "a statement in its place": statement,
        "run out": sign(msgspec.structs.replace(good, expires=int(NOW) - 1), right_key),
        "of the future": sign(msgspec.structs.replace(good, issued=int(NOW) + 900_000), right_key),
        "the admin's address": sign(msgspec.structs.replace(good, ip4=own.ip4), right_key),
        "the admin's name": sign(msgspec.structs.replace(good, name=own.name), right_key),
        "an address from elsewhere": sign(msgspec.structs.replace(good, ip4="192.0.2.1/22"), right_key),
        "the network's own address": sign(
            msgspec.structs.replace(good, ip4=f"{own.address4.network.network_address}/22"), right_key
        ),
        "another subnet": sign(msgspec.structs.replace(good, ip4=str(own.address4.ip + 40) + "/8"), right_key),
        "no name": sign(msgspec.structs.replace(good, name="evil.name"), right_key),
    }


KINDS = list(forgeries(Table(), Keys(bytes(32), bytes(32))))


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_that_are_not_good(kind: str) -> None:
    table = Table("bob")
    table.run(1)
    mallory = Keys(b"m" * 32, b"m" * 32)
    from_stranger(table, forgeries(table, mallory)[kind], mallory)
    table.run(1)
    assert everybody_knows(table, "alice", "bob")


def test_the_good_one_of_these_would_be_taken() -> None:
    """Shows that the forgeries fail for the reason they are made for."""
    table = Table("bob")
    admin = table.states["alice"]
    state = invited(admin, "mallory", table.chance)
    from_stranger(table, state.card, state.keys)
    table.run(1)
    assert everybody_knows(table, "alice", "bob") is False
    assert table.seats["bob"].peers() == {"alice", "mallory"}


def test_oddities_are_told_once() -> None:
    table = Table("bob")
    mallory = Keys(b"m" * 32, b"m" * 32)
    for _ in range(20):
        from_stranger(table, b"junk", mallory)
        table.run(0.2)
    assert len([effect for effect in table.seats["bob"].others if isinstance(effect, Odd)]) == 1


@pytest.mark.parametrize("kind", ["old", "another secret", "another group's", "in public", "junk"])
def test_statements_that_are_not_good(kind: str) -> None:
    table = Table("bob", "carol")
    table.run(1)
    admin, carol = table.states["alice"], table.seats["carol"]
    assert admin.group_seed is not None
    key = Keys(admin.group_seed, bytes(32)).signer
    secret = b"s" * 32
    newer = msgspec.structs.replace(admin.holds(), epoch=2, commitment=commitment_of(secret))
    to = table.seats["bob"].letters.public
    rotate = Rotate(sign(newer, key), secret)
    match kind:
        case "old":
            rotate = Rotate(admin.statement, admin.secrets[1])
        case "another secret":
            rotate = Rotate(sign(newer, key), b"x" * 32)
        case "another group's":
            rotate = Rotate(sign(newer, Keys(b"g" * 32, bytes(32)).signer), secret)
        case "junk":
            rotate = Rotate(b"\xff" * 200, secret)
    recipient = None if kind == "in public" else to
    table.post(carol, *carol.letters.seal("1", msgspec.msgpack.encode(rotate), table.now, recipient))
    table.run(1)
    assert table.seats["bob"].core.circle == "1"


def test_a_switchboard_that_repeats_reorders_and_invents() -> None:
    table = Table("bob", "carol", loss=0.2)
    for _ in range(40):
        table.run(1)
        topics = sorted(table.seats["bob"].letters.topics(table.now))
        for message in table.chance.sample(table.seen, min(20, len(table.seen))):
            changed = bytearray(message)
            if table.chance.random() < 0.5:
                changed[table.chance.randrange(len(changed))] ^= 1
            table.post(None, table.chance.choice(topics), bytes(changed))
    assert everybody_knows(table, "alice", "bob", "carol")
    assert not any(seat.rotations or seat.banned for seat in table.seats.values())
    table.ban("bob")
    table.run(60)
    assert everybody_knows(table, "alice", "carol")


def test_what_two_processes_have_learnt_is_put_together() -> None:
    """`net up` and `net invite` or `net ban` of one machine."""
    chance = random.Random(4)
    admin = admin_state(chance)
    bob = invited(admin, "bob", chance)
    running = msgspec.json.decode(msgspec.json.encode(admin), type=GroupState)
    running.members[bob.certificate().uid].seen = 5
    carol = invited(admin, "carol", chance)
    admin.merge(running)
    assert admin.members.keys() == {s.certificate().uid for s in (admin, bob, carol)}
    assert admin.members[bob.certificate().uid].seen == 5
    running.ban("bob", chance.randbytes)
    admin.merge(running)
    assert admin.holds() == running.holds()
    assert {c.name for c in admin.certificates().values()} == {"alice", "carol"}
    assert admin.secrets.keys() == {1, 2}
    running.members["x"] = Known(bob.card)
    assert isinstance(running.holds(), Statement)
    assert isinstance(carol.certificate(), Certificate)
    assert Left() == Left()
