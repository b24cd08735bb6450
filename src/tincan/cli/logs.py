"""Logging: nothing unless asked for, and never a secret."""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import Any

from tincan.apps.text import visible
from tincan.cli.main import remark
from tincan.errors import UsageError


class _Formatter(logging.Formatter):
    """What others said is in some messages: nothing in them may be obeyed by a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        return visible(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:
        """See `logging.Formatter`."""
        return visible(super().formatException(ei), multiline=True)


class _LogFile(logging.FileHandler):
    """A log that is given up, with one sentence, once it cannot be written any further."""

    def handleError(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        problem = sys.exc_info()[1]
        if not isinstance(problem, OSError):
            super().handleError(record)
            return
        logging.getLogger().removeHandler(self)
        with contextlib.suppress(OSError):
            self.close()
        remark(f"tin-can: The log cannot be written any further ({problem.strerror}).")


def set_up_logging(verbose: int, log_file: str | None) -> None:
    """Log to stderr with -v (what tin-can does) or -vv (libraries too), or to a file (everything)."""
    root = logging.getLogger()
    root.addHandler(logging.NullHandler())  # else warnings of libraries would be printed
    # Its frames hold logins of TURN servers, and the token by which a switchboard knows us.
    logging.getLogger("websockets").setLevel(logging.INFO)
    form = _Formatter("%(asctime)s %(name)s %(levelname)s %(message)s")
    if verbose:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(form)
        logging.getLogger("tincan" if verbose == 1 else None).addHandler(handler)
        logging.getLogger("tincan").setLevel(logging.INFO if verbose == 1 else logging.DEBUG)
        if verbose > 1:
            root.setLevel(logging.DEBUG)
    if log_file is not None:
        try:
            handler = _LogFile(log_file, encoding="utf-8")
        except OSError as exc:
            raise UsageError(f"The log cannot be written to {log_file} ({exc.strerror}).") from exc
        handler.setFormatter(form)
        root.addHandler(handler)
        root.setLevel(logging.DEBUG)
