"""What a user means by the path in ``/send PATH``."""

from __future__ import annotations

import os
import shlex

from tincan.apps.files import Source, named
from tincan.errors import UsageError


def source_of(text: str) -> Source:
    """Return what the user wants to send; a path may be quoted as for a shell, as terminals do on drag and drop."""
    path = os.path.expanduser(text)
    if not os.path.lexists(path):
        try:
            words = shlex.split(text)
        except ValueError:  # a quote without its twin is part of the name
            words = []
        if len(words) == 1 and words[0] != "-":
            path = os.path.expanduser(words[0])
    try:
        source = named(path)
    except UsageError as exc:  # there are no options here
        raise UsageError(f"{str(exc).partition('; give ')[0].rstrip('.')}.") from exc
    except ValueError as exc:
        raise UsageError("That is no path; say what to send: /send PATH, a file or a folder.") from exc
    if source.path is None:
        raise UsageError("Standard input is taken by the conversation; name a file or a folder.")
    return source
