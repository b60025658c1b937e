"""Split a command into words, as a shell does.

The quoting rules are those of POSIX, "Shell Command Language", section 2.2. `$NAME` and `${NAME}`
are the only expansions: a value is inserted as it is and never split, and a name that isn't set
stays as it is. Operators (`|`, `>`, `;`, `&`) are ordinary characters. A command that needs a shell
must name one: `bash -c '...'`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

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
_SPECIAL = re.compile(r"""['"\\$]""")  # most commands have none of these
_PLAIN_WORD = re.compile(r"[^ \t\r\n]+")
_IN_DOUBLE_QUOTES = re.compile(rf'\\([$`"\\]|\n)|{_VARIABLE}')
_BROKEN = {
    "'": "a single quote is not closed",
    '"': "a double quote is not closed",
    "\\": "it ends in a backslash, with nothing to escape",
}

# Linux's MAX_ARG_STRLEN, of a word with its NUL (execve(2)). An item is too small for as many words
# as would reach the limit of all of them together, 6 MB if the stack isn't limited.
MAX_WORD_BYTES = 131_072
_UTF_8_BYTES = 4  # of a character, at most

MOST_SYNTAX = 5  # texts that mean something to a shell only: enough to see what is meant
_SHELLS = {"sh", "ash", "bash", "csh", "dash", "fish", "ksh", "mksh", "tcsh", "zsh"}
_SHELL_CHARACTERS = re.compile(r"[|&;<>*?~`#]|\$[({]|\{[^{}]*(?:,|\.\.)|^\s*\w+=")
# In a command whose quoted parts and variables are each a `_`; a group is what is shown.
_SHELL_SYNTAX = re.compile(
    r"""
      (?P<operator>   (?: (?<!\S) \d )? [<>]{1,2} | \|{1,2} | &{1,2} | ;{1,2} )
    | (?P<replaced>   ` | \$\( | \$\{ )
    | (?<!\S) (?P<at_start> ~ (?= / | \s | $ ) | \# )
    # A pattern that a file's name could match: no option, no URL, no NAME=VALUE.
    | (?<!\S) (?! - | \S*:// ) [^\s=*?]* (?P<pattern> [*?] )
    | (?P<braces>     \{ (?: [^\s{},.] | \.(?!\.) )* (?: , | \.\. ) [^\s{}]* \} )
    | ^\s* (?P<assignment> [A-Za-z_]\w*= )
    """,
    re.VERBOSE | re.ASCII,
)
_NO_SUBSTITUTION = re.compile(rf"\\.|{_VARIABLE}|[^`$({{]", re.DOTALL)


def split_words(command: str, environment: Mapping[str, str]) -> list[str]:
    """The words of `command`, with variables from `environment`.

    Raises `ValueError`, with a message for the command's author, if it can't be split.
    """
    if not _SPECIAL.search(command):
        return _PLAIN_WORD.findall(command)
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
        raise ValueError("it contains a NUL byte")
    words = split_words(command, {})
    if not words or not words[0]:
        raise ValueError("it is empty")
    if len(command) * _UTF_8_BYTES >= MAX_WORD_BYTES:
        _check_words(words)


def shell_syntax(command: str) -> list[str]:
    """The first different texts in a command that a shell would act on and `split_words` doesn't.

    They are one more than `MOST_SYNTAX` if there are more.

    What is in single quotes or behind a backslash is never such a text. In double quotes a command
    or a parameter that a shell would substitute is one, unless the command names a shell, which
    then does that itself: `bash -c "echo $(date)"`.
    """
    if not _SHELL_CHARACTERS.search(command):
        return []
    has_shell = any(word.rpartition("/")[2] in _SHELLS for word in split_words(command, {}))

    def unquoted(token: re.Match[str]) -> str:
        """The same with as many underscores as there are characters that no shell acts on."""
        if token["double"] is not None and not has_shell:
            return f"_{_NO_SUBSTITUTION.sub(_underscores, token['double'])}_"
        return token[0] if token["blank"] or token["plain"] else _underscores(token)

    found = _SHELL_SYNTAX.finditer(_TOKEN.sub(unquoted, command))
    texts: dict[str, None] = {}
    while len(texts) <= MOST_SYNTAX and (match := next(found, None)):
        start, end = match.span(match.lastgroup or 0)
        texts[command[start:end]] = None
    return list(texts)


def _underscores(match: re.Match[str]) -> str:
    return "_" * len(match[0])


def _check_words(words: Sequence[str]) -> None:
    """Raise `ValueError` if a word is too long for the system, whatever its variables stand for."""
    for word in words:
        size = len(re.sub(_VARIABLE, "", word).encode())
        if size >= MAX_WORD_BYTES:
            raise ValueError(
                f"it has a word of {size:,} bytes, where a program can be given at most "
                f"{MAX_WORD_BYTES - 1:,}: put it in a file for the command to read"
            )


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
