"""What the adapters of aiortc and aioice stand on: names below these libraries' surface, and how they are loaded."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from types import ModuleType

import aioice.ice
import aioice.stun
import aioice.turn

import tincan.link.datachannel
import tincan.link.ice
import tincan.link.transports
import tincan.link.webrtc
from unit.link.pairs import ends


def _attributes_of(tree: ast.AST, *, owner: str) -> set[str]:
    """Return every NAME that a piece of code uses as ``owner.NAME``; ``owner`` may have dots."""
    return {
        node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and ast.unparse(node.value) == owner
    }


def _class(module: ModuleType, name: str) -> ast.ClassDef:
    tree = ast.parse(inspect.getsource(module))
    return next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)


def _own(tree: ast.ClassDef) -> set[str]:
    """Return what a class brings itself: methods, and attributes set in ``__init__``."""
    methods = {n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    init = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "__init__")
    stored = {
        n.attr
        for n in ast.walk(init)
        if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Store) and ast.unparse(n.value) == "self"
    }
    return methods | stored


def _assert_there(package: str, what: str, thing: object, names: set[str]) -> None:
    missing = sorted(name for name in names if not hasattr(thing, name))
    version = importlib.metadata.version(package)
    assert not missing, (
        f"{what} of {package} {version} has no {', '.join(missing)} any more, on which tincan.link relies: "
        f"read what replaced it, change the adapter, and only then the version in pyproject.toml."
    )


async def test_the_private_names_of_aioice_are_where_they_were() -> None:
    agent = _class(tincan.link.ice, "IceAgent")
    inherited = _attributes_of(agent, owner="self") - _own(agent)
    overridden = _attributes_of(agent, owner="super()") | _attributes_of(agent, owner="super(IceAgent, self)")
    hooks = {"query_consent", "data_received", "check_start", "check_incoming", "close"}
    names = inherited | overridden | hooks
    assert {"_nominated", "_protocols", "_queue", "_closing"} <= names, "the test sees what it is to see"
    _assert_there("aioice", "Connection", aioice.ice.Connection(ice_controlling=True), names)
    module = ast.parse(inspect.getsource(tincan.link.ice))
    for owner, thing in (
        ("aioice.ice", aioice.ice),
        ("stun", aioice.stun),
        ("turn", aioice.turn),
        ("aioice.ice.CandidatePair.State", aioice.ice.CandidatePair.State),
        ("stun.Method", aioice.stun.Method),
        ("stun.Class", aioice.stun.Class),
    ):
        _assert_there("aioice", owner, thing, _attributes_of(module, owner=owner))
    assert hasattr(aioice.stun, "RETRY_RTO")


async def test_the_private_names_of_aiortc_are_where_they_were() -> None:
    transports = tincan.link.transports
    sctp, dtls = _class(transports, "Sctp"), _class(transports, "Dtls")
    link = _class(tincan.link.webrtc, "WebRtcLink")
    channel = _class(tincan.link.datachannel, "WebRtcChannel")
    module = ast.parse(inspect.getsource(transports))
    async with ends() as made:
        names = (_attributes_of(dtls, owner="self") - _own(dtls)) | _attributes_of(dtls, owner="super()")
        names |= {"_handle_rtp_data", "_handle_rtcp_data"}
        assert {"_setup_srtp", "_rx_srtp", "_tx_srtp", "_ssl"} <= names, "the test sees what it is to see"
        bare = transports.RTCDtlsTransport(made.attach._dtls.transport, [made.attach._certificate])
        _assert_there("aiortc", "RTCDtlsTransport", bare, names)
        _assert_there("aiortc", "RTCDtlsTransport", made.attach._dtls, _attributes_of(link, owner="self._dtls"))
        names = (_attributes_of(sctp, owner="self") - _own(sctp)) | _attributes_of(sctp, owner="super()")
        assert {"_sack_misordered", "_local_tsn"} <= names, "the test sees what it is to see"
        _assert_there("aiortc", "RTCSctpTransport", transports.RTCSctpTransport(made.attach._dtls), names)
        _assert_there("aiortc", "RTCSctpTransport", made.attach._sctp, _attributes_of(link, owner="self._sctp"))
        names = _attributes_of(channel, owner="self._channel")
        _assert_there("aiortc", "RTCDataChannel", made.attach.control._channel, names)
    for owner in ("_dtls", "_sctp", "_datachannel"):
        _assert_there("aiortc", owner, getattr(transports, owner), _attributes_of(module, owner=owner))


def _python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        env={"PYTHONPATH": ":".join(sys.path), "PATH": ""},
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return done.stdout


def test_the_link_loads_neither_codecs_nor_a_resolver() -> None:
    loaded = _python("import sys, tincan.link.webrtc; print(*sys.modules)").split()
    assert "aioice" in loaded
    for name in ("av", "dns", "numpy"):
        assert name not in loaded


def test_the_real_aiortc_can_be_loaded_after_the_link() -> None:
    offer = _python(
        """
import asyncio
import tincan.link.transports
import aiortc

async def main():
    connection = aiortc.RTCPeerConnection()
    connection.createDataChannel("x")
    await connection.setLocalDescription(await connection.createOffer())
    print(connection.localDescription.sdp)
    await connection.close()

asyncio.run(main())
from aiortc import mediastreams, rtcsctptransport
assert rtcsctptransport is tincan.link.transports._sctp
assert mediastreams.AudioFrame is not object
"""
    )
    assert "m=application" in offer
