"""Failed items, grouped by what they have in common. No I/O.

Items that fail for the same reason seldom print the same words: each names its own sample, file and
line. So what may differ between such items is masked, and items with the same masked message form a
group.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from pyanamo.model import Item, TaskStatus
from pyanamo.output.lines import last_line_of
from pyanamo.shellwords import split_words

MASK = "*"
EXAMPLES = 3  # items that a group names
SHORTEST_NAME = 2  # characters: a shorter name often occurs in the message by chance

# PyAnamo's own part of a reason isn't masked: its numbers tell causes apart.
_OWN_WORDS = re.compile(r"exit code \d+|killed by signal \d+|timed out after [\d.e+]+ s")

_QUOTED = re.compile(
    r"""(?<!\w) (?: '[^']*' | "[^"]*" | `[^`']*[`'] | ‘[^’]*’ | “[^”]*” | «[^»]*» ) (?!\w)""",  # noqa: RUF001
    re.VERBOSE,
)
_WORD_START = r"(?<![\w.+*-])"
_IN_PATH = r"[^\s'\"`:;,()\[\]{}<>=|]"
_PATH = re.compile(
    rf"""
      \b[A-Za-z][A-Za-z0-9+.-]*://\S+           # a URL
    | (?<![\w*.]) (?:~|\.\.?)? / {_IN_PATH}+      # /data/x, ./x, ../x, ~/x
    | {_WORD_START} [\w.+*-]+ (?: / [\w.+*-]+ ){{2,}} /?   # a/b/c, but not "Input/output error"
    | {_WORD_START} [\w.+*-]+ / [\w+-]* [.*\d] [\w.+*-]*    # a/b.txt, a/b7
    """,
    re.VERBOSE,
)
_DATE_NAME = (
    r"(?:(?:Mon|Tues?|Wed(?:nes)?|Thu(?:rs)?|Fri|Sat(?:ur)?|Sun)(?:day)?"
    r"|Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?"
    r"|Aug(?:ust)?|Sep(?:tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_DATE_WORD = re.compile(rf"\b{_DATE_NAME}\b,?(?=\s+(?:\d|{_DATE_NAME}\b))")
# A number, a date, an id, `chr12`, `Sample7.bam`; or a word in which something was masked.
_VARYING_WORD = re.compile(rf"{_WORD_START}[\w.+*-]*[\d*](?:[\w.+*-]*[\w*])?")
_HEX_WORD = re.compile(r"\b[0-9a-fA-F]{8,}\b")
_SEVERAL = re.compile(r"\*(?:(?:\s|[:,/]|,\s)\*)+")  # a date and a time, a list of any length


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedItem:
    """The parts of a failed item that are compared."""

    item_id: str
    task_id: str
    reason: str
    exit_code: int | None
    last_line: str  # of stderr, apart from empty lines
    arguments: tuple[str, ...] = ()  # of the task that failed


@dataclass(frozen=True, kw_only=True, slots=True)
class FailureGroup:
    """Failed items that are the same apart from what is masked."""

    group_id: str  # 6 hex digits
    reason: str  # masked
    exit_code: int | None
    last_line: str  # masked
    count: int
    example_id: str  # the first of its items by name
    example_line: str  # that item's last line, not masked
    example_reason: str  # that item's reason, not masked
    examples: tuple[str, ...]  # the first few of its items by name


def failed_item(item: Item) -> FailedItem:
    """The parts of an item that are compared; of a nested item, its first failed task's.

    An item that was lost has no last line: what an earlier attempt printed doesn't explain it.
    """
    failed = next((task for task in item.tasks if task.status is TaskStatus.FAILED), item.tasks[0])
    result = item.results.get(failed.name)
    explains = result is not None and result.reason == item.reason
    return FailedItem(
        item_id=item.item_id,
        task_id=item.task_id,
        reason=item.reason,
        exit_code=item.exit_code,
        last_line=last_line_of(result) if result is not None and explains else "",
        arguments=tuple(_arguments(failed.script)),
    )


def group_failures(items: Iterable[FailedItem]) -> list[FailureGroup]:
    """Group the items, the largest group first. The order of the items doesn't matter.

    Only the groups are kept in memory. Each item must be given once.
    """
    groups: dict[str, FailureGroup] = {}
    for item in items:
        alone = _group_of(item)
        known = groups.get(alone.group_id)
        groups[alone.group_id] = alone if known is None else _joined(known, alone)
    return sorted(groups.values(), key=lambda group: (-group.count, group.group_id))


def group_id_of(item: FailedItem) -> str:
    """The id of the item's group. It is the same in every run and version of Python."""
    return _group_of(item).group_id


def masked(text: str, names: Iterable[str] = ()) -> str:
    """A line with `*` for everything that may differ between items of a group.

    That is the given names, quoted parts, paths and URLs, and words with a digit in them: numbers,
    dates, ids. All have the same mark, since one item's name may look like another one's number.
    """
    for name in sorted(set(names), key=lambda name: (-len(name), name)):
        if len(name) < SHORTEST_NAME or name not in text:
            continue
        masked_anyway = _VARYING_WORD.fullmatch(name)  # by the patterns below
        if not masked_anyway:
            text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", MASK, text)
    for pattern in (_QUOTED, _PATH, _DATE_WORD, _HEX_WORD, _VARYING_WORD, _SEVERAL):
        text = pattern.sub(MASK, text)
    return re.sub(r"\s+", " ", text)


def _group_of(item: FailedItem) -> FailureGroup:
    """The item's group, with the item alone in it."""
    names = (item.item_id, item.task_id, *item.arguments)
    own = _OWN_WORDS.match(item.reason)
    told = own[0] if own else ""
    reason = told + masked(item.reason[len(told) :], names)
    last_line = masked(item.last_line, names)
    key = repr((reason, item.exit_code, last_line))
    return FailureGroup(
        group_id=hashlib.blake2b(key.encode(), digest_size=3).hexdigest(),
        reason=reason,
        exit_code=item.exit_code,
        last_line=last_line,
        count=1,
        example_id=item.item_id,
        example_line=item.last_line,
        example_reason=item.reason,
        examples=(item.item_id,),
    )


def _joined(one: FailureGroup, other: FailureGroup) -> FailureGroup:
    """Both groups as one, with the example that comes first by name."""
    first = min(one, other, key=lambda group: group.example_id)
    examples = tuple(sorted({*one.examples, *other.examples})[:EXAMPLES])
    return replace(first, count=one.count + other.count, examples=examples)


def _arguments(script: str) -> Iterator[str]:
    """What a command works on: its words and their parts, without options and paths.

    The program isn't included: it is something that the items of a group have in common.
    """
    try:
        _program, *words = split_words(script, {})
    except ValueError:  # the command can't be split, or is empty: that is why it failed
        return
    for word in words:
        option, equals, value = word.partition("=")
        value = value if equals else option
        if value.startswith("-") or "/" in value or re.search(r"\s", value):
            continue  # paths are masked anyway; a word with blanks is a script or a sentence
        for part in (value, *re.split("[,;:]", value)):
            yield part
            yield part.partition(".")[0]
