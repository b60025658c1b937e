"""The command that prints a script for a shell, which then completes commands, flags and values."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence

from pyanamo.console.arguments import Commands, add_plain_command
from pyanamo.parser import Parser

SHELLS = ("bash", "zsh")
_PILOT, _IMPORT, _OPERATOR = "pyanamo-pilot|pyanamo.py", "pyanamo-import|import-items.py", "pyanamo"
_FILES = ("FILE", "DIR")  # what flags call values that are files or folders

_BASH_IN_ZSH = """\
(( $+functions[compdef] )) || { autoload -U compinit && compinit; }
autoload -U bashcompinit && bashcompinit"""
_SCRIPT = """\
_pyanamo() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}}
    local command=${{COMP_WORDS[0]##*/}} words=
    COMPREPLY=()
    if [ "$command" = pyanamo ] && [ "$COMP_CWORD" -gt 1 ]; then
        command="pyanamo ${{COMP_WORDS[1]}}"
    fi
    case "$command" in
{programs}
    esac
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
complete -F _pyanamo {names}
"""
_PROGRAM = """\
    {pattern})
        case "$before" in
{values}
        *) words={words} ;;
        esac ;;"""


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    parser = add_plain_command(
        commands,
        "completion",
        run_completion,
        "print a script with which a shell completes PyAnamo's commands",
        'completion bash; in ~/.bashrc: eval "$(pyanamo completion bash)"',
    )
    parser.add_argument("shell", choices=SHELLS, help="the shell: bash or zsh")


def run_completion(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from pyanamo.console.command_line import operator_parser

    if arguments.shell == "zsh":
        print(_BASH_IN_ZSH)
    print(script(operator_parser(_OPERATOR)), end="")
    return 0


def script(operator: Parser) -> str:
    """The script for bash."""
    # These import much that no other command needs.
    from pyanamo.importer import import_parser
    from pyanamo.pilot.command_line import pilot_parser

    programs = {_PILOT: pilot_parser(), _IMPORT: import_parser(), _OPERATOR: operator}
    for action in operator._actions:
        if isinstance(action, argparse._SubParsersAction):
            programs |= {
                shlex.quote(f"pyanamo {name}"): each for name, each in action.choices.items()
            }
    names = " ".join(name for key in (_OPERATOR, _PILOT, _IMPORT) for name in key.split("|"))
    parts = (_program(pattern, parser) for pattern, parser in programs.items())
    return _SCRIPT.format(programs="\n".join(parts), names=names)


def _program(pattern: str, parser: Parser) -> str:
    """What may come next on the command line of a program or command."""
    flags = [action for action in parser._actions if action.option_strings]
    positional = [action for action in parser._actions if not action.option_strings]
    words = [str(choice) for action in positional for choice in action.choices or ()]
    words += [action.option_strings[-1] for action in flags]
    return _PROGRAM.format(
        pattern=pattern, values="\n".join(_values(flags)), words=shlex.quote(" ".join(words))
    )


def _values(flags: Sequence[argparse.Action]) -> Iterator[str]:
    """The cases of flags that take a value."""
    taking = [flag for flag in flags if flag.nargs != 0]
    for flag in taking:
        if flag.choices is not None:
            choices = shlex.quote(" ".join(map(str, flag.choices)))
            yield f"        {_names([flag])}) words={choices} ;;"
    files = [flag for flag in taking if flag.metavar in _FILES]
    if files:
        yield f'        {_names(files)}) COMPREPLY=($(compgen -f -- "$word")); return ;;'
    others = [flag for flag in taking if flag.choices is None and flag.metavar not in _FILES]
    yield f"        {_names(others) or chr(39) * 2}) return ;;"


def _names(flags: Sequence[argparse.Action]) -> str:
    return "|".join(name for flag in flags for name in flag.option_strings)
