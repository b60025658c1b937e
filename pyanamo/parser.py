"""The parser of all command lines: an error is one line, and no flag silently replaces another."""

from __future__ import annotations

import argparse
import re
import textwrap
from collections.abc import Sequence
from typing import Any, NoReturn

from pyanamo.errors import UsageError
from pyanamo.text import did_you_mean


class _Help(argparse.HelpFormatter):
    """Formats help so that it can be copied: a flag is not broken, nor a line that is indented."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(re.sub(r"\s+", " ", text), width, break_on_hyphens=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        lines = []
        for line in text.splitlines():
            lines += [line] if line.startswith(" ") else self._split_lines(line, width)
        return "\n".join(indent + line for line in lines)


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError`. Flags can't be abbreviated: new ones would break scripts.

    A flag that takes one value may be given once.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **settings)
        self._words: Sequence[str] = ()
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        hint = self._hint_at_missing() if "arguments are required" in message else ""
        raise UsageError(f"{message}{hint} (see {self.prog} --help)")

    def _hint_at_missing(self) -> str:
        """What an argument may be that is missing: a command, or a name taken for a flag."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return f": one of {', '.join(action.choices)}"
        flags = self._option_string_actions
        names = (word for word in self._words if word.startswith("-") and word not in ("-", "--"))
        unknown = [name for name in names if name.partition("=")[0] not in flags]
        return f"; a name that begins with - goes after --: -- {unknown[0]}" if unknown else ""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the words. Raises `UsageError` for one that is not known, with the nearest flag."""
        self._words = list(map(str, args or ()))
        self._begins_with_flag = str(args[0]).startswith("-") if args else False
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].partition("=")[0]
            flags = [name for name in self._option_string_actions if name.startswith("--")]
            hint = did_you_mean(flag, flags) if flag.startswith("--") else ""
            if not flag.startswith("-") and "--table" in flags:
                hint = "; a table's name goes after -t"
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return parsed, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Raise an error for a value, or a command, that is none of those that can be."""
        if action.choices is None or value in action.choices:
            return
        choices = list(map(str, action.choices))
        nearest = did_you_mean(str(value), choices)
        if isinstance(action, argparse._SubParsersAction):
            hint = "; flags go after the command" if self._begins_with_flag else ""
            use = f": use {', '.join(choices)}"
            self.error(f"{value!r} is not a command{hint or nearest or use}")
        raise argparse.ArgumentError(
            action, f"{value!r} is not one of {', '.join(choices)}{nearest}"
        )


class _StoreOnce(argparse._StoreAction):
    """Stores a value, and refuses a second one."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        given: set[str] = vars(namespace).setdefault("given_once", set())
        if option_string is not None and self.dest in given:
            raise argparse.ArgumentError(self, "it is given twice, but takes one value")
        given.add(self.dest)
        super().__call__(parser, namespace, values, option_string)
