"""A pump: ``python -m tincan.vpn.path.pump in|out|both CONTROL PARTNER TAP MODE RUNS``, started by the driver."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence

from tincan.vpn.path.hub import Hub
from tincan.vpn.path.inpump import InPump
from tincan.vpn.path.outpump import OutPump
from tincan.vpn.path.plane import Mode
from tincan.vpn.path.words import Failed

PRIORITY = -10
"""Packets wait for the pumps, so pumps do not wait."""


def _failed(kind: type[BaseException], value: BaseException, trace: object) -> None:
    """Say why a pump ends, which is a defect, in a line."""
    sys.stderr.write(f"A pump of the virtual network failed: {kind.__name__}: {value}\n")


def main(arguments: Sequence[str]) -> int:
    """Run until the driver goes away."""
    which, mode, runs = arguments[0], Mode(arguments[4]), arguments[5] == "1"
    control, partner, tap = map(int, arguments[1:4])
    sys.excepthook = _failed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the driver, which ends us
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, PRIORITY)
    hub = Hub(control, None if which == "both" else partner, tap)
    outward = None if which == "in" else OutPump(hub, mode)
    if which != "out":
        InPump(hub, mode, runs, None if outward is None else outward.answer)
    # The loop makes no cycles; looking for them would only make packets wait.
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        return hub.run()
    except Exception as exc:
        hub.tell_driver(Failed(f"{type(exc).__name__}: {exc}"))
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
