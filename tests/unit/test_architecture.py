"""The house: who may enter which room, and which rooms are pure. Read from the source, and tried for real."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import tincan
from tincan.cli.commands import COMMANDS

SOURCE = Path(tincan.__file__).parent

STOREYS = ["cli", "tui", "web", "switchboard", "apps", "vpn", "audio", "link", "meet", "nat"]
"""From top to bottom. Whoever is higher may import whoever is lower."""

GROUND = {"config", "identity", "errors", "storage", "tasks"}
"""Below all rooms. Of each other they may import errors, storage and tasks."""

ENTRANCE = {"", "__main__"}
"""The package itself and ``python -m tincan``: not in any room, imported by none."""

ONLY_ROOM = {
    "aiortc": {"link.transports"},
    "aioice": {"link.ice"},
    "zeroconf": {"meet.places.mdns"},
    # Other programs meet by HTTP; type-only imports count as well.
    "aiohttp": {"switchboard", "meet.places.http", "meet.places.firebase", "meet.places.relay"},
    "textual": {"tui"},
    "cpace": {"meet.handshake"},
    "ifaddr": {"nat.addresses"},
    "blake3": {"apps.files.hashing"},
    "miniaudio": {"audio.sound"},
    "sounddevice": {"audio.portaudio"},
    "pywebrtc_audio": {"audio.echo"},
    "pyaec": {"audio.echo"},
    "numpy": {"audio.echo"},
    "slixmpp": {"vpn.ipop.xmpp"},
}
"""Foreign libraries, and the only modules (or rooms) that know them."""

PURE = [
    "meet.phrase",
    "meet.handshake",
    "meet.nameplate",
    "meet.events",
    "meet.urls",
    "link.consent",
    "link.description",
    "link.lanes",
    "link.proof",
    "link.route",
    "link.sctp",
    "apps.call.events",
    "apps.call.frames",
    "apps.call.interface",
    "apps.call.protocol",
    "apps.call.states",
    "apps.call.voice",
    "apps.chat.protocol",
    "apps.chat.frames",
    "apps.chat.states",
    "apps.chat.events",
    "apps.forward.addresses",
    "apps.forward.connection",
    "apps.forward.datagrams",
    "apps.forward.events",
    "apps.forward.frames",
    "apps.forward.ledger",
    "apps.forward.mux",
    "apps.forward.outgoing",
    "apps.forward.requests",
    "apps.forward.rules",
    "apps.forward.states",
    "apps.forward.wire",
    "apps.files.names",
    "apps.files.hashing",
    "apps.files.frames",
    "apps.files.splitter",
    "apps.files.words",
    "apps.files.events",
    "apps.files.manifest",
    "apps.files.states",
    "apps.files.sender",
    "apps.files.receiver",
    "apps.files.rate",
    "apps.text",
    "apps.tete.flags",
    "apps.tete.settings",
    "apps.tete.binding",
    "apps.capabilities",
    "apps.greeting",
    "switchboard.mailboxes",
    "switchboard.frames",
    "switchboard.limits",
    "switchboard.quotas",
    "switchboard.store",
    "switchboard.turn",
    "switchboard.metrics",
    "nat.addresses",
    "nat.portmap.http1",
    "nat.portmap.mapping",
    "nat.portmap.natpmp",
    "nat.portmap.pcp",
    "nat.portmap.retry",
    "nat.portmap.routes",
    "nat.portmap.ssdp",
    "nat.portmap.upnp",
    "nat.portmap.xmltree",
    "nat.servers",
    "nat.stun",
    "audio.adaptation",
    "audio.arrivals",
    "audio.chimes",
    "audio.concealment",
    "audio.decoder",
    "audio.devices",
    "audio.levels",
    "audio.pcm",
    "audio.periods",
    "audio.playout",
    "audio.probe",
    "audio.rate",
    "audio.reception",
    "audio.reference",
    "audio.red",
    "audio.rtcp",
    "audio.rtp",
    "audio.shelf",
    "audio.states",
    "audio.statistics",
    "audio.stretch",
    "audio.tones",
    "switchboard.party",
    "switchboard.party_frames",
    "vpn.group.addresses",
    "vpn.group.certificate",
    "vpn.group.events",
    "vpn.group.join",
    "vpn.group.membership",
    "vpn.group.state",
    "vpn.names.dns",
    "vpn.party.fragments",
    "vpn.party.keys",
    "vpn.party.messages",
    "vpn.party.early",
    "vpn.party.greetings",
    "vpn.party.peer",
    "vpn.party.peers",
    "vpn.party.replay",
    "vpn.party.seal",
    "vpn.party.states",
    "vpn.names.safe",
    "vpn.social.befriending",
    "vpn.social.book",
    "vpn.social.ranges",
    "vpn.social.translate",
    "vpn.social.texts",
    "vpn.ipop.account",
    "vpn.ipop.candidates",
    "vpn.ipop.core",
    "vpn.ipop.effects",
    "vpn.ipop.events",
    "vpn.ipop.frames",
    "vpn.ipop.friends",
    "vpn.ipop.linking",
    "vpn.ipop.node",
    "vpn.ipop.peers",
    "vpn.ipop.senders",
    "vpn.ipop.states",
    "vpn.ipop.wire",
    "vpn.module.api",
    "vpn.module.events",
    "vpn.module.hello",
    "vpn.module.interface",
    "vpn.module.methods",
    "vpn.module.states",
    "vpn.path.coalesce",
    "vpn.path.control",
    "vpn.path.departures",
    "vpn.path.filters",
    "vpn.path.headers",
    "vpn.path.incoming",
    "vpn.path.mtu",
    "vpn.path.outgoing",
    "vpn.path.routes",
    "vpn.path.split",
    "vpn.path.switch",
    "vpn.path.toobig",
    "vpn.path.vnet",
    "vpn.path.waiting",
    "vpn.path.wire",
    "vpn.path.words",
    "errors",
]
"""Cores: bytes, commands and the time go in, bytes, events and the next deadline come out."""

IMPURE = {
    "asyncio",
    "concurrent",
    "multiprocessing",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "datetime",
    "secrets",
    "uvloop",
    "websockets",
    "textual",
    "click",
    *ONLY_ROOM,
}
ALLOWED = {("meet.handshake", "cpace"), ("nat.addresses", "ifaddr"), ("apps.files.hashing", "blake3")}
"""CPace draws its own scalar; looking up this machine's interfaces is the one thing not pure in its module; a hash
is a function like any other."""


ANYTHING = "anything"
"""What an import is called whose target only shows when the program runs."""


@dataclass(frozen=True)
class Import:
    """One import statement's target."""

    module: str
    """Who imports: the module's name without ``tincan.``."""

    target: str
    """What, with its full name."""

    line: int

    def __str__(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def name_of(path: Path) -> str:
    parts = list(path.relative_to(SOURCE).with_suffix("").parts)
    if parts[-1] == "__init__":
        parts.pop()
    return ".".join(parts)


def imports_of(module: str, package: bool, tree: ast.AST) -> Iterator[Import]:
    """Every import, also those in functions and under TYPE_CHECKING."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                here = ["tincan", *filter(None, module.split("."))]
                up = node.level - 1 if package else node.level
                base = ".".join([*here[: len(here) - up], *filter(None, [base])])
            for alias in node.names:
                # ``from tincan.link import ice`` may name a module or a thing in one.
                yield Import(module, f"{base}.{alias.name}", node.lineno)
        elif isinstance(node, ast.Call) and (named := _imported_by_name(node)) is not None:
            yield Import(module, named, node.lineno)


def _imported_by_name(call: ast.Call) -> str | None:
    """What ``__import__(name)`` or ``import_module(name)`` imports, also when a thread is to call it."""
    words = [ast.unparse(node).rpartition(".")[2] for node in (call.func, *call.args[:1])]
    position = next((n for n, word in enumerate(words) if word in {"__import__", "import_module"}), None)
    if position is None:
        return None
    argument = call.args[position]
    if isinstance(argument, ast.JoinedStr):  # f"library.{part}"
        argument = argument.values[0]
    return str(argument.value).rstrip(".") if isinstance(argument, ast.Constant) else ANYTHING


@cache
def modules() -> dict[str, tuple[Import, ...]]:
    return {
        name_of(path): tuple(
            imports_of(name_of(path), path.name == "__init__.py", ast.parse(path.read_text(encoding="utf-8")))
        )
        for path in sorted(SOURCE.rglob("*.py"))
    }


def all_imports() -> list[Import]:
    return [found for imports in modules().values() for found in imports]


def ours(target: str) -> str | None:
    """The name without ``tincan.``, if it is ours."""
    if target == "tincan":
        return ""
    return target.removeprefix("tincan.") if target.startswith("tincan.") else None


def room(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def wrong_arrow(found: Import) -> bool:
    inside = ours(found.target)
    if inside is None:
        return False
    here, there = room(found.module), room(inside)
    if here in ENTRANCE:
        return here == "" or there not in {"cli"}
    if there in ("", "__version__"):
        return False
    if there in GROUND:
        return here in GROUND and here != there and there not in {"errors", "storage", "tasks"}
    if here in GROUND:
        return True
    return STOREYS.index(there) < STOREYS.index(here)


# -- by reading --------------------------------------------------------------------


def test_every_module_has_a_room() -> None:
    assert {room(name) for name in modules()} <= {*STOREYS, *GROUND, *ENTRANCE}
    assert len(modules()) > 50


def test_arrows_go_down() -> None:
    assert [str(found) for found in all_imports() if wrong_arrow(found)] == []


def test_only_the_table_of_commands_imports_by_a_name_that_is_not_seen() -> None:
    assert {found.module for found in all_imports() if found.target == ANYTHING} == {"cli.group"}
    assert {command.module.partition(":")[0].rpartition(".")[0] for command in COMMANDS} == {"tincan.cli"}


def test_what_is_imported_exists() -> None:
    """So that no arrow hides behind a misspelt name."""
    for found in all_imports():
        inside = ours(found.target)
        if inside:
            known = inside in modules() or inside.rpartition(".")[0] in modules()
            assert known, str(found)


@pytest.mark.parametrize("library", ONLY_ROOM)
def test_only_one_room_knows_a_library(library: str) -> None:
    places = ONLY_ROOM[library]
    strangers = [
        str(found)
        for found in all_imports()
        if room(found.target) == library
        and not any(found.module == place or found.module.startswith(f"{place}.") for place in places)
    ]
    assert strangers == []


@pytest.mark.parametrize("module", PURE)
def test_cores_are_pure(module: str) -> None:
    assert [
        str(found)
        for found in modules()[module]
        if room(found.target) in IMPURE and (module, room(found.target)) not in ALLOWED
    ] == []


@pytest.mark.parametrize("module", PURE)
def test_chance_comes_from_outside(module: str) -> None:
    """A core may name `random.Random` as a type; calling the module would be chance of its own."""
    path = SOURCE.joinpath(*module.split(".")).with_suffix(".py")
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id in {"random", "os", "uuid"}
    ]
    assert [ast.unparse(call) for call in calls] == []
    assert not any(found.target.startswith("random.") for found in modules()[module])


@pytest.mark.parametrize("module", PURE)
def test_cores_stand_on_cores(module: str) -> None:
    """Nothing impure comes in by the back door, except the interfaces that hold a memory pair or a socket."""
    seams = {"meet.mailbox", "link.interface", "vpn.party.line", "vpn.path.plane"}
    seen, waiting = {module}, [module]
    while waiting:
        for found in modules()[waiting.pop()]:
            inside = ours(found.target)
            if not inside:
                continue
            target = inside if inside in modules() else inside.rpartition(".")[0]
            if target not in seen | seams and room(target) not in GROUND:
                seen.add(target)
                waiting.append(target)
    packages = {name for name in seen if name and SOURCE.joinpath(*name.split("."), "__init__.py").exists()}
    assert seen - packages - {""} <= set(PURE)  # the package itself has its version, and no more


@pytest.mark.parametrize(
    ("module", "text", "wrong"),
    [
        ("meet.phrase", "from tincan.link.ice import X", True),
        ("meet.phrase", "import tincan.link", True),
        ("meet.phrase", "from tincan import link", True),
        ("meet.phrase", "if TYPE_CHECKING:\n    from tincan.cli.main import run", True),
        ("meet.phrase", "def f():\n    from tincan.apps import text", True),
        ("meet.phrase", "from ..link import ice", True),
        ("meet.phrase", "from . import mailbox", False),
        ("meet.phrase", "from .mailbox import Side", False),
        ("meet.phrase", "import_module('tincan.link.ice')", True),
        ("meet.phrase", "await to_thread(__import__, 'tincan.link.ice')", True),
        ("link.dial", "await to_thread(__import__, 'tincan.link.webrtc')", False),
        ("link.dial", "from tincan.meet.meeting import meet", False),
        ("switchboard.app", "from tincan.apps import text", False),
        ("apps.text", "from tincan.switchboard import app", True),
        ("config", "from tincan.nat import servers", True),
        ("config", "from tincan.errors import UsageError", False),
        ("errors", "from tincan.config import load", True),
        ("nat.servers", "from tincan import __version__", False),
        ("cli.main", "from tincan.tui import app", False),
        ("tui.app", "from tincan.cli import main", True),
        ("__main__", "from tincan.cli.main import run", False),
        ("", "from tincan.errors import UsageError", True),
    ],
)
def test_this_test_sees_arrows(module: str, text: str, wrong: bool) -> None:
    [found] = imports_of(module, module == "", ast.parse(text))
    assert wrong_arrow(found) is wrong


# -- by running --------------------------------------------------------------------


HEAVY = {
    "click",
    "asyncio",
    "aiohttp",
    "aiortc",
    "aioice",
    "textual",
    "zeroconf",
    "websockets",
    "cryptography",
    "msgspec",
}


def loaded(code: str) -> set[str]:
    """The modules that a fresh Python has after running something."""
    tail = "\nimport sys\nprint('\\n'.join(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code + tail], capture_output=True, text=True, timeout=240, check=True
    )
    return set(done.stdout.split())


def imported_by(*arguments: str) -> tuple[set[str], str]:
    """What ``python -m tincan`` loads with these arguments, and what it says."""
    command = [sys.executable, "-X", "importtime", "-m", "tincan", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    names = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "tincan.cli.main" in names
    return names, done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["help"], [], ["--version"]], ids=" ".join)
def test_help_and_version_load_nothing_heavy(arguments: list[str]) -> None:
    names, output = imported_by(*arguments)
    assert output
    assert {room(name) for name in names} & HEAVY == set()


def test_the_stack_is_loaded_without_media_and_dns() -> None:
    names = loaded("import tincan.link.webrtc")
    assert "aiortc" in {room(name) for name in names}
    assert {room(name) for name in names} & {"av", "dns", "numpy", "textual", "aiohttp", "zeroconf"} == set()


def test_meeting_loads_no_stack() -> None:
    names = {room(name) for name in loaded("import tincan.meet.meeting, tincan.meet.places.lan")}
    assert names & {"aiortc", "aioice", "zeroconf", "websockets", "aiohttp", "textual", "click"} == set()


@pytest.mark.parametrize("module", ["tincan.cli.chat", "tincan.cli.screens", "tincan.tui.app"])
def test_a_conversation_loads_nothing_for_files_before_there_are_any(module: str) -> None:
    names = loaded(f"import {module}")
    assert {name for name in names if name == "tincan.apps.desk" or name.startswith("tincan.apps.files")} == set()


@pytest.mark.parametrize("module", ["tincan.cli.chat", "tincan.cli.screens", "tincan.apps.call.desk"])
def test_a_conversation_loads_nothing_of_sound_before_there_is_a_call(module: str) -> None:
    names = loaded(f"import {module}")
    assert {name for name in names if name.startswith("tincan.audio") or name in ("miniaudio", "numpy")} == set()


@pytest.mark.parametrize(
    "module", ["meet.phrase", "meet.nameplate", "link.description", "nat.addresses", "nat.servers"]
)
def test_cores_without_a_seam_load_no_loop(module: str) -> None:
    """The others import the interface of a mailbox or a link, which has its asyncio pair beside it."""
    assert "asyncio" not in {room(name) for name in loaded(f"import tincan.{module}")}
