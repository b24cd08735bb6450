"""``tin-can config``: each setting and where it came from."""

from __future__ import annotations

import click

from tincan import config as settings
from tincan.cli.options import servers


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def config(as_json: bool) -> None:
    """Show each setting, its value, and where that came from."""
    values = settings.load({})
    servers({name: value.value for name, value in values.items()})  # a wrong URL is told here, not when it matters
    hidden = {s.name for s in settings.SETTINGS if s.secret}
    shown = {n: "(hidden)" if n in hidden and v.value else v.value for n, v in values.items()}
    if as_json:
        import json

        table = {n: {"value": shown[n], "source": v.source} for n, v in values.items()}
        print(json.dumps({"file": str(settings.config_path()), "settings": table}))
        return
    path = settings.config_path()
    print(f"{path}{'' if path.exists() else ' (does not exist)'}\n")
    for name, value in values.items():
        print(f"{name:<14} {value.source:<22} {_words(shown[name])}")


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(value) or "-"
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value in (None, "") else str(value)
