"""Messages about the lines of a file, limited in number and length."""

from __future__ import annotations

from bisect import insort

MOST = 20  # messages that are shown: enough to see what they have in common
_SHOWN = 80  # characters of an offending text


class Messages:
    """The first messages about a file by line, and how many there are in all."""

    def __init__(self, name: str, what: str) -> None:
        """`name` is what the messages call the file; `what` is what they tell of, in the plural."""
        self.count = 0
        self._name = name if name.isprintable() else escaped(name)
        self._what = what
        self._first: list[tuple[int, str]] = []

    def note(self, number: int, text: str) -> None:
        """Note a message about a line; about the file as a whole if `number` is 0."""
        self.count += 1
        if len(self._first) == MOST:
            if number >= self._first[-1][0]:
                return
            self._first.pop()
        insort(self._first, (number, text), key=lambda message: message[0])

    def __str__(self) -> str:
        """One line per message; the last one says how many aren't shown."""
        lines = [
            f"{self._name}:{number}: {text}" if number else f"{self._name}: {text}"
            for number, text in self._first
        ]
        if self.count > MOST:
            lines.append(f"{self._name}: and {self.count - MOST} more {self._what}")
        return "\n".join(lines)


def shown(text: str) -> str:
    """A text for a message: quoted, on one line, and shortened if it is long."""
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")


def escaped(text: str) -> str:
    """The same without the quotes."""
    return shown(text)[1:-1]
