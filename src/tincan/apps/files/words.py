"""What people are told of a transfer, in words. Pure; everything is safe to show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tincan.apps.files.events import NotSent, Offered, Outcome, Progress
from tincan.apps.text import visible

MAX_SHOWN: Final = 48
"""Characters of a name in a sentence; a question shows all of it."""


def progress_words(progress: Progress) -> str:
    """Return how far it is: percent, bytes, rate, time left."""
    if progress.total is None:
        parts = [human(progress.done)]
    else:
        parts = [f"{100 * progress.done // max(progress.total, 1):3d} %", human(progress.done)]
    parts.append(f"{human(progress.rate)}/s")
    if progress.left is not None:
        parts.append(f"{duration(progress.left)} left")
    return "  ".join(parts)


def offer_words(offer: Offered, peer: str) -> Iterator[str]:
    """Yield what a person has to see to say yes or no."""
    yield f"{visible(peer)} offers {counted(offer.files, offer.folders)}{total_of(offer)}:"
    for top in offer.top:
        size = human(top.size) if offer.total is not None or top.size else "size unknown"
        yield f"  {visible(top.name)}{'/' if top.folder else ''}  ({size})"
    if offer.more:
        yield f"  ... and {offer.more} more"


def summary(outcome: Outcome, sending: bool, where: str) -> str:
    """Return how it went, in one sentence."""
    seconds = max(outcome.seconds, 0.001)
    word = "Sent" if sending else "Received"
    rate = f" ({human(outcome.moved / seconds)}/s)" if outcome.moved else ""
    there = outcome.bytes - outcome.moved
    known = f"; {human(there)} of it was there already" if there > 0 else ""
    return (
        f"{word} {counted(outcome.files, 0)}, {human(outcome.bytes)} in {seconds:.1f} s{rate} "
        f"{where.rstrip('.')}{known}."
    )


def moving_words(progress: Progress, *, sending: bool, short: bool = False) -> str:
    """Return how far a transfer within a conversation is; ``short``: one of several on a line."""
    verb = "Sending" if sending else "Receiving"
    if not short:
        return f"{verb}  {progress_words(progress)}"
    return f"{verb} {progress_words(progress).strip().partition('  ')[0]}"


def ended_words(name: str, outcome: Outcome | None, text: str, *, sending: bool) -> str:
    """Return how a transfer within a conversation ended."""
    what = short_name(name)
    if outcome is None:
        return f"{what} was not {'sent' if sending else 'received'}: {visible(text).rstrip('.')}."
    how = summary(outcome, sending, "to the other can" if sending else "into this folder")
    return f"{what}: {how.rstrip('.')} ({visible(text)})." if text else f"{what}: {how}"


def stopped_words(*, sending: bool, began: bool, accepted: bool) -> str:
    """Return why a transfer within a conversation stopped. ``began`` False: this side has left."""
    if not accepted:
        return "the other can did not take it" if sending else "the offer was taken back"
    who = "the other can went away" if began else "the conversation ended"
    again = (
        "when the same is sent again it goes on from there" if not sending else "the same /send goes on from there"
    )
    return f"{who} before everything was there; {again}"


def not_sent_words(event: NotSent) -> str:
    """Return what was never offered: "2 symlinks"."""
    return f"1 {event.what.removesuffix('s')}" if event.count == 1 else f"{event.count} {event.what}"


def short_name(name: str) -> str:
    """Return a name for a sentence, safe to show and not longer than a line: its beginning and its end."""
    shown = visible(name) or "It"
    return shown if len(shown) <= MAX_SHOWN else f"{shown[: MAX_SHOWN - 16]} ... {shown[-11:]}"


def counted(files: int, folders: int) -> str:
    """Return how many there are, in words."""
    text = f"{files} file{'' if files == 1 else 's'}"
    return f"{text} in {folders} folder{'' if folders == 1 else 's'}" if folders else text


def total_of(offer: Offered) -> str:
    """Return how much it is, as an addition to a sentence."""
    return ", size unknown" if offer.total is None else f", {human(offer.total)}"


def human(size: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 999.5 or unit == "TB":
            break
        size /= 1000
    if unit == "bytes":
        return "1 byte" if size == 1 else f"{size:.0f} bytes"
    return f"{size:.1f} {unit}" if size < 99.95 else f"{size:.0f} {unit}"


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
