#!/usr/bin/env bash
#
# Runs the variant-calling workflow on the cohort of make-cohort.sh, with two pilots at once.
#
#     bash run-workflow.sh FOLDER
#
# The steps are the tables Align, Call and Merge, which the environment says where to find, as for all
# commands (PYANAMO_LOCAL, AWS_ENDPOINT_URL_DYNAMODB, ...). FOLDER gets the task files and, in results/,
# what the steps make. After each step it shows where the samples are, and in the end how the calls
# compare with what is known. It exits with 1 if an item fails or the calls aren't good enough. CALLER
# is bcftools unless it is set. Folders are relative to the repository, in which it runs.

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash run-workflow.sh FOLDER'
readonly STEPS=(Align Call Merge)
: "${PYTHON:=python3}"

where_are_the_samples() {
    printf '\n%s\n' "$1"
    "$PYTHON" -m pyanamo samples -t "${STEPS[@]}"
}

# pilots TABLE FLAG...: run two pilots at once until nothing is left to do in a step.
pilots() {
    local table=$1 pids=() pid
    shift
    for _ in 1 2; do
        "$PYTHON" pyanamo.py -t "$table" --fail-on-item-failure "$@" &
        pids+=("$!")
    done
    where_are_the_samples "While they work on $table:"
    for pid in "${pids[@]}"; do
        wait "$pid" || fail "a pilot of $table ended with exit code $?: \
python -m pyanamo failures -t $table"
    done
}

main() {
    (($# == 1)) || misused 'a folder is needed'
    local folder=$1
    start_work
    cd -- "$here/../.."
    export RESULTS=$folder/results COHORT CALLER=${CALLER:-bcftools}
    # What functions.sh has set isn't exported: the tasks find their own settings.
    bash "$here/make-task-files.sh" "$folder"
    "$PYTHON" -m pyanamo create -t "${STEPS[@]}"
    "$PYTHON" import-items.py -t Align -i "$folder/align.txt" -d '|'
    "$PYTHON" import-items.py -t Call -i "$folder/call.txt" -d '|' -n ','
    "$PYTHON" import-items.py -t Merge -i "$folder/merge.txt" -d '|'
    where_are_the_samples 'At the start:'
    pilots Align -i 1
    where_are_the_samples 'Aligned:'
    pilots Call -i 1 -n 2
    where_are_the_samples 'Called:'
    "$PYTHON" pyanamo.py -t Merge --fail-on-item-failure ||
        fail 'the merge failed: python -m pyanamo failures -t Merge'
    where_are_the_samples 'Merged:'
    printf '\n'
    cat -- "$RESULTS/merged/cohort.counts.tsv"
    printf '\n'
    bash "$here/compare-with-truth.sh" "$RESULTS/merged/cohort.vcf.gz" "$COHORT/truth.vcf.gz"
}

main "$@"
