"""The parser of all command lines: an error is one line, and no flag silently replaces another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from pyanamo.errors import UsageError
from pyanamo.text import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser that raises `UsageError`. Flags can't be abbreviated: new ones would break scripts.

    A flag that takes one value may be given once.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)
        self.register("action", None, _StoreOnce)
        self.register("action", "store", _StoreOnce)

    def error(self, message: str) -> NoReturn:
        """Raise `UsageError`."""
        raise UsageError(f"{message} (see {self.prog} --help)")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the words. Raises `UsageError` for one that is not known, with the nearest flag."""
        self._begins_with_flag = str(args[0]).startswith("-") if args else False
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            flag = unknown[0].partition("=")[0]
            flags = [name for name in self._option_string_actions if name.startswith("--")]
            nearest = did_you_mean(flag, flags) if flag.startswith("--") else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{nearest}")
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
