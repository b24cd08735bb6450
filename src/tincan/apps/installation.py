"""How this tin-can was installed, and the commands that update it. Pure but for `look`."""

from __future__ import annotations

import enum
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PACKAGE: Final = "tin-can"


class Kind(enum.Enum):
    """Who put it here."""

    PIPX = "pipx"
    UV_TOOL = "uv tool"
    PIP = "pip"
    EDITABLE = "an editable checkout"
    DIRECT = "a file, folder or repository"
    SYSTEM = "the system's package manager"
    UNKNOWN = "something unknown"


@dataclass(frozen=True)
class Facts:
    """What can be seen of an installation."""

    version: str
    python: str
    """Path of the interpreter."""
    prefix_files: frozenset[str]
    """Which of the marker files lie in the environment's root."""
    in_environment: bool
    """Whether this is a virtual environment."""
    externally_managed: bool
    """Whether the interpreter is marked as belonging to the system (PEP 668)."""
    installer: str
    """The INSTALLER file of the distribution (PEP 376)."""
    has_pip: bool
    """Whether the environment has pip; those that uv made have none."""
    direct_url: Mapping[str, object] | None
    """direct_url.json (PEP 610): there when it was not installed from an index."""


@dataclass(frozen=True)
class Plan:
    """What to do. ``upgrade`` is empty where tin-can cannot do it; ``advice`` then says what to type."""

    kind: Kind
    probe: tuple[str, ...] = ()
    """Prints pip's installation report (JSON) of the newest version, and installs nothing."""
    upgrade: tuple[str, ...] = ()
    back: tuple[str, ...] = ()
    """Puts the version back that is here now."""
    advice: str = ""


MARKERS: Final = ("pipx_metadata.json", "uv-receipt.toml")


def plan(facts: Facts) -> Plan:
    """Say how this installation is updated."""
    if facts.direct_url is not None:
        return _not_from_an_index(facts.direct_url)
    pip = (facts.python, "-m", "pip", "--disable-pip-version-check")
    # What is installed is ignored, else pip calls it the newest when the index cannot be reached.
    ask = (*pip, "install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", "--report", "-", PACKAGE)
    probe = ask if facts.has_pip else ()
    pinned = f"{PACKAGE}=={facts.version}"
    if "pipx_metadata.json" in facts.prefix_files:
        # pipx remembers the index that it installed from.
        back = ("pipx", "install", "--force", pinned)
        return Plan(Kind.PIPX, probe, ("pipx", "upgrade", PACKAGE), back)
    if "uv-receipt.toml" in facts.prefix_files:
        return Plan(
            Kind.UV_TOOL, (), ("uv", "tool", "upgrade", PACKAGE), ("uv", "tool", "install", "--force", pinned)
        )
    if facts.externally_managed and not facts.in_environment:
        advice = "It belongs to the system: update it with the system's package manager, or install it by pipx."
        return Plan(Kind.SYSTEM, advice=advice)
    if facts.installer in ("pip", "uv"):
        return Plan(Kind.PIP, probe, (*pip, "install", "--upgrade", PACKAGE), (*pip, "install", pinned))
    advice = f"It was installed by {facts.installer or 'a tool that left no name'}: update it with that."
    return Plan(Kind.UNKNOWN, advice=advice)


def _not_from_an_index(direct: Mapping[str, object]) -> Plan:
    url = str(direct.get("url", ""))
    folder = direct.get("dir_info")
    if isinstance(folder, Mapping) and folder.get("editable"):
        path = url.removeprefix("file://")
        return Plan(Kind.EDITABLE, advice=f"It runs from the checkout {path}: update that, for instance by git pull.")
    if isinstance(direct.get("vcs_info"), Mapping):
        url = f"{direct['vcs_info']['vcs']}+{url}"  # type: ignore[index]
    return Plan(Kind.DIRECT, advice=f"It was installed from {url}: install it from there again to update it.")


def newest(report: str) -> str | None:
    """Return the version of tin-can that pip's installation report names; None when it names none.

    Raises `ValueError` when it is no such report.
    """
    content = json.loads(report)
    if not isinstance(content, dict) or not isinstance(content.get("install"), list):
        raise ValueError("not an installation report")
    for item in content["install"]:
        metadata = item.get("metadata", {}) if isinstance(item, dict) else {}
        if str(metadata.get("name", "")).replace("_", "-").lower() == PACKAGE:
            return str(metadata["version"])
    return None


def look() -> Facts:
    """See how this very tin-can was installed."""
    import importlib.metadata
    import importlib.util
    import sysconfig

    distribution = importlib.metadata.distribution(PACKAGE)
    direct = distribution.read_text("direct_url.json")
    prefix = Path(sys.prefix)
    return Facts(
        version=distribution.version,
        python=sys.executable,
        prefix_files=frozenset(name for name in MARKERS if (prefix / name).exists()),
        in_environment=sys.prefix != sys.base_prefix,
        externally_managed=Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists(),
        installer=(distribution.read_text("INSTALLER") or "").strip(),
        has_pip=importlib.util.find_spec("pip") is not None,
        direct_url=json.loads(direct) if direct else None,
    )
