"""docs/net.md says what the code does, where that can be compared."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from tincan.vpn.group import certificate, join, membership
from tincan.vpn.group.events import MemberStatus, NetworkStatus
from tincan.vpn.party import messages, peer, replay, seal, states

TEXT = (Path(__file__).parents[4] / "docs" / "net.md").read_text("utf-8")
PROTOCOL = (Path(__file__).parents[4] / "docs" / "protocol.md").read_text("utf-8")


def test_every_letter_and_frame_is_described() -> None:
    letters = [*get_args(messages.Message), membership.Rotate, membership.Left]
    for kind in [*letters, *get_args(join.Frame)]:
        name = kind.__struct_config__.tag
        [row] = [line for line in TEXT.splitlines() if line.startswith("|") and f"| `{name}` |" in line]
        for field in kind.__struct_fields__:
            if field != "session":
                assert f"`{field}`" in row, (name, field)


def test_states_labels_and_numbers_are_those_of_the_code() -> None:
    for state in states.PeerState:
        assert f"`{state.value}`" in TEXT
    for label in (
        *certificate._LABELS.values(),  # what is signed is part of the protocol
        b"tin-can/1 group secret",
        b"tin-can/1 group prefix",
        b"tin-can/1 group interface",
        b"tin-can/1 group join",
        b"tin-can/1 party letter",
        b"tin-can/1 party topic",
        b"tin-can/1 party key",
        b"tin-can/1 uid",
    ):
        assert f"`{label.decode()}`" in TEXT, label
    policy = states.Policy()
    for words in (
        f"More than {policy.on_demand_above} members".lower(),
        f"refuses what was written more than {replay.WINDOW:.0f} s ago",
        f"comes within {peer.CALL_AFTER:.0f} s",
        f"not online after {policy.patience:.0f} s",
        f"and every {policy.hello_every:.0f} s",
        f"{seal.SMALLEST} x 2^n",
    ):
        assert words in TEXT.lower().replace("\n", " "), words


def test_what_programs_read_is_described() -> None:
    for kind in (MemberStatus, NetworkStatus):
        for field in kind.__struct_fields__:
            assert field in TEXT


def test_the_places_are_described() -> None:
    from tincan.switchboard.limits import RateLimits
    from tincan.switchboard.party import PartyLimits
    from tincan.vpn.party import fragments, lan

    limits, rates = PartyLimits(), RateLimits()
    for words in (
        lan.GROUP4,
        lan.GROUP6,
        str(lan.PORT),
        f"{limits.topics_per_address:,} an address",
        f"{limits.members:,} connections a topic",
        f"{limits.topics:,} memberships",
        f"{fragments.CHUNK:,} bytes",
        fragments.MAGIC.decode(),
    ):
        assert words in PROTOCOL, words
    assert rates.party_bytes_per_second == 2**20
    assert rates.party_bytes_burst == 16 * 2**20
