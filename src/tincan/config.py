"""Settings: option, environment, config file, default, in this order.

The table `SETTINGS` is the whole of it. `resolve` is pure: it is given the
environment and the file's content, and says for each value where it came
from, which `tin-can config` shows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tincan import storage
from tincan.errors import UsageError

DEFAULT_STUN = ("stun:stun.l.google.com:19302", "stun:stun.cloudflare.com:3478")
"""Asked only when a switchboard is used: on a LAN alone nobody outside is told anything."""


@dataclass(frozen=True)
class Setting:
    """One setting. ``read`` turns text, or a TOML value, into the value, or raises ValueError."""

    name: str
    environment: str
    default: Any
    read: Callable[[object], Any]
    secret: bool = False


@dataclass(frozen=True)
class Value:
    """A setting's value and where it came from."""

    value: Any = field(repr=False)  # one of them is a password
    source: str


def _words(raw: object) -> tuple[str, ...]:
    if isinstance(raw, str):
        return tuple(raw.split())
    if isinstance(raw, list | tuple) and all(isinstance(item, str) for item in raw):
        return tuple(raw)
    raise ValueError("a list of texts")


def _truth(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in ("1", "yes", "true", "on"):
        return True
    if isinstance(raw, str) and raw.lower() in ("0", "no", "false", "off"):
        return False
    raise ValueError("yes or no")


def _seconds(raw: object) -> float:
    try:
        if isinstance(raw, bool):
            raise TypeError
        value = float(raw)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise ValueError("a number of seconds") from None
    if not 0 < value <= 7 * 86400:
        raise ValueError("a number of seconds, more than 0 and at most a week")
    return value


def _text(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    raise ValueError("a text")


SETTINGS = (
    Setting("switchboards", "TIN_CAN_SWITCHBOARD", (), _words),
    Setting("lan", "TIN_CAN_LAN", True, _truth),
    Setting("stun", "TIN_CAN_STUN", DEFAULT_STUN, _words),
    Setting("turn", "TIN_CAN_TURN", (), _words),
    Setting("turn_user", "TIN_CAN_TURN_USER", None, _text),
    Setting("turn_password", "TIN_CAN_TURN_PASSWORD", None, _text, secret=True),
    Setting("relay_only", "TIN_CAN_RELAY_ONLY", False, _truth),
    Setting("timeout", "TIN_CAN_TIMEOUT", 600.0, _seconds),
    Setting("name", "TIN_CAN_NAME", "", _text),
)


def resolve(
    options: Mapping[str, object], environment: Mapping[str, str], file: Mapping[str, object]
) -> dict[str, Value]:
    """Return every setting's value. Options that are None or empty were not given.

    Raises `UsageError` naming the source that has a wrong value.
    """
    found = {}
    for setting in SETTINGS:
        given = options.get(setting.name)
        if given is not None and given != ():
            found[setting.name] = _read(setting, given, "option")
        elif environment.get(setting.environment):
            found[setting.name] = _read(setting, environment[setting.environment], setting.environment)
        elif setting.name in file:
            found[setting.name] = _read(setting, file[setting.name], "config.toml")
        else:
            found[setting.name] = Value(setting.default, "default")
    return found


def _read(setting: Setting, raw: object, source: str) -> Value:
    try:
        return Value(setting.read(raw), source)
    except ValueError as exc:
        raise UsageError(f"{setting.name} from {source} must be {exc}.") from None


def config_path() -> Path:
    """Return where the config file is looked for: under sudo with the user who called it, as all files are."""
    home = storage.sudo_home()
    if home is not None and not os.environ.get("XDG_CONFIG_HOME"):
        return home / ".config/tin-can/config.toml"
    from platformdirs import user_config_path

    return user_config_path("tin-can") / "config.toml"


def read_config() -> dict[str, object]:
    """Return the content of the config file, empty when there is none; `UsageError` when it is damaged."""
    path = config_path()
    try:
        with storage.as_user():
            raw = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise UsageError(f"{path} cannot be read ({exc.strerror}).") from exc
    import tomllib

    try:
        content = tomllib.loads(raw.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path} is not valid TOML: {exc}.") from None
    unknown = sorted(set(content) - {setting.name for setting in SETTINGS})
    if unknown:
        raise UsageError(f"{path} has a setting that does not exist: {unknown[0]}.")
    return content


def load(options: Mapping[str, object]) -> dict[str, Value]:
    """Return every setting's value for this process."""
    return resolve(options, os.environ, read_config())
