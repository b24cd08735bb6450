from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tincan.cli.xmpp import account, rooms_of
from tincan.errors import UsageError
from tincan.vpn.ipop.party import XmppLine

OPTIONS = ("xmpp", "xmpp_password_file", "xmpp_host", "xmpp_rooms", "xmpp_ca")


def made(**options: Any) -> Any:
    return account(**{name: options.get(name) for name in OPTIONS})


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIN_CAN_XMPP_PASSWORD", "secret")


def test_none_without_an_account() -> None:
    assert made() is None
    assert rooms_of(None) == ()
    with pytest.raises(UsageError, match="go with --xmpp"):
        made(xmpp_host="xmpp.test")


@pytest.mark.parametrize(
    ("host", "found"),
    [
        (None, ("can.test", 5222)),
        ("xmpp.test", ("xmpp.test", 5222)),
        ("xmpp.test:5223", ("xmpp.test", 5223)),
        ("192.0.2.1", ("192.0.2.1", 5222)),
        ("2001:db8::1", ("2001:db8::1", 5222)),
        ("[2001:db8::1]", ("2001:db8::1", 5222)),
        ("[2001:db8::1]:5223", ("2001:db8::1", 5223)),
    ],
)
def test_where_the_server_is(host: str | None, found: tuple[str, int]) -> None:
    one = made(xmpp="alice@can.test", xmpp_host=host)
    assert (one.user, one.password, one.rooms) == ("alice@can.test", "secret", "conference.can.test")
    assert (one.host, one.port) == found
    assert "secret" not in repr(one)
    [make] = rooms_of(one)
    line = make(lambda event: None)
    assert isinstance(line, XmppLine)
    assert line.name == "xmpp:can.test"


@pytest.mark.parametrize("account", ["alice", "@can.test", "alice@"])
def test_wrong_accounts(account: str) -> None:
    with pytest.raises(UsageError, match="USER@DOMAIN"):
        made(xmpp=account)


@pytest.mark.parametrize("host", ["xmpp.test:0", "xmpp.test:x", "xmpp.test:65536", "[::1]:"])
def test_wrong_ports(host: str) -> None:
    with pytest.raises(UsageError, match="port"):
        made(xmpp="alice@can.test", xmpp_host=host)


def test_passwords(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    file.write_text("from a file\nmore\n")
    one = made(xmpp="alice@can.test", xmpp_password_file=str(file), xmpp_rooms="rooms.can.test")
    assert (one.password, one.rooms) == ("from a file", "rooms.can.test")
    file.write_text("")
    with pytest.raises(UsageError, match="No password can be read"):
        made(xmpp="alice@can.test", xmpp_password_file=str(file))
    monkeypatch.delenv("TIN_CAN_XMPP_PASSWORD")
    with pytest.raises(UsageError, match="needs a password"):
        made(xmpp="alice@can.test")


def test_authorities_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        made(xmpp="alice@can.test", xmpp_ca=str(tmp_path / "none"))
