"""Certificates, addresses and names; the talk of joining; files."""

from __future__ import annotations

import asyncio
import random
import stat
import time
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import msgspec
import pytest

from tincan.errors import AuthenticationFailed, PeerRefused, ProtocolError, TinCanError, UsageError, WorldError
from tincan.link.memory import MemoryLink
from tincan.vpn.group import joining, store
from tincan.vpn.group.addresses import (
    MAX_LABEL,
    SHARED,
    default_subnet,
    free_label,
    ip6_of,
    is_label,
    next_address,
    read_subnet,
    ula,
)
from tincan.vpn.group.certificate import VALIDITY, sign
from tincan.vpn.group.interfaces import MAX_NAME, tap_of
from tincan.vpn.group.join import Inviter, Joiner, Refusal, Request, Thanks, Welcome, encode
from tincan.vpn.group.state import GroupState, Known
from tincan.vpn.party.keys import Keys, PublicKeys, is_box
from unit.vpn.group.groups import NOW, admin_state, invited


def test_members_get_addresses_and_names_that_nobody_has() -> None:
    chance = random.Random(1)
    admin = admin_state(chance, subnet=IPv4Network("10.9.0.0/28"))
    states = [invited(admin, "Bob's laptop", chance) for _ in range(13)]
    certificates = [admin.certificate(), *(state.certificate() for state in states)]
    assert len({c.address4.ip for c in certificates}) == len({c.name for c in certificates}) == 14
    assert len({c.address6.ip for c in certificates}) == len({c.serial for c in certificates}) == 14
    assert [c.name for c in certificates[:4]] == ["alice", "bob-s-laptop", "bob-s-laptop-2", "bob-s-laptop-3"]
    assert all(c.address4.network == IPv4Network("10.9.0.0/28") for c in certificates)
    with pytest.raises(WorldError, match="given out"):
        invited(admin, "one too many", chance)
    admin.ban("bob-s-laptop-2", chance.randbytes)
    assert invited(admin, "erin", chance).certificate().address4.ip == certificates[2].address4.ip


def test_only_the_admin_invites_and_bans() -> None:
    chance = random.Random(1)
    admin = admin_state(chance)
    bob = invited(admin, "bob", chance)
    with pytest.raises(PeerRefused, match="Only the admin of 'lan', alice,"):
        bob.admit(Keys(bytes(32), bytes(32)).public, "x", NOW)
    with pytest.raises(PeerRefused, match="alice"):
        bob.ban("alice", chance.randbytes)
    with pytest.raises(UsageError, match="Nobody"):
        admin.ban("x", chance.randbytes)
    with pytest.raises(UsageError, match="admin cannot be banned"):
        admin.ban("alice", chance.randbytes)
    assert bob.switchboards == ["wss://can.example"]


@pytest.mark.parametrize(
    "text", ["", "8.8.8.0/24", "10.0.0.0/30", "10.0.0.1/24", "fd00::/64", "x", "127.0.0.0/8", "224.0.0.0/8"]
)
def test_subnets_that_will_not_do(text: str) -> None:
    with pytest.raises(UsageError):
        read_subnet(text)


def test_subnets() -> None:
    assert read_subnet("192.168.7.0/24") == IPv4Network("192.168.7.0/24")
    free = default_subnet(b"k" * 32, [])
    assert free.subnet_of(SHARED)
    other = default_subnet(b"k" * 32, [free])
    assert other.subnet_of(SHARED)
    assert not other.overlaps(free)
    with pytest.raises(WorldError):
        default_subnet(b"k" * 32, [SHARED])
    assert next_address(free, {free[1], free[2]}) == IPv4Interface((free[3], 22))
    assert IPv4Address(0) not in free
    assert ula(b"k" * 32).prefixlen == 64
    assert ula(b"k" * 32)[0].packed[0] == 0xFD
    assert ip6_of(b"k" * 32, b"a" * 32).ip in ula(b"k" * 32)
    assert ip6_of(b"k" * 32, b"a" * 32) != ip6_of(b"k" * 32, b"b" * 32)


def test_labels() -> None:
    assert [free_label(text, ()) for text in ("Älice", "a b", "-x-", "日本", "..")] == [
        "alice",
        "a-b",
        "x",
        "member",
        "member",
    ]
    assert is_label("a-1")
    assert not any(is_label(text) for text in ("", "A", "a.b", "-a", "a-", "x" * 64, "a\n"))
    assert free_label("日本", {"member"}) == "member-2"
    long = free_label("x" * 100, {"x" * MAX_LABEL})
    assert len(long) <= MAX_LABEL
    assert is_label(long)


def test_of_two_with_one_address_the_newer_one_counts() -> None:
    """An admin whose file is restored from a backup gives an address a second time."""
    chance = random.Random(2)
    admin = admin_state(chance)
    backup = msgspec.json.decode(msgspec.json.encode(admin), type=GroupState)
    bob, carol = invited(admin, "bob", chance), invited(admin, "carol", chance)
    dave = invited(backup, "dave", chance)
    erin = invited(backup, "erin", chance)
    frank = invited(backup, "frank", chance)
    assert dave.certificate().address4 == bob.certificate().address4
    assert dave.certificate().serial == bob.certificate().serial
    carol.meet(bob.card, bob.certificate().sign, NOW)
    with pytest.raises(AuthenticationFailed, match="another has"):
        carol.meet(erin.card, erin.certificate().sign, NOW)
    newer = msgspec.structs.replace(frank.certificate(), ip4=bob.certificate().ip4)
    assert admin.group_seed is not None
    frank.card = sign(newer, Keys(admin.group_seed, bytes(32)).signer)
    carol.meet(frank.card, newer.sign, NOW)
    names = {certificate.name for certificate in carol.certificates().values()}
    assert names == {"alice", "carol", "frank"}
    with pytest.raises(AuthenticationFailed, match="another has"):
        carol.meet(bob.card, bob.certificate().sign, NOW)


@pytest.mark.parametrize(
    "box",
    [bytes(32), b"\1" + bytes(31), bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")],
)
def test_nobody_is_a_member_by_a_key_that_cannot_be_sealed_to(box: bytes) -> None:
    """Else every other member would fail on its first letter to it."""
    admin = admin_state(random.Random(2))
    with pytest.raises(ProtocolError, match="keys that are none"):
        admin.admit(PublicKeys(Keys(b"s" * 32, bytes(32)).public.sign, box), "eve", NOW)
    assert is_box(Keys(bytes(32), b"b" * 32).public.box)
    assert not is_box(b"short")


# -- joining ------------------------------------------------------------------------


def talk() -> tuple[GroupState, Inviter, Joiner, random.Random]:
    chance = random.Random(8)
    admin = admin_state(chance)
    return admin, Inviter(admin, (), chance.randbytes), Joiner("bob", chance.randbytes), chance


def never(keys: PublicKeys, wanted: str) -> tuple[bytes, GroupState]:
    raise AssertionError("nobody is to be admitted")


def test_keys_have_to_be_proven() -> None:
    _, inviter, joiner, _ = talk()
    joiner.invited(inviter.begin())
    request = msgspec.msgpack.decode(joiner.request(), type=Request)
    for changed in (
        msgspec.structs.replace(request, name="eve"),
        msgspec.structs.replace(request, box=bytes(32)),
        msgspec.structs.replace(request, sign=Keys(b"e" * 32, bytes(32)).public.sign),
        msgspec.structs.replace(request, proof=bytes(64)),
    ):
        with pytest.raises(AuthenticationFailed):
            inviter.receive(encode(changed), never)


def test_a_welcome_has_to_be_right() -> None:
    admin, inviter, joiner, chance = talk()
    joiner.invited(inviter.begin())
    frame = inviter.receive(joiner.request(), lambda keys, name: (admin.admit(keys, name, NOW), admin))
    assert frame is not None
    welcome = msgspec.msgpack.decode(frame, type=Welcome)
    other = admin_state(random.Random(1))
    for changed in (
        msgspec.structs.replace(welcome, card=admin.card),
        msgspec.structs.replace(welcome, card=other.card),
        msgspec.structs.replace(welcome, statement=other.statement),
        msgspec.structs.replace(welcome, admin=other.card),
        msgspec.structs.replace(welcome, secret=chance.randbytes(32)),
    ):
        with pytest.raises(AuthenticationFailed):
            joiner.welcomed(encode(changed), "lan", NOW)
    assert joiner.welcomed(frame, "lan", NOW).certificate().name == "bob"
    with pytest.raises(PeerRefused, match="already"):
        admin.admit(joiner.welcomed(frame, "lan", NOW).keys.public, "bob", NOW)


def test_frames_out_of_turn_and_of_others() -> None:
    _, inviter, joiner, chance = talk()
    for data in (b"", b"\xff", chance.randbytes(50), msgspec.msgpack.encode({"kind": "hello", "version": 1})):
        with pytest.raises(ProtocolError):
            joiner.invited(data)
        with pytest.raises(ProtocolError):
            inviter.receive(data, never)
    with pytest.raises(ProtocolError):
        inviter.receive(encode(Thanks()), never)
    with pytest.raises(ProtocolError):
        joiner.invited(encode(Thanks()))
    with pytest.raises(PeerRefused, match="said: no"):
        joiner.invited(encode(Refusal("no")))


def test_a_long_name_that_somebody_has_becomes_another_good_one() -> None:
    """Where it is cut may be anywhere, also in the middle of a word."""
    for length in range(40, MAX_LABEL + 1):
        wanted = "x" * length + "-" + "y" * 20
        assert is_label(free_label(wanted, {free_label(wanted, ())}))


def test_an_admin_who_restored_a_backup_gives_no_number_twice() -> None:
    chance = random.Random(1)
    admin = admin_state(chance)
    backup = msgspec.json.decode(msgspec.json.encode(admin), type=GroupState)
    bob = invited(admin, "bob", chance)
    carol = invited(admin, "carol", chance)
    admin.ban("carol", chance.randbytes)
    backup.adopt(admin.statement, admin.secrets[2])
    backup.meet(bob.card, bob.keys.public.sign, NOW)
    dave = invited(backup, "dave", chance)
    assert dave.certificate().serial > carol.certificate().serial > bob.certificate().serial
    assert dave.certificate().address4 not in (bob.certificate().address4, backup.certificate().address4)


def test_who_ran_out_and_is_invited_again_has_the_same_name_and_address() -> None:
    chance = random.Random(1)
    admin = admin_state(chance)
    bob = invited(admin, "bob", chance)
    again = invited(admin, "bob", chance, NOW + VALIDITY + 5)
    assert (again.certificate().name, again.certificate().ip4) == ("bob", bob.certificate().ip4)
    assert again.certificate().serial > bob.certificate().serial
    assert len(admin.members) == 2
    uid = bob.certificate().uid
    admin.members = {uid: Known(bob.card), **admin.members}  # as a network that was up meanwhile still knows it
    assert admin.ban("bob", chance.randbytes) == again.certificate()


# -- over a link ---------------------------------------------------------------------


async def test_joining_over_a_link(folder: Path) -> None:
    store.add(admin_state(random.Random(1)))
    async with asyncio.timeout(10):
        alice, bob = MemoryLink.pair()
        admitted, joined = await asyncio.gather(
            joining.invite(alice.control, "lan", ("wss://can.example",)),
            joining.join(bob.control, "bob", "here", ()),
        )
    assert joined.certificate() == admitted
    assert store.load("here").switchboards == ["wss://can.example"]


async def test_one_who_says_no_at_the_last_moment_is_told_to_be_on_the_list(folder: Path) -> None:
    """Its name and address must not be given to somebody else: it may have the certificate."""
    store.add(admin_state(random.Random(1)))
    async with asyncio.timeout(10):
        alice, bob = MemoryLink.pair()
        inviting = asyncio.create_task(joining.invite(alice.control, "lan", ()))
        joiner = Joiner("bob", random.Random(2).randbytes)
        joiner.invited(await bob.control.receive())
        await bob.control.send(joiner.request())
        await bob.control.receive()
        await bob.control.send(encode(Refusal("My disk is full.")))
        with pytest.raises(PeerRefused, match=r"My disk is full.*net ban bob"):
            await inviting
    assert {c.name for c in store.load("lan").certificates().values()} == {"alice", "bob"}


async def test_one_whose_thanks_are_lost_is_a_member(folder: Path) -> None:
    admin, inviter, _, _ = talk()
    async with asyncio.timeout(10):
        alice, bob = MemoryLink.pair()
        joining_it = asyncio.create_task(joining.join(bob.control, "bob", "here", ()))
        await alice.control.send(inviter.begin())
        request = await alice.control.receive()
        welcome = inviter.receive(request, lambda keys, name: (admin.admit(keys, name, time.time()), admin))
        assert welcome is not None
        await alice.control.send(welcome)
        await alice.close()
        assert (await joining_it).name == "here"
    assert store.names() == ["here"]


# -- on disk ------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return tmp_path / "tin-can" / "net"


def test_a_group_is_kept_for_its_owner_alone(folder: Path) -> None:
    state = admin_state(random.Random(1))
    store.add(state)
    assert msgspec.json.encode(store.load("lan")) == msgspec.json.encode(state)
    assert stat.S_IMODE((folder / "lan.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(UsageError, match="already"):
        store.add(state)
    with store.changing("lan") as changed:
        changed.switchboards.append("x")
    assert store.load("lan").switchboards == ["x"]
    with pytest.raises(ZeroDivisionError):
        half_a_change()
    assert store.load("lan").switchboards == ["x"], "half a change is none"
    assert store.only(None) == "lan"
    store.remove("lan")
    store.remove("lan")
    assert store.names() == []
    assert list(folder.iterdir()) == []


def half_a_change() -> None:
    with store.changing("lan") as changed:
        changed.switchboards.append("y")
        raise ZeroDivisionError


def test_what_is_wrong_is_said_in_a_sentence(folder: Path) -> None:
    for name in (None, "lan"):
        with pytest.raises(UsageError):
            store.only(name)
    for name in ("../x", "", "a.b"):
        with pytest.raises(UsageError):
            store.load(name)
    state = admin_state(random.Random(1))
    store.add(state)
    (folder / "lan.json").write_text("{}")
    with pytest.raises(TinCanError, match="damaged"):
        store.load("lan")
    (folder / "lan.json").chmod(0o644)
    with pytest.raises(UsageError, match="chmod"):
        store.load("lan")


def test_each_group_has_an_interface_of_its_own() -> None:
    assert tap_of("lan") == "can-lan"
    assert tap_of("elevenchars") == "can-elevenchars"
    names = ("production-east", "production-west", "production-e", "production", "x" * MAX_LABEL)
    assert len({tap_of(name) for name in names}) == len(names)
    assert all(len(tap_of(name)) <= MAX_NAME for name in names)


def test_a_file_that_has_another_name_is_called_by_it(folder: Path) -> None:
    store.add(admin_state(random.Random(1)))
    (folder / "lan.json").rename(folder / "home.json")
    assert store.load("home").name == "home"


def test_keys_of_another_length_are_damage(folder: Path) -> None:
    state = admin_state(random.Random(1))
    state.sign_seed = b"short"
    store.add(state)
    with pytest.raises(TinCanError, match="is damaged"):
        store.load("lan")
