"""TURN logins and the operator's counts."""

from __future__ import annotations

from tincan.switchboard.frames import ErrorCode
from tincan.switchboard.metrics import Metrics
from tincan.switchboard.turn import turn_login


def test_turn_login() -> None:
    # printf 1700003600:tin-can | openssl dgst -sha1 -hmac north -binary | base64
    assert turn_login("north", now=1_700_000_000, ttl=3600) == (
        "1700003600:tin-can",
        "W/I58VNkp+aiOZ3rI0rB3p+4faQ=",
    )


def test_metrics_are_prometheus_text() -> None:
    metrics = Metrics(connections=2, mailboxes=1, opened=3, messages=4, bytes=500)
    metrics.error(ErrorCode.RATE)
    metrics.error(ErrorCode.BUSY)
    metrics.error(ErrorCode.BUSY)
    lines = metrics.render().splitlines()
    assert metrics.render().endswith("\n")
    for line in (
        "# TYPE tincan_switchboard_connections gauge",
        "tincan_switchboard_connections 2",
        "tincan_switchboard_mailboxes_open 1",
        "# TYPE tincan_switchboard_opened_total counter",
        "tincan_switchboard_opened_total 3",
        "tincan_switchboard_messages_total 4",
        "tincan_switchboard_message_bytes_total 500",
        "tincan_switchboard_rate_limited_total 1",
        'tincan_switchboard_errors_total{code="busy"} 2',
        'tincan_switchboard_errors_total{code="too-large"} 0',
    ):
        assert line in lines
    names = [line.split()[0] for line in lines if not line.startswith("#")]
    assert len(set(names)) == len(names)
