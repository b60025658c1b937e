"""What the variant-calling workflow's scripts refuse, and that they leave nothing then."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cohort import SAMPLES, Bench
from tests.support.programs import finish

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
        (lambda gvcf: _drop_end(gvcf, BGZF_END), "not complete, or not made by bgzip: "),
        (lambda gvcf: os.truncate(gvcf, 2000), "not complete, or not made by bgzip: "),
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
        ([1, 2], lambda data: data[:5000], "Sample1_1.fastq.gz failed with exit code 1"),
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
        (_a_folder_for_an_alignment, "not a regular file: "),
        (_no_index_of_the_alignment, "/Sample1.bam.bai: make this index with samtools index"),
        (_no_reference, "/reference.fa: REFERENCE in job-conf.sh says where it is"),
        (_no_index_of_the_reference, "/reference.fa.fai: make-cohort.sh shows how the indexes"),
        (_of_another_sample, "is of the sample 'Sample2' (SM), not of 'Sample1'"),
        (_without_reads_on_chr1, "no reads of chr1 in "),
        (_without_chr1, "/Sample1.bam: chr1"),
        (_of_another_reference, "is of another reference: chr1 has 4000 bases there, and 3000 in"),
        (_cut_off, "/Sample1.bam: create it again with align.sh Sample1"),
        (_without_its_end, "not complete, or not a BAM or CRAM: "),
        (_cram_without_its_end, "not complete, or not a BAM or CRAM: "),
        (_first_tool_of_the_pipe_dies, "calling chr1 with bcftools failed with exit code 3"),
        (_second_tool_of_the_pipe_dies, "calling chr1 with bcftools failed with exit code 4"),
        (_results_in_the_way, "in the way: the folder "),
        (_no_number_of_threads, "THREADS is '0': a whole number from 1 to 999 is expected"),
        (_no_quality, "MIN_QUALITY is '20||1': a number from 0 on is expected"),
        (_no_scratch, "/not/there: free some space there, or choose another folder"),
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
    assert " failed with exit code " in ran.stderr.splitlines()[-1]
    assert not bench.left
