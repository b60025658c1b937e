"""Find names that occur twice, in little memory."""

from __future__ import annotations

from array import array
from collections import Counter

_PARTS = 64  # so that the set of a part is small next to all names


class Names:
    """Collects the hashes of names: 8 bytes per name, where a set takes over 100."""

    def __init__(self) -> None:
        self._parts = [array("q") for _ in range(_PARTS)]

    def add(self, name: str) -> None:
        """Add a name."""
        key = hash(name)
        self._parts[key % _PARTS].append(key)

    def repeated(self) -> set[int]:
        """The hashes that occur twice. Different names can have the same: compare them."""
        found: set[int] = set()
        for part in self._parts:
            if len(set(part)) < len(part):
                found.update(key for key, count in Counter(part).items() if count > 1)
        return found
