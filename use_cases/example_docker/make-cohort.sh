#!/usr/bin/env bash
#
# Makes a small cohort to try the variant-calling workflow with; nothing is downloaded.
#
#     bash make-cohort.sh [FOLDER]
#
# It writes to FOLDER (default: COHORT of job-conf.sh): reference.fa with its indexes, samples.txt, the
# samples' paired reads in reads/, and truth.vcf.gz with their variants. Settings:
#
#     SAMPLES=4 LENGTH=30000 DEPTH=30 SEED=1 CHROMOSOMES=chr1,chr2,chr3
#
# LENGTH is the number of bases of each chromosome. DEPTH is how often a base is read on average. The same
# settings make the same files.

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash make-cohort.sh [FOLDER]'
: "${SAMPLES:=4}" "${LENGTH:=30000}" "${DEPTH:=30}" "${SEED:=1}" "${PYTHON:=python3}"

readonly READ_LENGTH=100
readonly FRAGMENT=300 FRAGMENT_DEVIATION=30 # bases
readonly READ_ERRORS=0.001                  # per base

# Creates the files that the tools of the steps need beside the reference.
index_reference() {
    samtools faidx "$1"
    samtools dict -u reference.fa -o "${1%.fa}.dict" "$1"
    bwa index "$1" 2>"$work/bwa.log" || fail "bwa index failed: $(<"$work/bwa.log")"
}

# Simulates the reads of both haplotypes of a sample, each with half the depth. wgsim could make up
# variants too, but it reports them in its own format, and samples would not share any. So it gets
# sequences that already have the variants of truth.vcf.gz, which is therefore exact.
simulate() {
    local folder=$1 sample=$2 number=$3 haplotype pairs mate
    pairs=$((LENGTH * ${#chromosomes[@]} * DEPTH / (4 * READ_LENGTH)))
    for haplotype in 1 2; do
        bcftools consensus -f "$folder/reference.fa" -s "$sample" -H "$haplotype" \
            -p "${sample}_$haplotype." "$folder/truth.vcf.gz" \
            >"$work/haplotype.fa" 2>"$work/consensus.log" ||
            fail "bcftools consensus failed: $(<"$work/consensus.log")"
        wgsim -S "$((SEED * 100000 + number * 2 + haplotype))" -N "$pairs" \
            -1 "$READ_LENGTH" -2 "$READ_LENGTH" -d "$FRAGMENT" -s "$FRAGMENT_DEVIATION" \
            -e "$READ_ERRORS" -r 0 -R 0 -X 0 \
            "$work/haplotype.fa" "$work/$haplotype.1.fq" "$work/$haplotype.2.fq" \
            >/dev/null 2>"$work/wgsim.log" || fail "wgsim failed: $(<"$work/wgsim.log")"
    done
    for mate in 1 2; do
        cat "$work/1.$mate.fq" "$work/2.$mate.fq" |
            gzip -n -1 >"$folder/reads/${sample}_$mate.fastq.gz"
    done
}

main() {
    (($# < 2)) || misused 'one folder, or none, is expected'
    local folder=${1:-$COHORT} part sample number=0 setting
    [[ $folder != s3://* ]] || misused "not a local folder: $folder"
    while [[ $folder == ?*/ ]]; do folder=${folder%/}; done
    for setting in SAMPLES LENGTH DEPTH SEED; do
        [[ ${!setting} =~ ^[1-9][0-9]{0,7}$ ]] ||
            misused "$setting is '${!setting}': a number from 1 on is expected"
    done
    ((SAMPLES > 1)) || misused "SAMPLES is '$SAMPLES': a merge needs at least 2"
    split_chromosomes "$CHROMOSOMES"
    command -v "$PYTHON" >/dev/null || fail "PYTHON is '$PYTHON', which doesn't exist: set it to a Python 3"
    need bwa samtools bcftools wgsim
    [[ ! -e $folder ]] || fail "already exists: $folder: remove it, or choose another folder"
    start_work
    local hint="can't make $folder: see above; choose a folder where you can write"
    mkdir -p -- "$(dirname -- "$folder")" || fail "$hint"
    part=$(mktemp -d -- "$folder.part.XXXXXX") || fail "$hint"
    parts+=("$part")
    mkdir "$part/cohort" "$part/cohort/reads"
    "$PYTHON" "$here/make-variants.py" "$part/cohort" --samples "$SAMPLES" \
        --length "$LENGTH" --seed "$SEED" --chromosomes "$CHROMOSOMES" 2>"$work/variants.log" ||
        fail "$(<"$work/variants.log")"
    index_reference "$part/cohort/reference.fa"
    bcftools view --no-version -Oz -o "$part/cohort/truth.vcf.gz" "$part/cohort/truth.vcf"
    bcftools index -t "$part/cohort/truth.vcf.gz"
    rm -- "$part/cohort/truth.vcf"
    while read -r sample; do
        simulate "$part/cohort" "$sample" "$((number += 1))"
    done <"$part/cohort/samples.txt"
    mv -T -- "$part/cohort" "$folder"
    printf '%s: %s samples, %s of %s bases each, read %s times\n' \
        "$folder" "$SAMPLES" "$CHROMOSOMES" "$LENGTH" "$DEPTH"
}

main "$@"
