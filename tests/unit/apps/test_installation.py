"""How an installation is recognised, and what would update it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from tincan.apps.installation import Facts, Kind, look, newest, plan

PIP_VENV = Facts(
    version="1.0",
    python="/venv/bin/python",
    prefix_files=frozenset(),
    in_environment=True,
    externally_managed=False,
    installer="pip",
    has_pip=True,
    direct_url=None,
)
EDITABLE = {"url": "file:///src/tin-can", "dir_info": {"editable": True}}
REPOSITORY = {"url": "https://example.org/can.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}


@pytest.mark.parametrize(
    ("change", "kind", "word"),
    [
        ({}, Kind.PIP, "/venv/bin/python"),
        ({"installer": "uv"}, Kind.PIP, "/venv/bin/python"),
        ({"prefix_files": frozenset({"pipx_metadata.json"})}, Kind.PIPX, "pipx"),
        ({"prefix_files": frozenset({"uv-receipt.toml"}), "installer": "uv"}, Kind.UV_TOOL, "uv"),
        # A virtual environment of a system's Python is not the system's.
        ({"externally_managed": True}, Kind.PIP, "/venv/bin/python"),
    ],
)
def test_what_can_be_updated(change: dict[str, object], kind: Kind, word: str) -> None:
    found = plan(dataclasses.replace(PIP_VENV, **change))  # type: ignore[arg-type]
    assert found.kind is kind
    assert found.upgrade[0] == word
    assert found.back[-1] == "tin-can==1.0"


@pytest.mark.parametrize(
    ("change", "kind", "advice"),
    [
        ({"direct_url": EDITABLE}, Kind.EDITABLE, "/src/tin-can"),
        ({"direct_url": REPOSITORY}, Kind.DIRECT, "git+https://example.org/can.git"),
        ({"direct_url": {"url": "file:///tmp/a.whl", "archive_info": {}}}, Kind.DIRECT, "file:///tmp/a.whl"),
        ({"externally_managed": True, "in_environment": False}, Kind.SYSTEM, "package manager"),
        ({"installer": "conda"}, Kind.UNKNOWN, "conda"),
        ({"installer": ""}, Kind.UNKNOWN, "left no name"),
        # What came from a checkout is not on an index, whoever carried it.
        ({"direct_url": EDITABLE, "prefix_files": frozenset({"pipx_metadata.json"})}, Kind.EDITABLE, "/src/tin-can"),
    ],
)
def test_what_cannot(change: dict[str, object], kind: Kind, advice: str) -> None:
    found = plan(dataclasses.replace(PIP_VENV, **change))  # type: ignore[arg-type]
    assert found.kind is kind
    assert not found.upgrade
    assert advice in found.advice


def test_without_pip_nothing_is_asked_beforehand() -> None:
    assert plan(PIP_VENV).probe
    assert not plan(dataclasses.replace(PIP_VENV, has_pip=False)).probe


def test_the_report_of_pip() -> None:
    item = {"metadata": {"name": "Tin_Can", "version": "2.0"}}
    other = {"metadata": {"name": "click", "version": "9"}}
    assert newest(json.dumps({"install": [other, item]})) == "2.0"
    assert newest(json.dumps({"install": [other]})) is None
    for damaged in ("", "{}", "[]", '{"install": 3}'):
        with pytest.raises(ValueError):
            newest(damaged)


def test_it_sees_itself() -> None:
    facts = look()
    assert facts.version
    assert facts.in_environment
