"""The variant-calling workflow around its calls: a cohort, task files, steps, and what is merged.

The whole workflow, with pilots on both kinds of table, is what `make use-case` runs.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cohort import SAMPLES, SCRIPTS, Bench, make_cohort, tool
from tests.support.programs import IMPORT_ITEMS, ROOT, Finished

# --- The merge ----------------------------------------------------------------------------------


def test_the_merged_calls_are_those_that_were_put_in(bench: Bench) -> None:
    for sample in SAMPLES:
        assert bench.call(sample, "chr1,chr2,chr3").code == 0
    ran = bench.run("merge.sh", "cohort", "chr1,chr2,chr3")
    assert ran.code == 0, ran.stderr
    truth = bench.cohort / "truth.vcf.gz"
    sites = int(tool("bcftools", "index", "--nrecords", truth))
    assert ran.stdout == f"PyAnamo:\tcohort: 2 samples, {sites} sites\n"
    merged = bench.folder / "results" / "merged" / "cohort.vcf.gz"
    ran = bench.run("compare-with-truth.sh", merged, truth)
    assert ran.code == 0, ran.stderr
    assert [line.split("\t")[0] for line in ran.stdout.splitlines()] == ["sample", *SAMPLES]
    assert all(line.endswith("1.000\t1.000\t1.000") for line in ran.stdout.splitlines()[1:])

    # Were the two samples mixed up, it would be seen.
    names = bench.folder / "names"
    names.write_text("Sample2\nSample1\n")
    mixed_up = bench.folder / "mixed-up.vcf.gz"
    tool("bcftools", "reheader", "-s", names, "-o", mixed_up, merged)
    ran = bench.run("compare-with-truth.sh", mixed_up, truth)
    assert ran.code == 1
    assert ran.stderr.endswith("recall or precision isn't above 0.9: Sample1 Sample2\n")


def test_a_merge_names_what_it_misses(bench: Bench) -> None:
    assert bench.call("Sample1", "chr1").code == 0
    ran = bench.run("merge.sh", "cohort", "chr1")
    assert (ran.code, ran.stdout) == (1, "")
    assert "Sample2.chr1.g.vcf.gz: HaplotypeCaller Sample2 chr1, of the second" in ran.stderr
    assert not (bench.folder / "results").exists()


# --- The cohort ---------------------------------------------------------------------------------


def test_the_same_settings_make_the_same_cohort(tmp_path: Path) -> None:
    settings = {"LENGTH": "2000", "CHROMOSOMES": "chr1"}
    for name in ("a", "b/"):  # with a slash or without
        made = make_cohort(f"{tmp_path}/{name}", **settings)
        assert made.code == 0, made.stderr
    tool("diff", "-r", tmp_path / "a", tmp_path / "b")
    other = make_cohort(tmp_path / "c", **settings, SEED="2")
    assert other.code == 0, other.stderr
    different = subprocess.run(["diff", "-rq", tmp_path / "a", tmp_path / "c"], capture_output=True)
    assert b"reference.fa differ" in different.stdout
    again = make_cohort(tmp_path / "a", **settings)
    assert again.code == 1
    assert "already exists: " in again.stderr


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"SAMPLES": "1"}, 2, "SAMPLES is '1': a merge needs at least 2"),
        ({"LENGTH": "100"}, 1, "LENGTH is too small: 100: at least 1450 bases are needed"),
        ({"PYTHON": "/nope"}, 1, "PYTHON is '/nope', which doesn't exist: set it to a Python 3"),
    ],
)
def test_a_cohort_that_cannot_be_made(
    tmp_path: Path, settings: dict[str, str], code: int, message: str
) -> None:
    made = make_cohort(tmp_path / "cohort", **settings)
    assert (made.code, made.stdout) == (code, "")
    usage = ["Usage: bash make-cohort.sh [FOLDER]"] if code == 2 else []
    assert made.stderr.splitlines() == [*usage, f"make-cohort.sh: {message}"]
    assert list(tmp_path.iterdir()) == []


def test_a_cohort_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (Path("/proc/cohort"), tmp_path / "file" / "cohort"):
        made = make_cohort(folder)
        assert made.code == 1
        last = made.stderr.splitlines()[-1]
        assert last.startswith(f"make-cohort.sh: can't make {folder}: see above; choose a folder")


def test_a_command_line_in_a_bam_has_no_folder(bench: Bench) -> None:
    header = bench.samtools("view", "-H", "--no-PG", bench.alignments / "Sample1.bam").decode()
    (command,) = [line for line in header.splitlines() if line.startswith("@PG")]
    assert command.endswith(" reference.fa Sample1_1.fastq.gz Sample1_2.fastq.gz")
    assert "/" not in command.partition("\tCL:")[2]


# --- The task files and the steps ---------------------------------------------------------------


def test_the_task_files_can_be_imported(bench: Bench) -> None:
    assert bench.run("make-task-files.sh", "tasks").code == 0
    for step in ("align", "call", "merge"):
        flags = ["--local", "t.db", "-t", "Step", "-i", f"tasks/{step}.txt", "-d", "|", "--dry-run"]
        if step == "call":
            flags += ["-n", ","]
        ran = subprocess.run(
            [sys.executable, IMPORT_ITEMS, *flags], cwd=bench.folder, capture_output=True, text=True
        )
        assert ran.returncode == 0, ran.stderr
    text = (bench.folder / "tasks" / "call.txt").read_text()
    script = (SCRIPTS / "HaplotypeCaller").relative_to(ROOT)
    assert f"Sample1|Sample1|bash {script} Sample1|chr1,chr2,chr3\n" in text


def _make_task_files(bench: Bench, names: str) -> Finished:
    samples = bench.folder / "samples.txt"
    samples.write_text(names, newline="")
    bench.environment["COHORT_SAMPLES"] = str(samples)
    return bench.run("make-task-files.sh", "tasks")


def test_a_last_line_without_a_line_end_is_a_sample(bench: Bench) -> None:
    assert _make_task_files(bench, "Sample1\nSample2").code == 0
    for step in ("align", "call"):
        lines = (bench.folder / "tasks" / f"{step}.txt").read_text().splitlines()
        assert [line.split("|")[0] for line in lines] == ["itemID", "Sample1", "Sample2"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("", "no samples in "),
        ("Sample1\nSample2\nSample1\n", "twice in the list: Sample1 in "),
        ("Sample1\r\nSample2\r\n", "not a sample's name: $'Sample1\\r' in "),
        ("Sample1\n\nSample2\n", "not a sample's name: '' in "),
        ("Sample1\n../Sample2\n", "not a sample's name: ../Sample2 in "),
    ],
)
def test_a_wrong_list_of_samples_is_refused(bench: Bench, names: str, message: str) -> None:
    ran = _make_task_files(bench, names)
    assert (ran.code, ran.stdout) == (1, "")
    assert f"make-task-files.sh: {message}" in ran.stderr
    assert not (bench.folder / "tasks").exists()
    assert not bench.temporary


def _run_workflow(bench: Bench) -> Finished:
    bench.environment |= {"PYTHON": sys.executable, "PYANAMO_LOCAL": str(bench.folder / "t.db")}
    return bench.run("run-workflow.sh", bench.folder / "run")


def test_a_workflow_goes_on_only_when_a_step_is_done(bench: Bench) -> None:
    made = bench.folder / "made"
    bench.environment |= {"ALIGNMENTS": str(made), "CHROMOSOMES": "chr1"}
    bench.stand_in("bwa", 'for last; do :; done; [[ $last != *Sample2* ]] || exit 3; "$real" "$@"')
    for _ in range(2):  # the second time no pilot finds anything to do
        ran = _run_workflow(bench)
        assert ran.code == 1
        assert "run-workflow.sh: failed in Align: Sample2: " in ran.stderr
        assert "python -m pyanamo restart -t Align --failed" in ran.stderr
        assert ran.stderr.endswith("run-workflow.sh: Align isn't done: see above\n")
        assert [bam.name for bam in made.glob("*.bam")] == ["Sample1.bam"]
        assert not bench.gvcfs.exists()
