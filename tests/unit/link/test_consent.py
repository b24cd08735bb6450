"""Whether the peer is taken for dead, in virtual time."""

from __future__ import annotations

import pytest

from tincan.link.consent import CONSENT_INTERVAL, MISSED, SILENCE_LIMIT, Consent

LATE = SILENCE_LIMIT - CONSENT_INTERVAL + 0.01


def beginning() -> Consent:
    consent = Consent()
    consent.heard(100.0)
    return consent


def test_silence_alone_is_no_death() -> None:
    """Whoever slept has asked nothing, so nobody can have been silent."""
    assert not beginning().is_lost(100.0 + 3600)


def test_silence_and_questions_without_answer_are() -> None:
    consent = beginning()
    for _ in range(MISSED):
        assert not consent.is_lost(100.0 + LATE)
        consent.unanswered()
    assert not consent.is_lost(100.0 + SILENCE_LIMIT - CONSENT_INTERVAL)
    assert consent.is_lost(100.0 + LATE)


def test_any_sign_of_life_counts() -> None:
    consent = beginning()
    for _ in range(MISSED):
        consent.unanswered()
    consent.heard(100.0 + LATE)
    assert not consent.is_lost(100.0 + LATE)
    assert consent.is_lost(100.0 + 2 * LATE)


def test_an_answer_begins_the_count_anew() -> None:
    consent = beginning()
    for _ in range(MISSED):
        consent.unanswered()
    consent.answered(102.0, 102.5)
    for _ in range(MISSED - 1):
        consent.unanswered()
    assert not consent.is_lost(102.5 + LATE)


def test_the_round_trip_is_smoothed() -> None:
    consent = beginning()
    assert consent.round_trip is None
    consent.answered(100.0, 100.4)
    assert consent.round_trip == pytest.approx(0.4)
    consent.answered(101.0, 101.8)
    assert consent.round_trip == pytest.approx(0.75 * 0.4 + 0.25 * 0.8)
