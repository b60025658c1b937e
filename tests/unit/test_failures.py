"""Failed items fall into groups by what they have in common."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyanamo.model import Item, ItemState, Result, Task, TaskStatus
from pyanamo.workflow.failures import FailedItem, failed_item, group_failures, group_id_of, masked

names = st.text(string.ascii_letters + string.digits + "_-", min_size=2, max_size=12).filter(
    lambda name: name[0].isalnum() and name[-1].isalnum()
)
numbers = st.integers(min_value=0, max_value=10**12)
hex_ids = st.integers(min_value=16**7, max_value=16**12).map(lambda number: f"{number:x}")


def failed(
    item_id: str = "Sample1",
    last_line: str = "",
    *,
    reason: str = "exit code 1",
    exit_code: int | None = 1,
    task_id: str = "",
    arguments: tuple[str, ...] = (),
) -> FailedItem:
    return FailedItem(
        item_id=item_id,
        task_id=task_id,
        reason=reason,
        exit_code=exit_code,
        last_line=last_line,
        arguments=arguments,
    )


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("ValueError: 17 rows, expected 22", "ValueError: * rows, expected *"),
        ("samtools: failed to open '/data/s 1.bam'", "samtools: failed to open *"),
        ("can't open file 'x' or “y”", "can't open file * or *"),
        ('KeyError: "it\'s"', "KeyError: *"),
        ("no such file: /scratch/run/reads.fq.gz.", "no such file: *"),
        ("no such file: ./reads, ../more, ~/all", "no such file: *"),
        ("bash: out/run/reads: No such file or directory", "bash: *: No such file or directory"),
        ("cp: out/reads.fq: Input/output error", "cp: *: Input/output error"),
        ("GET https://example.org/x?y=1 gave 503", "GET * gave *"),
        ("2026-01-31T23:59:59Z ERROR out of space", "* ERROR out of space"),
        ("2026-01-31 23:59:59,123 ERROR out of space", "* ERROR out of space"),
        ("Sun Nov 22 14:50:13 2026: out of space", "*: out of space"),
        ("Sunday, 22 November 2026: out of space", "*: out of space"),
        ("Segmentation fault at 0x7ffe12ab in deadbeefcafe", "Segmentation fault at * in *"),
        ("object 123e4567-e89b-12d3-a456-426614174000 is gone", "object * is gone"),
        ("bad lanes: 1, 2, 3", "bad lanes: *"),
        ("killed   by\tnobody", "killed by nobody"),
        ("", ""),
    ],
)
def test_what_is_masked(line: str, shown: str) -> None:
    assert masked(line) == shown


def test_own_names_are_masked_as_whole_words() -> None:
    line = "cannot read alice of family_alice in alice.bam: malice"
    assert masked(line, ["alice"]) == "cannot read * of * in *: malice"


def test_a_name_with_signs_in_it_is_no_pattern() -> None:
    assert masked("no (a+b)[c here", ["(a+b)[c"]) == "no * here"


def test_a_long_line_takes_no_long_time() -> None:
    for unit in ("a", "a.", "'", "a/", "-", "*", "a ", "Sun "):
        masked(unit * 1000)


SENTENCE = (
    "[{number}] bwa: cannot find {name}.fq in /data/{name}/{number}: object <{hex_id}>"
    " of 'lane {number}' ({name}, x_{name}, out/x-{name}-y) is gone after {seconds:.3f} s"
)
# An item named like a word of its message hides that word: another item's message differs there.
WORDS = set(re.findall(r"[a-z]+", SENTENCE))
other_names = names.filter(lambda name: name.lower() not in WORDS)


@given(other_names, other_names, numbers, numbers, hex_ids, hex_ids)
def test_groups_do_not_depend_on_names_numbers_and_ids(
    one: str, other: str, count: int, size: int, one_id: str, other_id: str
) -> None:
    def item(name: str, number: int, hex_id: str) -> FailedItem:
        return failed(
            name,
            SENTENCE.format(number=number, name=name, hex_id=hex_id, seconds=number / 7),
            task_id=name,
        )

    assert group_id_of(item(one, count, one_id)) == group_id_of(item(other, size, other_id))


@given(
    st.lists(
        st.builds(
            failed,
            names,
            st.sampled_from(["", "no file 1", "no file 2", "out of space", "Segmentation fault"]),
            reason=st.sampled_from(["exit code 1", "exit code 2", "killed by signal 9"]),
            exit_code=st.sampled_from([None, 1, 2]),
        ),
        unique_by=lambda item: item.item_id,
    ),
    st.randoms(use_true_random=False),
)
def test_counts_add_up_in_any_order(items: list[FailedItem], random: object) -> None:
    groups = group_failures(iter(items))
    assert sum(group.count for group in groups) == len(items)
    assert [group.count for group in groups] == sorted(
        (group.count for group in groups), reverse=True
    )
    shuffled = list(items)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert group_failures(shuffled) == groups
    # What restarts a group selects by the id: it finds as many as the group counted.
    for group in groups:
        own = [item for item in items if group_id_of(item) == group.group_id]
        assert len(own) == group.count
        assert group.example_id == min(item.item_id for item in own)
        assert re.fullmatch("[0-9a-f]{6}", group.group_id)


def test_a_group_shows_what_is_masked_and_an_example() -> None:
    items = [failed(f"S{n}", f"S{n}: line {n} is empty") for n in (3, 1, 2)]
    group, other = group_failures([*items, failed("S0", "out of space")])
    assert (group.count, group.reason, group.exit_code) == (3, "exit code 1", 1)
    assert (group.last_line, group.example_id) == ("*: line * is empty", "S1")
    assert (group.example_reason, group.example_line) == ("exit code 1", "S1: line 1 is empty")
    assert group.examples == ("S1", "S2", "S3")
    assert (other.count, other.last_line) == (1, "out of space")


def test_an_id_stays_what_it_is() -> None:
    """An operator may have it on a piece of paper."""
    assert group_id_of(failed("S1", "out of space")) == "8a9367"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("exit code 1", "exit code 2"),
        ("killed by signal 9", "killed by signal 15"),
        ("killed by signal 9", "killed by signal 9 (out of memory)"),
        ("timed out after 60 s", "timed out after 3600 s"),
        ("command not found: bwa", "command not found: samtools"),
    ],
)
def test_other_causes_are_other_groups(one: str, other: str) -> None:
    assert group_id_of(failed(reason=one)) != group_id_of(failed(reason=other))


def test_reasons_stay_readable() -> None:
    said = "exit code 127: bash: line 3: /opt/x: No such file"
    reasons = ["killed by signal 9 (out of memory)", said, "lost 3 times: the pilot died"]
    shown = {
        group.reason
        for group in group_failures(
            failed(f"S{n}", reason=reason) for n, reason in enumerate(reasons)
        )
    }
    assert shown == {
        "killed by signal 9 (out of memory)",
        "exit code 127: bash: line *: *: No such file",
        "lost * times: the pilot died",
    }


# --- From an item -------------------------------------------------------------------------------


def nested_item() -> Item:
    def result(status: TaskStatus, reason: str, stderr: str) -> Result:
        return Result(status=status, exit_code=0, reason=reason, stderr=stderr)

    statuses = (TaskStatus.DONE, TaskStatus.FAILED, TaskStatus.FAILED)
    return Item(
        item_id="Level_1",
        task_id="Mario",
        tasks=tuple(
            Task(name=f"Task_{n}", script=f"play -q --level={word} {word},World", status=status)
            for n, (word, status) in enumerate(
                zip(("Easy", "Normal", "Hard"), statuses, strict=True)
            )
        ),
        nested=True,
        state=ItemState.FAILED,
        exit_code=3,
        reason="exit code 3",
        results={
            "Task_0": result(TaskStatus.DONE, "", "fine\n"),
            "Task_1": result(TaskStatus.FAILED, "exit code 3", "Normal\nNormal is too hard\n \n"),
            "Task_2": result(TaskStatus.FAILED, "exit code 4", "Hard is too hard\n"),
        },
    )


def test_a_nested_item_is_its_first_task_that_failed() -> None:
    item = failed_item(nested_item())
    assert (item.item_id, item.task_id) == ("Level_1", "Mario")
    assert (item.reason, item.exit_code) == ("exit code 3", 3)
    assert item.last_line == "Normal is too hard"
    (group,) = group_failures([item])
    assert group.last_line == "* is too hard"


def single_item(
    stderr: str, *, script: str = "bash run.sh", reason: str = "exit code 1", said: str = ""
) -> Item:
    result = Result(status=TaskStatus.FAILED, exit_code=1, reason=said or reason, stderr=stderr)
    return Item(
        item_id="Sample1",
        task_id="Sample1",
        tasks=(Task(name="Task_0", script=script),),
        nested=False,
        state=ItemState.FAILED,
        exit_code=1,
        reason=reason,
        results={"Task_0": result},
    )


def test_the_last_line_that_says_something() -> None:
    note = "\n[1000 of 5000000 bytes were kept: --max-log]"
    assert failed_item(single_item(f"first\n  no space  \n\n{note}")).last_line == "no space"
    assert failed_item(single_item("")).last_line == ""


def test_an_earlier_attempt_does_not_explain_a_loss() -> None:
    lost = single_item("no space", reason="lost 3 times: the pilot died", said="exit code 1")
    assert failed_item(lost).last_line == ""


def test_an_item_without_results() -> None:
    item = Item(
        item_id="S1",
        task_id="",
        tasks=(Task(name="Task_0", script="x"),),
        nested=False,
        state=ItemState.FAILED,
        reason="lost once: the pilot died while running it",
    )
    assert failed_item(item).last_line == ""


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("bwa mem alice.fq", {"mem", "alice.fq", "alice"}),
        ("bwa -t --in=alice,bob", {"alice,bob", "alice", "bob"}),
        ("bash /opt/run.sh out/alice", set()),
        ("bash -c 'echo alice'", set()),
        ("bash 'not closed", set()),
        ("", set()),
    ],
)
def test_arguments_of_a_command(script: str, arguments: set[str]) -> None:
    assert set(failed_item(single_item("", script=script)).arguments) == arguments
