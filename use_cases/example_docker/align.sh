#!/usr/bin/env bash
#
# One task of the first step: aligns the reads of a sample to the reference.
#
#     bash align.sh SAMPLE
#
# Reads SAMPLE_1.fastq.gz and SAMPLE_2.fastq.gz in READS, writes SAMPLE.bam and SAMPLE.bam.bai in
# ALIGNMENTS, and prints how many reads there were. See job-conf.sh and functions.sh.

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash align.sh SAMPLE'

# bwa aligns this many bases at a time, whatever the number of threads. It estimates the fragment
# length from each part, so parts of a fixed size make the result independent of the machine.
readonly BASES_AT_A_TIME=10000000

align() {
    local sample=$1 bam=$2 file
    shift 2
    # bwa writes its command line to the header: omit the temporary folder, which changes each time.
    for file in "$@" "$reference"{.amb,.ann,.bwt,.pac,.sa,.alt}; do
        [[ ! -e $file || $file == "$work"/* ]] || ln -s -- "$(realpath -- "$file")" "$work/${file##*/}"
    done
    (
        cd -- "$work"
        exec bwa mem -v 1 -t "$THREADS" -K "$BASES_AT_A_TIME" -R "@RG\tID:$sample\tSM:$sample" \
            "${reference##*/}" "${@##*/}"
    ) |
        samtools sort --no-PG -@ "$THREADS" -T "$work/sort" -o "$bam" - &
    finish "aligning $sample"
    samtools index "$bam" &
    finish "indexing $bam"
}

# Sets $expected to the number of reads in the files. If reads have no mate or a file is incomplete,
# bwa at most warns, and omits the rest.
count_expected() {
    local sample=$1 mate=0 file reads=()
    shift
    for file; do
        ((mate += 1))
        # Blank lines at the end are not reads.
        gzip -cd -- "$file" | awk 'NR % 4 == 1 && NF { reads++ } END { print reads + 0 }' \
            >"$work/expected" &
        finish "reading $READS/${sample}_$mate.fastq.gz"
        reads+=("$(<"$work/expected")")
    done
    ((reads[0] == reads[1])) || fail "each read needs its mate: ${reads[0]} reads in \
$READS/${sample}_1.fastq.gz, ${reads[1]} in ${sample}_2.fastq.gz"
    ((reads[0] > 0)) || fail "no reads in $READS/${sample}_1.fastq.gz"
    expected=$((reads[0] + reads[1]))
}

# Sets $reads and $mapped; all reads must be there, and some mapped.
count() {
    local sample=$1 bam=$2
    samtools flagstat -O tsv "$bam" | awk -F '\t' '
        $3 == "primary" { reads = $1 }
        $3 == "primary mapped" { mapped = $1 }
        END { print reads, mapped }
    ' >"$work/counts" &
    finish "counting the reads of $sample"
    read -r reads mapped <"$work/counts" || fail "counting the reads of $sample failed$(room_left)"
    ((reads == expected)) || fail "$reads of the $expected reads of $sample were aligned: \
the files must have four lines per read"
    ((mapped > 0)) || fail "none of the $reads reads of $sample matches the reference $REFERENCE"
}

main() {
    (($# == 1)) || misused 'a sample is needed'
    local sample=$1 mate reads_files=() hint='READS in job-conf.sh says where the reads are'
    check_sample "$sample"
    need bwa samtools
    start_work
    fetch_reference
    fetch_with_reference .amb .ann .bwt .pac .sa
    for mate in 1 2; do
        fetch "$READS/${sample}_$mate.fastq.gz" "$hint"
        reads_files+=("$fetched")
    done
    count_expected "$sample" "${reads_files[@]}"
    align "$sample" "$work/$sample.bam" "${reads_files[@]}"
    count "$sample" "$work/$sample.bam"
    publish "$work/$sample.bam" "$ALIGNMENTS" "$sample.bam"
    publish "$work/$sample.bam.bai" "$ALIGNMENTS" "$sample.bam.bai"
    result "$sample: $reads reads, $mapped mapped"
}

main "$@"
