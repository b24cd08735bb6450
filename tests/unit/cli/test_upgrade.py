"""`tin-can upgrade` for real: installations by pip, pipx and uv, updated from an index on this machine."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src" / "tincan"
OLD, NEW, BROKEN = "0.0.1", "0.0.2", "0.0.3"


def make_wheel(folder: Path, version: str, *, broken: bool = False) -> None:
    """Write a wheel of this very source under another version, without dependencies."""
    info = f"tin_can-{version}.dist-info"
    files = {
        f"tincan/{path.relative_to(SOURCE)}": path.read_bytes()
        for path in SOURCE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    files["tincan/__init__.py"] = f'__version__ = "{version}"\n'.encode()
    if broken:
        files["tincan/cli/chat.py"] = b"raise ImportError('this version is broken')\n"
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: tin-can\nVersion: {version}\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\ntin-can = tincan.cli.main:run\n"
    files[f"{info}/RECORD"] = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"]).encode()
    with zipfile.ZipFile(folder / f"tin_can-{version}-py3-none-any.whl", "w") as wheel:
        for name, content in files.items():
            wheel.writestr(name, content)


class Index:
    """A package index (PEP 503) with the versions that were published to it."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "simple" / "tin-can"
        self.folder.mkdir(parents=True)
        handler = functools.partial(_Quiet, directory=str(root))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def publish(self, version: str, *, broken: bool = False) -> None:
        make_wheel(self.folder, version, broken=broken)
        links = [
            f'<a href="{w.name}#sha256={hashlib.sha256(w.read_bytes()).hexdigest()}">{w.name}</a>'
            for w in self.folder.glob("*.whl")
        ]
        (self.folder / "index.html").write_text(f"<html><body>{''.join(links)}</body></html>")

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    with contextlib.closing(Index(tmp_path / "index")) as made:
        made.publish(OLD)
        yield made


class Installation:
    """A home of its own, with one tin-can in it."""

    def __init__(self, home: Path, index: Index) -> None:
        self.home = home
        tools = Path(sys.executable).parent
        self.env = {
            "HOME": str(home),
            "PATH": f"{home}/.local/bin:{tools}:{os.environ['PATH']}",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_INDEX_URL": index.url,
            "PIP_NO_CACHE_DIR": "1",
            "UV_INDEX_URL": index.url,
            "UV_NO_CACHE": "1",
            "UV_PYTHON": sys.executable,
            "UV_PYTHON_DOWNLOADS": "never",
            "PIPX_DEFAULT_PYTHON": sys.executable,
            # Else pipx fetches the newest pip from the index, which has tin-can alone.
            "PIPX_DEFAULT_BACKEND": "uv",
        }
        self.command = ""

    def run(self, *argv: str, code: int = 0) -> str:
        done = subprocess.run(argv, env=self.env, capture_output=True, text=True, timeout=600, cwd=self.home)
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def lend_dependencies(self, environment: Path) -> None:
        """Let an environment use the packages of this one, instead of fetching them all."""
        found = next(environment.glob("lib/python*/site-packages"))
        (found / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")

    def by_pip(self) -> None:
        self.run(sys.executable, "-m", "venv", str(self.home / "venv"))
        self.run(f"{self.home}/venv/bin/python", "-m", "pip", "install", "-q", f"tin-can=={OLD}")
        self.lend_dependencies(self.home / "venv")
        self.command = f"{self.home}/venv/bin/tin-can"

    def by_pipx(self) -> None:
        self.run("pipx", "install", "-q", f"tin-can=={OLD}")
        self.command = f"{self.home}/.local/bin/tin-can"
        self.lend_dependencies(Path(os.path.realpath(self.command)).parents[1])

    def by_uv(self) -> None:
        # A version range: uv updates within what was asked for.
        self.run("uv", "tool", "install", "-q", "tin-can>=0.0.1")
        self.command = f"{self.home}/.local/bin/tin-can"
        self.lend_dependencies(Path(os.path.realpath(self.command)).parents[1])

    @property
    def version(self) -> str:
        return self.run(self.command, "--version").split()[1]


@pytest.fixture
def home(tmp_path: Path, index: Index) -> Installation:
    folder = tmp_path / "home"
    folder.mkdir()
    return Installation(folder, index)


def test_pip(home: Installation, index: Index) -> None:
    home.by_pip()
    assert "newest" in home.run(home.command, "upgrade")
    index.publish(NEW)
    told = home.run(home.command, "upgrade", "--check")
    assert NEW in told
    assert "install --upgrade tin-can" in told
    assert home.version == OLD
    assert f"Updated from {OLD} to {NEW}" in home.run(home.command, "upgrade")
    assert home.version == NEW


def test_a_broken_version_is_taken_back(home: Installation, index: Index) -> None:
    home.by_pip()
    index.publish(BROKEN, broken=True)
    assert f"{OLD} was put back" in home.run(home.command, "upgrade", code=1)
    assert home.version == OLD


def test_an_index_that_is_gone(home: Installation, index: Index) -> None:
    home.by_pip()
    shutil.rmtree(index.folder)
    told = home.run(home.command, "upgrade", code=3)
    assert "index" in told
    assert "Traceback" not in told
    assert home.version == OLD


def test_pipx(home: Installation, index: Index) -> None:
    home.by_pipx()
    index.publish(NEW)
    assert "pipx upgrade tin-can" in home.run(home.command, "upgrade", "--check")
    assert home.version == OLD
    home.run(home.command, "upgrade")
    assert home.version == NEW


def test_uv_tool(home: Installation, index: Index) -> None:
    home.by_uv()
    index.publish(NEW)
    assert "uv tool upgrade" in home.run(home.command, "upgrade", "--check")
    home.run(home.command, "upgrade")
    assert home.version == NEW
