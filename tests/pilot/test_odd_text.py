"""Bytes that aren't UTF-8, and locales without it: tasks get them, tables get readable text."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from pyanamo.model import ItemState
from pyanamo.workflow import Selection
from tests.support.logs import log_file
from tests.support.place import Place

ODD = os.fsdecode(b"/data/M\xfcller")
READABLE = "/data/M\N{REPLACEMENT CHARACTER}ller"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
SHOW = """
import os, sys
shown = {name: value for name, value in os.environb.items() if name.startswith(b"ODD")}
print(ascii(sorted(shown.items())), ascii([os.fsencode(word) for word in sys.argv[1:]]))
"""


@pytest.fixture(params=["UTF-8", "ISO-8859-1", "ASCII"])
def locale(request: pytest.FixtureRequest, local: Place) -> str:
    """The locale of the place's programs."""
    if request.param == "ISO-8859-1":
        latin_1: Mapping[str, str] = request.getfixturevalue("latin_1")
        local.environment.update(latin_1)
    elif request.param == "ASCII":
        local.environment.update(ASCII)
    return str(request.param)


@pytest.mark.usefixtures("locale")
def test_the_environment_reaches_tasks_byte_for_byte(local: Place) -> None:
    script = local.python("show.py", SHOW)
    odd_name = os.fsdecode(b"ODD_\xfc\xe9")
    local.environment |= {"ODD": ODD, "ODD_SIZE": "Größe €", odd_name: "x"}
    local.fill({"Probe ä": f"{script} $ODD '日本' \"$ODD_SIZE $PYANAMO_ITEM_ID\""})
    assert local.run().counts["done"] == 1
    size = "Größe €".encode()
    variables = [(b"ODD", os.fsencode(ODD)), (b"ODD_SIZE", size), (os.fsencode(odd_name), b"x")]
    words = [os.fsencode(ODD), "日本".encode(), size + " Probe ä".encode()]
    assert local.result("Probe ä").stdout == f"{sorted(variables)} {words}\n"


@pytest.mark.usefixtures("locale")
def test_fifty_items_whose_program_is_not_utf8(local: Place) -> None:
    local.environment["DATA"] = ODD
    local.fill({f"item{number:02}": "$DATA/tool" for number in range(50)})
    ended = local.run("-i", "2", "--max-failures-in-a-row", "0", "--log-format", "json")
    assert (ended.code, ended.counts["failed"]) == (0, 50)
    assert {item.reason for item in local.items().values()} == {
        f"command not found: {READABLE}/tool"
    }
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert sum(READABLE in line["message"] for line in lines) == 50


@pytest.mark.usefixtures("locale")
def test_a_program_whose_interpreter_is_missing(local: Place) -> None:
    folder = Path(os.fsdecode(os.fsencode(local.folder) + b"/M\xfcller"))
    folder.mkdir()
    tool = folder / "tööl"
    tool.write_text("#!/no/such/interpreter\n")
    tool.chmod(0o755)
    local.environment.update(PATH=f"{folder}:{os.environ['PATH']}", FOLDER=str(folder))
    local.fill({"by name": "tööl", "by path": "$FOLDER/tööl"})
    local.run()
    assert local.item("by name").reason == "its interpreter is missing: tööl"
    assert local.item("by path").reason.startswith("its interpreter is missing: /")
    shutil.rmtree(folder)


@pytest.mark.usefixtures("locale")
def test_a_pipeline_folder_that_is_not_utf8(local: Place) -> None:
    folder = Path(os.fsdecode(os.fsencode(local.folder) + b"/M\xfcller"))
    folder.mkdir()
    tool = folder / "own-tool"
    tool.write_text("#!/bin/sh\necho ran\n")
    tool.chmod(0o755)
    local.environment["PIPELINE"] = str(folder)
    local.fill({"item": "own-tool"})
    local.run()
    assert local.result().stdout == "ran\n"


@pytest.mark.usefixtures("locale")
def test_what_a_task_leaves_behind_is_found_whatever_its_name(local: Place) -> None:
    """A process that has left its group is found by the item's name in its environment."""
    local.script("leave", "setsid sleep 60 & touch left; sleep 60")
    local.fill({"Größe 日本": "./leave"})
    ended = local.run("--task-timeout", "1s")
    assert ended.counts["failed"] == 1
    assert local.has("left")
    local.wait_for_no_process()


@pytest.mark.usefixtures("locale")
def test_a_log_folder_whose_name_is_not_utf8(local: Place) -> None:
    folder = os.fsdecode(os.fsencode(local.folder) + b"/M\xfcller")
    local.fill({"Größe": "seq 1000"})
    assert local.run("--log-dir", folder).code == 0
    result = local.result("Größe")
    assert log_file(result.log_uri).endswith(b"\n1000\n")
    with local.workflow() as workflow:
        assert b"".join(workflow.logs("Größe")).endswith(b"\n1000\n")


def test_names_of_pilots_and_operators_are_readable(local: Place) -> None:
    local.environment["AWS_BATCH_JOB_ID"] = ODD
    local.fill({"item": "true"})
    local.run()
    assert local.item("item").instance == f"{READABLE}#1"
    with pytest.MonkeyPatch.context() as patch, local.workflow() as workflow:
        patch.setenv("LOGNAME", ODD)
        changed = workflow.restart(Selection(names=("item",)))
    assert changed.changed == 1
    item = local.item("item")
    assert item.state is ItemState.TODO
    assert item.history[-1].instance.startswith(f"{READABLE}@")


def test_a_prefix_that_no_bucket_can_have(local: Place) -> None:
    ended = local.run("-b", "bucket", "-k", ODD)
    assert ended.code == 2
    assert ended.stderr == f"the prefix {ODD[1:]!r} is not UTF-8, as S3 requires\n"
