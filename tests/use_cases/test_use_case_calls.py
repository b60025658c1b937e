"""HaplotypeCaller on a tiny cohort: what it calls, with which caller, from where, how it stops.

There is no GATK here: of calls with it a stand-in shows that the script gives it the right
arguments, and minds what it makes and how it ends.
"""

from __future__ import annotations

import signal
from pathlib import Path

import boto3
import pytest

from tests.support.cohort import Bench, called_snps, signal_and_finish, tool, true_snps
from tests.support.processes import is_alive, processes
from tests.support.programs import finish
from tests.support.waiting import wait_until

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
    wait_until(ready.exists, "the step is ready")
    assert any(bench.scratch.iterdir())
    ran = signal_and_finish(started, signal.SIGTERM, whole_group=whole_group)
    assert ran.code == 143
    assert ran.stdout == ""
    assert not bench.left
    assert not bench.temporary
    tools = [process.pid for process in processes() if process.group == started.pid]
    wait_until(lambda: not any(map(is_alive, tools)), "the tools have ended", 10)


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
        ("exit 3", "calling chr1 with gatk failed with exit code 3"),
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


def test_input_and_results_may_be_in_s3(bench: Bench, moto: str, table_name: str) -> None:
    assert bench.call("Sample1", "chr1").code == 0
    expected = bench.gvcf("Sample1", "chr1").read_bytes()

    client = boto3.client("s3", endpoint_url=moto)
    bucket = f"use-case-{table_name[-12:]}"
    client.create_bucket(Bucket=bucket)
    uploads = [bench.cohort / f"reference.fa{ending}" for ending in ("", ".fai")]
    uploads += [bench.alignments / f"Sample1.bam{ending}" for ending in ("", ".bai")]
    for file in uploads:
        client.upload_file(str(file), bucket, f"data/{file.name}")
    bench.environment |= {
        "AWS_ENDPOINT_URL_S3": moto,
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
    assert f"can't fetch s3://{bucket}/data/Sample2.cram: see above; there is no BAM either" in last
    listed = client.list_objects_v2(Bucket=bucket, Prefix="results/Sample2")
    assert listed["KeyCount"] == 0
    assert not bench.temporary
