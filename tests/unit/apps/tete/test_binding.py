"""What binds a proof to a connection, and how its messages are framed."""

from __future__ import annotations

import pytest

from tincan.apps.tete.binding import HEAD, MAX_MESSAGE, bound_keys, framed, length_in
from tincan.errors import ProtocolError
from tincan.meet.phrase import StringKeys

KEYS = StringKeys("0123456789ab", b"password")


def test_keys_are_good_for_one_certificate() -> None:
    first, second = bound_keys(KEYS, b"one"), bound_keys(KEYS, b"two")
    assert first == bound_keys(KEYS, b"one")
    assert first.code != second.code
    assert first.password == second.password == KEYS.password


def test_a_message_comes_out_as_it_went_in() -> None:
    for message in (b"x", bytes(MAX_MESSAGE)):
        sent = framed(message)
        assert length_in(sent[:HEAD]) == len(message)
        assert sent[HEAD:] == message


@pytest.mark.parametrize("head", [b"\x00\x00", b"\x04\x01", b"\xff\xff", b"GE"])
def test_lengths_that_no_message_has(head: bytes) -> None:
    with pytest.raises(ProtocolError):
        length_in(head)
