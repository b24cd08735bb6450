"""``tin-can upgrade``: update this installation with the tool that made it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from typing import Final

import click

from tincan.apps.installation import Plan, look, newest, plan
from tincan.errors import DeviceMissing, NoPlaceReachable, TinCanError, UsageError

PROBE_TIMEOUT: Final = 120
UPGRADE_TIMEOUT: Final = 900


@click.command()
@click.option("--check", is_flag=True, help="Only say what would be done.")
def upgrade(check: bool) -> int:
    """Update this installation from the package index it came from.

    Works for what pipx, uv tool or pip installed; else it says what to type.
    The version that is here is put back if the new one does not start.
    """
    from importlib.metadata import PackageNotFoundError

    try:
        facts = look()
    except PackageNotFoundError:
        raise UsageError("This tin-can is not installed, it runs from a folder: update that.") from None
    found = plan(facts)
    print(f"tin-can {facts.version}, installed by {found.kind.value}.")
    if not found.upgrade:
        print(found.advice)
        return 0 if check else 2
    target = _probe(found)
    if target is not None and target == facts.version:
        print("It is the newest version.")
        return 0
    if check:
        what = f"to {target} " if target else ""
        print(f"An update {what}would run:  {shlex.join(found.upgrade)}")
        return 0
    _run(found.upgrade)
    return _verify(found, facts.version)


def _probe(found: Plan) -> str | None:
    """Return the newest version on the index; None when that cannot be told beforehand."""
    if not found.probe:
        return None
    done = _finish(found.probe, PROBE_TIMEOUT, capture=True)
    if done.returncode:
        raise NoPlaceReachable(f"The package index cannot be asked: {_last_line(done.stderr)}")
    try:
        return newest(done.stdout)
    except ValueError:
        return None


def _run(command: tuple[str, ...]) -> None:
    print(f"Running:  {shlex.join(command)}", flush=True)
    done = _finish(command, UPGRADE_TIMEOUT, capture=False)
    if done.returncode:
        raise UpgradeFailed(f"{command[0]} ended with {done.returncode}; the version that was here is still here.")


class UpgradeFailed(TinCanError):
    """The update did not come about."""


def _verify(found: Plan, before: str) -> int:
    """See that the new version starts; put the old one back if it does not."""
    # A new process: this one still is the old version.
    code = "import tincan.cli.group, tincan.cli.chat; print(tincan.__version__)"
    done = _finish((sys.executable, "-c", code), PROBE_TIMEOUT, capture=True)
    if done.returncode == 0:
        now = done.stdout.strip()
        print(f"It is the newest version, {now}." if now == before else f"Updated from {before} to {now}.")
        return 0
    _run(found.back)
    raise UpgradeFailed(f"The new version does not start here ({_last_line(done.stderr)}); {before} was put back.")


def _finish(command: tuple[str, ...], timeout: float, *, capture: bool) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=capture, text=True, timeout=timeout, check=False)  # noqa: S603
    except FileNotFoundError:
        tool = "pip" if found_pip(command) else command[0]
        raise DeviceMissing(f"{tool} made this installation, but it is not to be found any more.") from None
    except subprocess.TimeoutExpired:
        raise UpgradeFailed(f"{command[0]} did not come to an end; try again later.") from None


def found_pip(command: tuple[str, ...]) -> bool:
    """Whether a command runs pip by the interpreter."""
    return command[1:3] == ("-m", "pip")


def _last_line(text: str | None) -> str:
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
