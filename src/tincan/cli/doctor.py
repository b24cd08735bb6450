"""``tin-can doctor``: what this machine and network can do, one line each."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import textwrap
from collections.abc import Mapping
from typing import Any, Final

import click

from tincan import config
from tincan.apps.doctor import Finding, examine
from tincan.apps.text import visible
from tincan.cli.options import servers
from tincan.cli.runner import run_async
from tincan.nat.servers import IceServer

INDENT: Final = 21
"""Columns before the text of a finding."""

MIN_COLUMNS: Final = 2 * INDENT
"""Of a terminal in which lines are broken between words."""


@click.command()
@click.argument("place", required=False)
@click.option("--switchboard", "switchboards", multiple=True, metavar="URL", help="Ask this switchboard too.")
@click.option(
    "--stun", multiple=True, metavar="URL", help="STUN server to ask (repeatable; two tell the kind of NAT)."
)
@click.option("--turn", multiple=True, metavar="URL", help="TURN server to try.")
@click.option("--turn-user", metavar="NAME", help="User name at the TURN server.")
@click.option("--turn-password", metavar="TEXT", help="Password at the TURN server.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def doctor(place: str | None, as_json: bool, **options: Any) -> int:
    """Tell what this machine and network can do. PLACE is the URL of a switchboard.

    Ends with 0 when two cans can meet and be connected here, else with 3
    (nowhere to meet) or 6 (no path out).
    """
    if place is not None:
        options["switchboards"] = (*options["switchboards"], place)
    boards, known = asked(options)
    columns = shutil.get_terminal_size().columns if sys.stdout.isatty() else None

    def show(finding: Finding) -> None:
        if as_json:
            import json

            print(json.dumps(dataclasses.asdict(finding)), flush=True)
        else:
            print(line(finding, columns), flush=True)

    return run_async(examine(boards, known, show)).value


def line(finding: Finding, columns: int | None) -> str:
    """Return what to print of a finding; ``columns``: of the terminal, None where there is none."""
    sign = {True: "ok", False: "no", None: "--"}[finding.good]
    about = f"  {sign:<3} {finding.about:<14} "
    text = visible(finding.text)
    if columns is None or columns < MIN_COLUMNS:
        return about + text
    return textwrap.fill(text, columns - 1, initial_indent=about, subsequent_indent=" " * INDENT)


def asked(options: Mapping[str, Any]) -> tuple[list[str], tuple[IceServer, ...]]:
    """Return the switchboards, and the STUN and TURN servers, that the settings want examined."""
    values = {name: value.value for name, value in config.load(options).items()}
    known = servers(values, ask_default_stun=True)
    from tincan.meet.places.switchboard import switchboard_url

    return [switchboard_url(url) for url in values["switchboards"]], known
