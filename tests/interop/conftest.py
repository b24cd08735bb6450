"""Fixtures of the tests with other clients."""

from __future__ import annotations

from lab.conftest import lab, pytest_runtest_makereport

__all__ = ["lab", "pytest_runtest_makereport"]
