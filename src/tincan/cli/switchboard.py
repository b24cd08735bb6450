"""``tin-can switchboard``: the meeting server."""

from __future__ import annotations

import sys

import click

from tincan.cli.logs import set_up_logging
from tincan.errors import UsageError
