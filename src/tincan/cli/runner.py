"""asyncio.run as the commands want it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import sys
from collections.abc import Coroutine
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

logger = logging.getLogger(__name__)

YOUNG = 10_000
"""Objects that are made before Python looks for garbage: with its own 700 that is 37 times while a link is made."""


def run_async(main: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine; SIGTERM and SIGHUP end it as Ctrl-C does (KeyboardInterrupt).

    A signal that the program was started without (``nohup``) stays ignored.
    """

    async def wrapped() -> T:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(_log)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - this is a task
        for name, end in (("SIGTERM", task.cancel), ("SIGHUP", partial(_hang_up, task))):
            with contextlib.suppress(NotImplementedError, AttributeError, RuntimeError):  # Windows
                number = getattr(signal, name)
                if signal.getsignal(number) is not signal.SIG_IGN:
                    loop.add_signal_handler(number, end)
        gc.freeze()  # what was imported stays: looking through it again and again finds nothing
        gc.set_threshold(YOUNG)
        gc.enable()
        return await main

    try:
        return asyncio.run(wrapped())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _hang_up(task: asyncio.Task[Any]) -> None:
    """End, without a word: the terminal has gone, or ssh has no more use for its ProxyCommand."""
    with open(os.devnull, "w") as nobody:
        os.dup2(nobody.fileno(), sys.stderr.fileno())
    task.cancel()


def _log(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # Tasks that aiortc leaves to themselves end here when a link is torn down under them.
    logger.debug("in the loop: %s", context.get("message"), exc_info=context.get("exception"))
