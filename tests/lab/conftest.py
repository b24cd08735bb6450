"""Fixtures of the laboratory."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from lab import netlab


@pytest.fixture
def lab() -> Iterator[netlab.Lab]:
    """Give a laboratory of the test's own."""
    if not netlab.root_available():
        pytest.skip("the network laboratory needs Linux, root, ip and nft")
    with netlab.Lab() as made:
        yield made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what the programs of a failed test wrote."""
    report = yield
    for value in getattr(item, "funcargs", {}).values():
        made = getattr(value, "lab", value)  # a fixture of a module's own may hold one
        if report.failed and isinstance(made, netlab.Lab) and made.processes:
            report.sections.append(("programs in the laboratory", made.report()))
    return report
