"""Options that belong together, given to a command as one value."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


def gathered(
    name: str, options: Sequence[Callable[[Any], Any]], read: Callable[[Mapping[str, Any]], object]
) -> Callable[[F], F]:
    """Give a command ``options``; it receives what ``read`` makes of them, as ``name``.

    Stands above the command's own options and arguments.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(**given: Any) -> Any:
            own = {option: given.pop(option) for option in names}
            return function(**{name: read(own)}, **given)

        before = len(getattr(function, "__click_params__", []))
        decorated = wrapper
        for option in reversed(options):
            decorated = option(decorated)
        names = [parameter.name for parameter in getattr(decorated, "__click_params__", [])[before:]]
        return decorated  # type: ignore[return-value]

    return decorate
