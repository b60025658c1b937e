"""The pilot's own log."""

from __future__ import annotations

import json
import re

from tests.support.place import Place

LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (DEBUG|INFO|WARNING|ERROR) "
    r'(?:\w+=(?:"(?:[^"\\]|\\.)*"|[^ "]+) )*\S.*'
)


def test_one_line_an_event(local: Place) -> None:
    names = ["plain", "two words", "a \"quoted\" 'name'", "a\nb\rc\u2028d", "k=v", "ä"]
    commands = ["true", '"no-such\rprogram\u2028"']

    def events(flag: str) -> list[str]:
        local.fill({f"{name}{flag}": commands for name in names})
        return local.run("-v", "--log-format", flag).stderr.removesuffix("\n").split("\n")

    objects = [json.loads(line) for line in events("json")]
    assert len(objects) == 4 * len(names), "claimed, a line a task, failed"
    for name in names:
        about = [fields for fields in objects if fields["itemID"] == f"{name}json"]
        assert [fields["level"] for fields in about] == ["INFO", "DEBUG", "DEBUG", "WARNING"]
        assert [fields.get("task") for fields in about] == [None, "Task_0", "Task_1", None]
        assert all(fields["TaskID"] == f"{name}json-group" for fields in about)
        assert all(LOG_LINE.match(fields["time"] + " INFO x") for fields in about)
        assert "command not found: no-such\rprogram\u2028" in about[-1]["message"]
        assert set(about[1]) == {"time", "level", "itemID", "TaskID", "task", "message"}

    lines = events("text")
    assert len(lines) == len(objects)
    for line in lines:
        assert LOG_LINE.fullmatch(line)
        assert len(line.splitlines()) == 1
    odd = "a\\nb\\rc\\u2028dtext"
    task = f' itemID="{odd}" TaskID="{odd}-group" task=Task_1 '
    assert sum(task in line for line in lines) == 1
    claimed = " itemID=plaintext TaskID=plaintext-group claimed, attempt 1"
    assert sum(claimed in line for line in lines) == 1
