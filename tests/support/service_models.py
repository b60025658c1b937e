"""Keep botocore's descriptions of AWS's services in memory.

Each new session reads them again, which takes most of the time that a new client takes.
"""

from __future__ import annotations

import functools
from typing import Any

from botocore.loaders import JSONFileLoader, Loader


def keep_service_models() -> None:
    """Have each of botocore's files read once in this process and its forks."""
    for owner, name in ((JSONFileLoader, "load_file"), (Loader, "list_available_services")):
        setattr(owner, name, _kept(getattr(owner, name)))


def _kept(read: Any) -> Any:
    """The same, but what it has found for some arguments is not read again."""
    found: dict[Any, Any] = {}

    @functools.wraps(read)
    def kept(self: Any, *words: str, **named: str) -> Any:
        key = (tuple(getattr(self, "search_paths", ())), words, *named.items())
        if key not in found:
            answer = read(self, *words, **named)
            if answer is None:
                return None
            found[key] = answer
        return found[key]

    return kept
