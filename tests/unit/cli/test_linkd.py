"""``tin-can linkd`` where it cannot run."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_are_told_what_it_takes(platform: str) -> None:
    program = (
        "import click, sys, tincan.cli.linkd, tincan.cli.main\n"
        f"sys.platform = {platform!r}\n"
        "sys.argv = ['tin-can', 'linkd']\n"
        "tincan.cli.main.run()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (9, "tin-can: Virtual networks need Linux.\n")


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
@pytest.mark.parametrize("tap", ["", "a b", "much-too-long-for-a-name", "a/b", "%d%d"])
def test_names_that_are_none(tap: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tincan", "linkd", "--tap", tap], capture_output=True, text=True, timeout=240
    )
    assert done.returncode in (2, 9)
    assert done.stderr.count("\n") == 1
    assert "inside tin-can" not in done.stderr
