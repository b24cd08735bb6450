"""The click group: commands are imported when they are used."""

from __future__ import annotations

import importlib

import click

from tincan import __version__
from tincan.cli.commands import COMMANDS, top_help


class LazyGroup(click.Group):
    """A group whose commands are those of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """See click."""
        return [command.name for command in COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """See click."""
        for command in COMMANDS:
            if command.name == cmd_name:
                module, name = command.module.split(":")
                found = getattr(importlib.import_module(module), name)
                assert isinstance(found, click.Command)  # noqa: S101 - our own table
                return found
        return None

    def get_help(self, ctx: click.Context) -> str:
        """See click."""
        return top_help()


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, message="tin-can %(version)s")
@click.pass_context
def group(ctx: click.Context) -> object:
    """Two cans, one string. Alone it opens the start screen."""
    if ctx.invoked_subcommand is not None:
        return None
    from tincan.cli.main import at_a_screen

    if not at_a_screen():  # `tin-can --` in a script
        click.echo(top_help())
        return None
    from tincan.cli.screens import start

    return ctx.invoke(start)
