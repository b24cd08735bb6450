"""The API's two cores, back to back."""

from __future__ import annotations

import json

from tincan.vpn.module.api import (
    Answered,
    Asked,
    ClientSide,
    Refused,
    ServerSide,
    Told,
    answer,
    notice,
    refusal,
)
from tincan.vpn.module.events import MessageCame, NetworkChanged
from tincan.vpn.module.interface import ModuleError
from tincan.vpn.module.methods import CreateLink, Description, LinkMade, SendMessage, TrimLink

DESCRIPTION = Description("ufrag", "p" * 22, ":".join(["AB"] * 32), (), True)


def ask(line: bytes) -> Asked | Refused:
    [heard] = ServerSide().receive(line + b"\n")
    return heard


def refused(line: bytes) -> tuple[object, int, str]:
    heard = ask(line)
    assert isinstance(heard, Refused)
    said = json.loads(heard.line)
    assert said["jsonrpc"] == "2.0"
    return said["id"], said["error"]["code"], said["error"]["message"]


def test_a_call_and_its_answer() -> None:
    client, server = ClientSide(), ServerSide()
    number, line = client.ask("create_link", CreateLink("bob", True))
    [asked] = server.receive(line)
    assert asked == Asked(number, "create_link", CreateLink("bob", True), True)
    [heard] = client.receive(answer(asked.id, LinkMade(7, DESCRIPTION)))
    assert heard == Answered(number, LinkMade(7, DESCRIPTION))


def test_bytes_arrive_as_they_were_whatever_the_pieces() -> None:
    client, server = ClientSide(), ServerSide()
    _, line = client.ask("send_message", SendMessage(1, bytes(range(256))))
    heard = [asked for byte in line * 3 for asked in server.receive(bytes([byte]))]
    assert [asked.params for asked in heard if isinstance(asked, Asked)] == [SendMessage(1, bytes(range(256)))] * 3
    events = [*client.receive(notice(MessageCame(1, "bob", b"\n\0")) + notice(NetworkChanged()))]
    assert events == [Told(MessageCame(1, "bob", b"\n\0")), Told(NetworkChanged())]


def test_a_refusal_arrives_as_an_error() -> None:
    client = ClientSide()
    number, _ = client.ask("trim_link", TrimLink(3))
    [heard] = client.receive(refusal(number, -32001, "There is no link 3."))
    assert isinstance(heard, Answered)
    assert isinstance(heard.result, ModuleError)
    assert (heard.result.code, str(heard.result)) == (-32001, "There is no link 3.")
