"""What the benchmarks print alike: sizes as people type them, medians with their range, targets kept or missed."""

from __future__ import annotations

import argparse
import re
import statistics
from collections.abc import Sequence

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}


def size(text: str) -> int:
    """Read a size as ``head -c`` does: 3G, 200M, 1GB, 1000."""
    match = re.fullmatch(r"(\d+)([A-Z]*)", text.upper())
    if match is None or match[2] not in UNITS:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 3G, 200M, 1GB or a number of bytes")
    return int(match[1]) * UNITS[match[2]]


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Show the median and the range."""
    low, high = min(values), max(values)
    return f"{statistics.median(values):8.{digits}f}  ({low:.{digits}f} to {high:.{digits}f})"


def target(name: str, value: float, *, least: float | None = None, most: float | None = None) -> None:
    """Print a figure and whether it is what is asked of it."""
    kept = (least is None or value >= least) and (most is None or value <= most)
    asked = f"at least {least:.2f}" if least is not None else f"at most {most:.2f}"
    print(f"  {name:<64} {value:7.2f}   ({asked}: {'yes' if kept else 'NO'})", flush=True)


def wanted(names: Sequence[str], only: Sequence[str]) -> list[str]:
    """Choose the names of the parts to run: all, or those of ``--only``."""
    return [name for name in names if not only or name in only]
