"""The table of commands: name, usage, what it does, where it is."""

from __future__ import annotations


class Command:
    """One command. ``module`` is imported, and the name after its colon taken, only when it is used.

    Not a dataclass: `--help` would take a third longer for importing that.
    """

    __slots__ = ("arguments", "module", "name", "summary")

    def __init__(self, name: str, arguments: str, summary: str, module: str) -> None:
        self.name = name
        self.arguments = arguments
        self.summary = summary
        self.module = module


COMMANDS = (
    Command("attach-string", "[PHRASE]", "create a string and wait; text chat", "tincan.cli.chat:attach_string"),
    Command("tap", "[PHRASE]", "join it", "tincan.cli.chat:tap"),
    Command("talk", "[PHRASE]", "voice and text; whoever comes first waits", "tincan.cli.chat:talk"),
    Command("pipe", "[PHRASE]", "stdin to the other can, and its stdin to stdout", "tincan.cli.pipe:pipe"),
    Command("send", "PATH...", "send files and folders", "tincan.cli.files:send"),
    Command("receive", "[PHRASE]", "receive them", "tincan.cli.files:receive"),
    Command("forward", "[PHRASE]", "ports through the string, as ssh -L and -R", "tincan.cli.forward:forward"),
    Command("tete", "-myip A -peerip B", "a pipe by addresses, with no meeting", "tincan.cli.tete:tete"),
    Command("friend", "add|list|remove|rename", "friends, for 'net social up'", "tincan.cli.friend:friend"),
    Command("net", "create|join|up ...", "group networks: machines anywhere on one network", "tincan.cli.net:net"),
    Command("switchboard", "", "run a switchboard, where cans meet", "tincan.cli.switchboard:switchboard"),
    Command("linkd", "", "the TinCan module: links for virtual networks", "tincan.cli.linkd:linkd"),
    Command("doctor", "[PLACE]", "what this machine and network can do", "tincan.cli.doctor:doctor"),
    Command("config", "", "show each setting and where it came from", "tincan.cli.config:config"),
    Command("upgrade", "", "update this installation", "tincan.cli.upgrade:upgrade"),
    Command("demo", "", "two cans on this machine find each other and talk", "tincan.cli.demo:demo"),
)


def top_help() -> str:
    """Return the text of ``tin-can --help``."""
    width = max(len(f"{c.name} {c.arguments}") for c in COMMANDS) + 2
    lines = [
        "Usage: tin-can COMMAND [OPTIONS] [PHRASE]",
        "",
        "  Two cans, one string: an encrypted link between two terminals, found by a",
        "  shared phrase.",
        "",
        "  One of you types     tin-can attach-string     and reads the phrase to the other,",
        "  who types            tin-can tap PHRASE",
        "",
        "  tin-can alone opens the screens for both, and for more.",
        "",
        "Commands:",
        *(f"  {f'{c.name} {c.arguments}':<{width}}{c.summary}" for c in COMMANDS),
        "",
        "Options:",
        "  --version  show the version",
        "  --help     show this, or after a command what that command takes",
        "",
        "Two cans on one machine or one LAN need no server. To meet across networks, both",
        "name the same switchboard: --switchboard URL, or TIN_CAN_SWITCHBOARD.",
    ]
    return "\n".join(lines)
