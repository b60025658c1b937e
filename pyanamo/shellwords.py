"""Split a command into words, as a shell does.

The quoting rules are those of POSIX, "Shell Command Language", section 2.2. `$NAME` and `${NAME}`
are the only expansions: a value is inserted as it is and never split, and a name that isn't set
stays as it is. Operators (`|`, `>`, `;`, `&`) are ordinary characters. A command that needs a shell
must name one: `bash -c '...'`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_VARIABLE = r"\$(?:([A-Za-z_][A-Za-z0-9_]*)|\{([A-Za-z_][A-Za-z0-9_]*)\})"
_TOKEN = re.compile(
    rf"""
      (?P<blank>   [ \t\r\n]+ )
    | '(?P<single> [^']* )'
    | "(?P<double> (?: [^"\\] | \\. )* )"
    | \\(?P<escaped> . )
    | (?P<variable> {_VARIABLE} )
    | (?P<plain>   [^ \t\r\n'"\\$]+ | \$ )
    """,
    re.VERBOSE | re.DOTALL,
)
_IN_DOUBLE_QUOTES = re.compile(rf'\\([$`"\\]|\n)|{_VARIABLE}')
_BROKEN = {
    "'": "a single quote is not closed",
    '"': "a double quote is not closed",
    "\\": "it ends in a backslash, with nothing to escape",
}


def split_words(command: str, environment: Mapping[str, str]) -> list[str]:
    """The words of `command`, with variables from `environment`.

    Raises `ValueError`, with a message for the command's author, if it can't be split.
    """
    words: list[str] = []
    word: str | None = None  # None between words, as '' is a word
    at = 0
    while at < len(command):
        token = _TOKEN.match(command, at)
        if token is None:
            raise ValueError(_BROKEN[command[at]])
        at = token.end()
        if token["escaped"] == "\n":  # the line goes on, as if both weren't there
            continue
        if token["blank"] is None:
            word = (word or "") + _text(token, environment)
        elif word is not None:
            words.append(word)
            word = None
    return words if word is None else [*words, word]


def check_command(command: str) -> None:
    """Raise `ValueError` for a command that could never run."""
    if "\0" in command:
        raise ValueError("it has a NUL byte, which no command can have")
    words = split_words(command, {})
    if not words or not words[0]:
        raise ValueError("it names no command")


def _text(token: re.Match[str], environment: Mapping[str, str]) -> str:
    """The text that one piece of a word stands for."""

    def value(variable: re.Match[str]) -> str:
        return environment.get(variable[variable.lastindex or 0], variable[0])

    if token["variable"] is not None:
        return re.sub(_VARIABLE, value, token["variable"])
    if token["double"] is not None:
        return _IN_DOUBLE_QUOTES.sub(
            lambda found: found[1].replace("\n", "") if found[1] else value(found),
            token["double"],
        )
    if token["escaped"] is not None:
        return token["escaped"]
    return token["single"] or token["plain"] or ""
