"""The variant-calling workflow's scripts, run as processes on a tiny cohort.

The whole workflow, with pilots on both kinds of table, is what `make use-case` runs. There is no
GATK here: of calls with it a stand-in shows that the script gives it the right arguments, and minds
what it makes and how it ends.
"""

from __future__ import annotations

import gzip
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import boto3
import pytest

from tests.support.cli import IMPORT_ITEMS, ROOT, Finished, finish, wait_until
from tests.support.cohort import (
    SAMPLES,
    SCRIPTS,
    Bench,
    called_snps,
    make_aligned_cohort,
    make_cohort,
    signal_and_finish,
    tool,
    true_snps,
)
from tests.support.pilots import is_alive, processes


@pytest.fixture(scope="session")
def aligned(_isolated_session: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cohort and its alignments, which no test changes."""
    return make_aligned_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def bench(aligned: tuple[Path, Path], tmp_path: Path) -> Bench:
    """What a test works with."""
    return Bench(tmp_path, *aligned)


# --- Calls --------------------------------------------------------------------------------------


def test_a_list_of_chromosomes_is_called(bench: Bench) -> None:
    ran = bench.call("Sample1", "chr1,chr2")
    assert ran.code == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "PyAnamo:\tSample1 chr1",
        "PyAnamo:\tSample1 chr2",
    ]
    for line, chromosome in zip(lines, ("chr1", "chr2"), strict=True):
        gvcf = bench.gvcf("Sample1", chromosome)
        records = tool("bcftools", "view", "-H", gvcf).decode().splitlines()
        variants = tool("bcftools", "view", "-H", "-i", 'GT="alt"', gvcf).decode().splitlines()
        reads = int(tool("samtools", "view", "-c", bench.alignments / "Sample1.bam", chromosome))
        counts = f"{reads} reads, {len(records)} records, {len(variants)} variants"
        assert line.partition(": ")[2] == counts
        assert any("END=" in record for record in records)  # blocks without variants
        called = called_snps(gvcf, "Sample1", chromosome)
        assert called
        assert called == true_snps(bench.cohort, "Sample1", chromosome)
        # The index works, and is of this file.
        assert int(tool("bcftools", "index", "--nrecords", gvcf)) == len(records)
    assert len(bench.left) == 4
    assert not bench.temporary


def test_one_chromosome_is_called_as_in_a_nested_task(bench: Bench) -> None:
    ran = bench.call("Sample2", "chr3")
    assert ran.code == 0, ran.stderr
    assert bench.left == [f"gvcfs/Sample2/Sample2.chr3.g.vcf.gz{end}" for end in ("", ".tbi")]
    called = called_snps(bench.gvcf("Sample2", "chr3"), "Sample2", "chr3")
    assert called == true_snps(bench.cohort, "Sample2", "chr3")


def test_a_cram_gives_what_a_bam_does(bench: Bench) -> None:
    assert bench.call("Sample1", "chr1").code == 0
    of_bam = bench.gvcf("Sample1", "chr1").read_bytes()
    bench.gvcf("Sample1", "chr1").unlink()
    bam, bench.alignments = bench.alignments / "Sample1.bam", bench.folder
    cram = bench.folder / "Sample1.cram"
    bench.samtools("view", "-C", "-T", bench.cohort / "reference.fa", "-o", cram, bam)
    bench.samtools("index", cram)
    ran = bench.call("Sample1", "chr1")
    assert ran.code == 0, ran.stderr
    assert bench.gvcf("Sample1", "chr1").read_bytes() == of_bam


def test_it_can_run_again_and_twice_at_once(bench: Bench) -> None:
    assert bench.call("Sample1", "chr1").code == 0
    first = bench.gvcf("Sample1", "chr1").read_bytes()
    racers = [bench.start("HaplotypeCaller", "Sample1", "chr1") for _ in range(2)]
    for racer in racers:
        assert finish(racer).code == 0
    assert bench.gvcf("Sample1", "chr1").read_bytes() == first
    assert len(bench.left) == 2
    assert not bench.temporary


# --- Files that aren't whole --------------------------------------------------------------------

BGZF_END = 28  # bytes of the empty block at the end
CRAM_END = 38  # bytes of the empty container at the end


def _drop_end(file: Path, size: int) -> None:
    os.truncate(file, file.stat().st_size - size)


def _damage(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 255
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda gvcf: _drop_end(gvcf, BGZF_END), "not whole, or not made by bgzip: "),
        (lambda gvcf: os.truncate(gvcf, 2000), "not whole, or not made by bgzip: "),
        (_damage, "damaged: "),
    ],
)
def test_a_merge_refuses_a_gvcf_that_is_not_whole(
    bench: Bench, spoil: Callable[[Path], None], message: str
) -> None:
    for sample in SAMPLES:
        assert bench.call(sample, "chr1").code == 0
    spoil(bench.gvcf("Sample2", "chr1"))
    ran = bench.run("merge.sh", "cohort", "chr1")
    assert (ran.code, ran.stdout) == (1, "")
    assert f"merge.sh: {message}{bench.gvcf('Sample2', 'chr1')}" in ran.stderr.splitlines()[-1]
    assert not (bench.folder / "results").exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (("Sample2", "chr2"), "has records of 'chr2', not of 'chr1' only"),
        (("Sample1", "chr1"), "is of 'Sample1', not of 'Sample2'"),
    ],
)
def test_a_merge_refuses_a_gvcf_of_something_else(
    bench: Bench, other: tuple[str, str], message: str
) -> None:
    for sample, chromosome in (("Sample1", "chr1"), ("Sample2", "chr1"), ("Sample2", "chr2")):
        assert bench.call(sample, chromosome).code == 0
    for ending in ("", ".tbi"):
        there = Path(f"{bench.gvcf(*other)}{ending}")
        shutil.copy(there, f"{bench.gvcf('Sample2', 'chr1')}{ending}")
    ran = bench.run("merge.sh", "cohort", "chr1")
    assert (ran.code, ran.stdout) == (1, "")
    assert message in ran.stderr.splitlines()[-1]


def _lines(first: int | None, last: int | None) -> Callable[[bytes], bytes]:
    """What keeps some lines of reads."""

    def cut(data: bytes) -> bytes:
        lines = gzip.decompress(data).splitlines(keepends=True)
        return gzip.compress(b"".join(lines[first:last]))

    return cut


@pytest.mark.parametrize(
    ("mates", "spoil", "message"),
    [
        ([1], _lines(None, -4), "each read needs its mate: "),
        ([2], _lines(None, 400), "in Sample1_2.fastq.gz"),
        ([1, 2], lambda data: data[:5000], "Sample1_1.fastq.gz failed, with exit code 1"),
        ([1, 2], _lines(None, -1), "reads of Sample1 were aligned: the files must have four lines"),
        ([1, 2], lambda _: gzip.compress(b""), "no reads in "),
    ],
)
def test_reads_that_are_missing_are_an_error(
    bench: Bench, mates: list[int], spoil: Callable[[bytes], bytes], message: str
) -> None:
    bench.copy_cohort()
    for mate in mates:
        file = bench.cohort / "reads" / f"Sample1_{mate}.fastq.gz"
        file.write_bytes(spoil(file.read_bytes()))
    before = (bench.alignments / "Sample1.bam").read_bytes()
    ran = bench.run("align.sh", "Sample1")
    assert (ran.code, ran.stdout) == (1, "")
    assert message in ran.stderr.splitlines()[-1]
    assert (bench.alignments / "Sample1.bam").read_bytes() == before
    assert not bench.temporary


# --- What can be wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "a sample and its chromosomes are needed"),
        (("Sample1",), "a sample and its chromosomes are needed"),
        (("", "chr1"), "not a sample's name: ''"),
        (("../Sample1", "chr1"), "not a sample's name: '../Sample1'"),
        (("-Sample1", "chr1"), "not a sample's name: '-Sample1'"),
        ((".", "chr1"), "not a sample's name: '.'"),
        (("Sample1", ""), "not a chromosome's name: '' in ''"),
        (("Sample1", "chr1,"), "not a chromosome's name: '' in 'chr1,'"),
        (("Sample1", "chr1,,chr2"), "not a chromosome's name: '' in 'chr1,,chr2'"),
        (("Sample1", "../chr1"), "not a list of chromosomes: '../chr1'"),
        (("Sample1", "-chr1"), "not a chromosome's name: '-chr1'"),
        (("Sample1", "chr1:1-100"), "not a list of chromosomes: 'chr1:1-100'"),
        (("Sample1", "chr1\nchr2"), "not a list of chromosomes: 'chr1\nchr2'"),
        (("Sample1", "chr1,chr2,chr1"), "twice in the list: chr1 in 'chr1,chr2,chr1'"),
    ],
)
def test_wrong_arguments_are_refused(
    bench: Bench, arguments: tuple[str, ...], message: str
) -> None:
    ran = bench.run("HaplotypeCaller", *arguments)
    assert ran.code == 2
    assert ran.stdout == ""
    assert ran.stderr.startswith("Usage: bash HaplotypeCaller SAMPLE CHROM[,CHROM...]\n")
    assert f"HaplotypeCaller: {message}" in ran.stderr
    assert not bench.left


def _without_caller(bench: Bench) -> None:
    bench.environment["CALLER"] = ""


def _unknown_caller(bench: Bench) -> None:
    bench.environment["CALLER"] = "freebayes"


def _gatk_that_is_not_there(bench: Bench) -> None:
    bench.environment["CALLER"] = "gatk"


def _no_alignment(bench: Bench) -> None:
    (bench.alignments / "Sample1.bam").unlink()


def _a_folder_for_an_alignment(bench: Bench) -> None:
    _no_alignment(bench)
    (bench.alignments / "Sample1.bam").mkdir()


def _no_index_of_the_alignment(bench: Bench) -> None:
    (bench.alignments / "Sample1.bam.bai").unlink()


def _no_reference(bench: Bench) -> None:
    (bench.cohort / "reference.fa").unlink()


def _no_index_of_the_reference(bench: Bench) -> None:
    (bench.cohort / "reference.fa.fai").unlink()


def _of_another_sample(bench: Bench) -> None:
    for ending in (".bam", ".bam.bai"):
        (bench.alignments / f"Sample2{ending}").rename(bench.alignments / f"Sample1{ending}")


def _rewrite(bench: Bench, keep: Callable[[str], bool], old: str = "", new: str = "") -> None:
    """Drop lines of Sample1's BAM, and replace something in all."""
    bam = bench.alignments / "Sample1.bam"
    lines = bench.samtools("view", "-h", "--no-PG", bam).decode().splitlines(keepends=True)
    sam = "".join(line.replace(old, new) if old else line for line in lines if keep(line))
    bench.samtools("view", "-b", "--no-PG", "-o", bam, "-", stdin=sam.encode())
    bench.samtools("index", bam)


def _without_reads_on_chr1(bench: Bench) -> None:
    _rewrite(bench, lambda line: line.startswith("@") or "\tchr1\t" not in line)


def _without_chr1(bench: Bench) -> None:
    _rewrite(bench, lambda line: "chr1" not in line)


def _of_another_reference(bench: Bench) -> None:
    _rewrite(bench, lambda _: True, "SN:chr1\tLN:3000", "SN:chr1\tLN:4000")


def _cut_off(bench: Bench) -> None:
    bam = bench.alignments / "Sample1.bam"
    os.truncate(bam, bam.stat().st_size // 4)


def _without_its_end(bench: Bench) -> None:
    _drop_end(bench.alignments / "Sample1.bam", BGZF_END)


def _cram_without_its_end(bench: Bench) -> None:
    bam, cram = (bench.alignments / f"Sample1.{kind}" for kind in ("bam", "cram"))
    bench.samtools("view", "-C", "-T", bench.cohort / "reference.fa", "-o", cram, bam)
    bench.samtools("index", cram)
    bam.unlink()
    _drop_end(cram, CRAM_END)


def _first_tool_of_the_pipe_dies(bench: Bench) -> None:
    # It has written what it has to: only its exit code tells.
    bench.stand_in("bcftools", '"$real" "$@" || exit; [[ $1 != mpileup ]] || exit 3')


def _second_tool_of_the_pipe_dies(bench: Bench) -> None:
    bench.stand_in("bcftools", '[[ $1 != call ]] || exit 4; exec "$real" "$@"')


def _results_in_the_way(bench: Bench) -> None:
    bench.gvcf("Sample1", "chr1").mkdir(parents=True)


def _no_number_of_threads(bench: Bench) -> None:
    bench.environment["THREADS"] = "0"


def _no_quality(bench: Bench) -> None:
    bench.environment["MIN_QUALITY"] = "20||1"


def _no_scratch(bench: Bench) -> None:
    bench.environment["SCRATCH"] = str(bench.folder / "not" / "there")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            _without_caller,
            "gatk isn't on the PATH, and CALLER isn't set: install GATK 4, or set CALLER=bcftools",
        ),
        (_unknown_caller, "CALLER is 'freebayes': set it to gatk or bcftools"),
        (_gatk_that_is_not_there, "CALLER is gatk, which isn't on the PATH: install GATK 4"),
        (_no_alignment, "/Sample1.bam: the first step, align.sh Sample1, makes Sample1.bam"),
        (_a_folder_for_an_alignment, "no file, but something else: "),
        (_no_index_of_the_alignment, "/Sample1.bam.bai: make this index with samtools index"),
        (_no_reference, "/reference.fa: REFERENCE in job-conf.sh says where it is"),
        (_no_index_of_the_reference, "/reference.fa.fai: make-cohort.sh shows how the indexes"),
        (_of_another_sample, "is of the sample 'Sample2' (SM), not of 'Sample1'"),
        (_without_reads_on_chr1, "no reads of chr1 in "),
        (_without_chr1, "/Sample1.bam: chr1"),
        (_of_another_reference, "is of another reference: chr1 has 4000 bases there, and 3000 in"),
        (_cut_off, "/Sample1.bam: make it anew; align.sh Sample1 does"),
        (_without_its_end, "not whole, or no BAM or CRAM: "),
        (_cram_without_its_end, "not whole, or no BAM or CRAM: "),
        (_first_tool_of_the_pipe_dies, "calling chr1 with bcftools failed, with exit code 3"),
        (_second_tool_of_the_pipe_dies, "calling chr1 with bcftools failed, with exit code 4"),
        (_results_in_the_way, "in the way: the folder "),
        (_no_number_of_threads, "THREADS is '0': a whole number from 1 to 999 is expected"),
        (_no_quality, "MIN_QUALITY is '20||1': a number from 0 on is expected"),
        (_no_scratch, "/not/there: make room there, or name another folder"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_left(
    bench: Bench, spoil: Callable[[Bench], None], message: str
) -> None:
    bench.copy_cohort()
    spoil(bench)
    ran = bench.call("Sample1", "chr1")
    assert ran.code == 1
    assert ran.stdout == ""
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("HaplotypeCaller: ")
    assert message in last
    assert not bench.left
    assert not bench.temporary


def test_a_chromosome_that_the_reference_has_not_is_named_before_any_is_called(
    bench: Bench,
) -> None:
    ran = bench.call("Sample1", "chr1,chr9")
    assert (ran.code, ran.stdout) == (1, "")
    assert ran.stderr.endswith("/reference.fa: chr9\n")
    assert not bench.left


@pytest.mark.parametrize("room", [100, 10_000])
def test_no_room_is_an_error(bench: Bench, room: int) -> None:
    """As on a full disk, what is written beyond `room` bytes of a file fails."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    started = bench.start(
        "HaplotypeCaller", "Sample1", "chr1", prepare=limit, signals_as_they_are=True
    )
    ran = finish(started)
    assert ran.code == 1
    assert " failed, with exit code " in ran.stderr.splitlines()[-1]
    assert not bench.left


# --- Stopped ------------------------------------------------------------------------------------


@pytest.mark.parametrize("whole_group", [True, False])
@pytest.mark.parametrize("hanging", ["mpileup", "call", "index"])
def test_sigterm_leaves_nothing(bench: Bench, hanging: str, whole_group: bool) -> None:
    ready = bench.folder / "ready"
    bench.stand_in(
        "bcftools",
        f'[[ $1 != {hanging} ]] || {{ touch "{ready}"; exec sleep 60; }}; exec "$real" "$@"',
    )
    started = bench.start("HaplotypeCaller", "Sample1", "chr1")
    wait_until(ready.exists)
    assert any(bench.scratch.iterdir())
    ran = signal_and_finish(started, signal.SIGTERM, whole_group=whole_group)
    assert ran.code == 143
    assert ran.stdout == ""
    assert not bench.left
    assert not bench.temporary
    tools = [process.pid for process in processes() if process.group == started.pid]
    wait_until(lambda: not any(is_alive(pid) for pid in tools), 10)


# --- GATK ---------------------------------------------------------------------------------------

_GATK = """
printf '%s\\n' "$@" >"$0.arguments"
while (($# > 1)); do [[ $1 != -O ]] || out=$2; shift; done
cp "$0.result" "$out"
"""


@pytest.mark.parametrize("named", [True, False])
def test_gatk_is_called_where_it_is_there(bench: Bench, named: bool) -> None:
    assert bench.call("Sample1", "chr1").code == 0
    gvcf = bench.gvcf("Sample1", "chr1")
    (bench.tools / "gatk.result").write_bytes(gvcf.read_bytes())
    gvcf.unlink()
    bench.environment["CALLER"] = "gatk" if named else ""
    bench.stand_in("gatk", _GATK)
    ran = bench.call("Sample1", "chr1")
    assert ran.code == 0, ran.stderr
    assert gvcf.read_bytes() == (bench.tools / "gatk.result").read_bytes()
    arguments = (bench.tools / "gatk.arguments").read_text().splitlines()
    assert arguments[:5] == ["--java-options", "-Xmx3g", "HaplotypeCaller", "-ERC", "GVCF"]
    options = dict(zip(arguments[5::2], arguments[6::2], strict=True))
    work = options.pop("--tmp-dir")
    assert Path(work).parent == bench.scratch
    assert options == {
        "-R": str(bench.cohort / "reference.fa"),
        "-I": f"{work}/region.bam",
        "-L": "chr1",
        "-O": f"{work}/Sample1.chr1.g.vcf.gz",
        "--native-pair-hmm-threads": "1",
        "--add-output-vcf-command-line": "false",
        "--create-output-variant-index": "false",
    }


@pytest.mark.parametrize(
    ("gatk", "message"),
    [
        ("exit 3", "calling chr1 with gatk failed, with exit code 3"),
        ("exit 0", "gatk made no gVCF of chr1"),
        (_GATK, "indexing the gVCF of chr1 failed"),  # which isn't a gVCF
    ],
)
def test_what_gatk_does_wrong_is_said(bench: Bench, gatk: str, message: str) -> None:
    bench.environment["CALLER"] = "gatk"
    (bench.tools / "gatk.result").write_text("out of memory\n")
    bench.stand_in("gatk", gatk)
    ran = bench.call("Sample1", "chr1")
    assert ran.code == 1
    assert message in ran.stderr.splitlines()[-1]
    assert not bench.left


@pytest.mark.parametrize(("sample", "chromosome"), [("Sample2", "chr1"), ("Sample1", "chr2")])
def test_a_gvcf_of_something_else_is_refused(bench: Bench, sample: str, chromosome: str) -> None:
    assert bench.call(sample, chromosome).code == 0
    gvcf = bench.gvcf(sample, chromosome)
    (bench.tools / "gatk.result").write_bytes(gvcf.read_bytes())
    bench.environment["CALLER"] = "gatk"
    bench.stand_in("gatk", _GATK)
    ran = bench.call("Sample1", "chr1")
    assert ran.code == 1
    assert "the gVCF of chr1 " in ran.stderr.splitlines()[-1]
    assert not bench.gvcf("Sample1", "chr1").exists()


# --- S3 -----------------------------------------------------------------------------------------


def test_input_and_results_may_be_in_s3(bench: Bench, s3: str, table_name: str) -> None:
    assert bench.call("Sample1", "chr1").code == 0
    expected = bench.gvcf("Sample1", "chr1").read_bytes()

    client = boto3.client("s3", endpoint_url=s3)
    bucket = f"use-case-{table_name[-12:]}"
    client.create_bucket(Bucket=bucket)
    uploads = [bench.cohort / f"reference.fa{ending}" for ending in ("", ".fai")]
    uploads += [bench.alignments / f"Sample1.bam{ending}" for ending in ("", ".bai")]
    for file in uploads:
        client.upload_file(str(file), bucket, f"data/{file.name}")
    bench.environment |= {
        "AWS_ENDPOINT_URL_S3": s3,
        "COHORT": f"s3://{bucket}/data",
        "ALIGNMENTS": f"s3://{bucket}/data",
        "GVCFS": f"s3://{bucket}/results",
    }
    ran = bench.call("Sample1", "chr1")
    assert ran.code == 0, ran.stderr
    assert ran.stdout.startswith("PyAnamo:\tSample1 chr1: ")
    name = "results/Sample1/Sample1.chr1.g.vcf.gz"
    assert client.get_object(Bucket=bucket, Key=name)["Body"].read() == expected
    client.head_object(Bucket=bucket, Key=f"{name}.tbi")
    assert not bench.temporary

    bench.environment["COHORT"] = str(bench.cohort)
    ran = bench.call("Sample2", "chr1")
    assert (ran.code, ran.stdout) == (1, "")
    last = ran.stderr.splitlines()[-1]
    assert f"can't fetch s3://{bucket}/data/Sample2.cram: see above; nor is there a BAM" in last
    listed = client.list_objects_v2(Bucket=bucket, Prefix="results/Sample2")
    assert listed["KeyCount"] == 0
    assert not bench.temporary


# --- The rest of the workflow -------------------------------------------------------------------


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
    assert "there already: " in again.stderr


@pytest.mark.parametrize(
    ("settings", "code", "message"),
    [
        ({"SAMPLES": "1"}, 2, "SAMPLES is '1': 2 at least are needed for a merge"),
        ({"LENGTH": "100"}, 1, "LENGTH is too small: 100: 1450 bases at least are needed"),
        ({"PYTHON": "/nope"}, 1, "PYTHON is '/nope', which isn't there: name a Python 3"),
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
        assert last.startswith(f"make-cohort.sh: can't make {folder}: see above; name a folder")


def test_a_command_line_in_a_bam_has_no_folder(bench: Bench) -> None:
    header = bench.samtools("view", "-H", "--no-PG", bench.alignments / "Sample1.bam").decode()
    (command,) = [line for line in header.splitlines() if line.startswith("@PG")]
    assert command.endswith(" reference.fa Sample1_1.fastq.gz Sample1_2.fastq.gz")
    assert "/" not in command.partition("\tCL:")[2]


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


def test_a_command_gets_a_dynamodb_of_its_own() -> None:
    show = "import json, os; print(json.dumps(dict(os.environ))); raise SystemExit(7)"
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.dynamodb_local", "run", sys.executable, "-c", show],
        cwd=ROOT,
        env={**os.environ, "PYANAMO_LOCAL": "x.db"},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 7, ran.stderr
    environment = json.loads(ran.stdout)
    assert environment["AWS_ENDPOINT_URL_DYNAMODB"].startswith("http://127.0.0.1:")
    assert "PYANAMO_LOCAL" not in environment
