"""The entry point.

``--help`` and ``--version`` are answered from a table before click, or
anything else, is imported. Errors become one sentence and an exit code here,
in one place.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time

TYPE_CHECKING = False  # as typing's, which takes 2 ms to import
if TYPE_CHECKING:
    from typing import NoReturn

    import click

STARTED = time.monotonic()
"""When this process began, as nearly as it can know: `connected` events count from here."""


def run() -> NoReturn:
    """Run the command line and end the process with its exit code."""
    _open_what_is_closed()
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # whoever takes a line sees by itself whether it is text
    arguments = sys.argv[1:]
    plain_help = arguments in (["--help"], ["-h"], ["help"]) or (not arguments and not at_a_screen())
    if plain_help and "_TIN_CAN_COMPLETE" not in os.environ:
        from tincan.cli.commands import top_help

        code = _say(top_help())
    elif arguments == ["--version"]:
        from tincan import __version__

        code = _say(f"tin-can {__version__}")
    else:
        code = _dispatch(arguments)
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 1
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    # Threads that sit in the resolver or in a read of the terminal cannot be
    # ended, and must not hold up the prompt: everything is flushed and closed.
    os._exit(code)


def _open_what_is_closed() -> None:
    """Give a program that was started with closed streams (``tin-can <&-``) empty ones.

    Else Python's are None, and the first socket would get the number of stdin.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - as long as the process lives


def at_a_screen() -> bool:
    """Whether a person sits at a terminal that can show screens."""
    kind = os.environ.get("TERM", "dumb" if os.name == "posix" else "")
    return sys.stdin.isatty() and sys.stdout.isatty() and kind not in ("dumb", "unknown")


def _say(text: str) -> int:
    try:
        print(text, flush=True)
    except OSError:
        return 1
    return 0


def _dispatch(arguments: list[str]) -> int:
    import gc

    # Imports make many objects and no garbage; collecting meanwhile costs a tenth of the start.
    gc.disable()
    import click

    from tincan.cli.group import group
    from tincan.errors import TinCanError

    try:
        result = group.main(arguments, prog_name="tin-can", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Abort:
        return _interrupted()
    except click.UsageError as exc:
        if isinstance(exc, _no_command()):
            remark(exc.format_message())
            return 2
        return _complain(_usage(exc), 2)
    except click.ClickException as exc:
        return _complain(exc.format_message(), exc.exit_code)
    except click.exceptions.Exit as exc:
        return int(exc.exit_code)
    except TinCanError as exc:
        if _verbose(arguments):
            _traceback()
        return _complain(str(exc), exc.exit_code)
    except (KeyboardInterrupt, EOFError):
        return _interrupted()
    except (BrokenPipeError, SystemExit) as exc:  # click makes the one of the other
        if isinstance(exc.__context__, KeyboardInterrupt):  # which click tells, and found nobody to tell
            return _interrupted()
        # Nobody reads us any more; stdout must not complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as exc:  # the last door: no traceback reaches a user who did not ask for it
        if _verbose(arguments):
            _traceback()
        return _complain(
            f"Something went wrong inside tin-can ({type(exc).__name__}: {exc}). Run it again with -v for details.", 1
        )


def _no_command() -> tuple[type[Exception], ...]:
    """Return what click raises where a group is called without a command, if it does: its text is the help."""
    import click

    found = getattr(click.exceptions, "NoArgsIsHelpError", None)
    return () if found is None else (found,)


def _usage(exc: click.UsageError) -> str:
    message = exc.format_message()
    end = "" if message.endswith((".", "?", "!")) else "."
    where = exc.ctx.command_path if exc.ctx is not None else "tin-can"
    return f"{message}{end} See '{where} --help'."


def _interrupted() -> int:
    return _complain("Interrupted.", 130)


def _complain(text: str, code: int) -> int:
    from tincan.apps.text import visible  # a server's words may be in it

    remark(f"tin-can: {visible(text, multiline=True)}")
    return code


def remark(text: str) -> None:
    """Print on stderr. That nobody reads it must neither end a command nor change its exit code."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def _verbose(arguments: list[str]) -> bool:
    return any(a == "--verbose" or (a.startswith("-v") and set(a[1:]) == {"v"}) for a in arguments)


def _traceback() -> None:
    import traceback

    from tincan.apps.text import visible

    remark(visible(traceback.format_exc().rstrip(), multiline=True))
