"""What tete may be asked, and who is the client in TLS."""

from __future__ import annotations

import ipaddress

import pytest

from tincan.apps.tete.settings import TeteSettings, as_bytes, read_settings, usage
from tincan.errors import UsageError

BOTH = "-myip 192.0.2.1 -peerip 198.51.100.2"


def test_the_least_that_is_needed() -> None:
    settings = read_settings(BOTH.split())
    assert settings == TeteSettings(ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("198.51.100.2"))
    assert (settings.lport, settings.rport, settings.keepalive, settings.verbose) == (54312, 54312, False, False)
    assert (settings.phrase, settings.phrase_file) == (None, None)


def test_everything() -> None:
    settings = read_settings(
        ["--myip=2001:db8::1", "-peerip", "2001:db8::2", "-lport", "1", "-rport=65535", "-k", "-v"]
    )
    assert settings is not None
    assert (settings.lport, settings.rport, settings.keepalive, settings.verbose) == (1, 65535, True, True)


def test_a_phrase_does_not_show_where_settings_are_shown() -> None:
    settings = read_settings([*BOTH.split(), "--phrase", "very secret", "-phrase-file=x"])
    assert settings is not None
    assert (settings.phrase, settings.phrase_file) == ("very secret", "x")
    assert "very secret" not in repr(settings)


@pytest.mark.parametrize("line", ["-h", "-help", "--help", "-myip nonsense -h", "-lport 70000 -h=true"])
def test_the_list_of_options_is_asked_for(line: str) -> None:
    assert read_settings(line.split()) is None
    assert usage().startswith("Usage of tete:\n  -h\t")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "-myip"),
        ("-myip 192.0.2.1", "-peerip"),
        ("192.0.2.1 198.51.100.2", "-myip"),
        ("-myip 192.0.2.1 -peerip 192.0.2.1", "the same address"),
        ("-myip 192.0.2.1 -peerip ::ffff:192.0.2.1", "the same address"),
        ("-myip 2001:db8::1 -peerip 2001:DB8:0::1", "the same address"),
        ("-myip 192.0.2.1 -peerip 2001:db8::1", "both be IPv4 or both be IPv6"),
        ("-myip 192.0.2 -peerip 192.0.2.1", "-myip names is no"),
        ("-myip 192.0.2.1 -peerip example.org", "-peerip names is no"),
        ("-myip 192.0.2.1 -peerip 192.0.2.01", "-peerip names is no"),
        ("-myip fe80::1%eth0 -peerip fe80::2", "-myip names is no"),
        ("-myip 0.0.0.0 -peerip 192.0.2.1", "not the address of one"),
        ("-myip 192.0.2.1 -peerip 224.0.0.1", "not the address of one"),
        (f"{BOTH} -lport 0", "-lport must be"),
        (f"{BOTH} -lport -1", "-lport must be"),
        (f"{BOTH} -rport 65536", "-rport must be"),
    ],
)
def test_what_cannot_be_meant_is_one_sentence(line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        read_settings(line.split())
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("1.2.3.4", "5.6.7.8"),
        ("9.0.0.1", "10.0.0.1"),  # by bytes, not by text
        ("10.0.0.9", "10.0.0.10"),
        ("127.255.255.255", "128.0.0.0"),
        ("1.2.3.4", "::ffff:1.2.3.5"),
        ("::ffff:1.2.3.4", "1.2.3.5"),
        ("2001:db8::9", "2001:db8::10"),
        ("2001:db8::ffff", "2001:db9::"),
    ],
)
def test_the_greater_address_is_the_client(server: str, client: str) -> None:
    for mine, peer, expected in ((server, client, False), (client, server, True)):
        settings = read_settings(["-myip", mine, "-peerip", peer])
        assert settings is not None
        assert settings.client is expected


def test_addresses_have_sixteen_bytes_to_be_compared() -> None:
    assert as_bytes(ipaddress.ip_address("1.2.3.4")) == as_bytes(ipaddress.ip_address("::ffff:1.2.3.4"))
    assert len(as_bytes(ipaddress.ip_address("1.2.3.4"))) == 16
