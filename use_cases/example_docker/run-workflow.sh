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

# ended TABLE CODE: its pilots ended, with that exit code. End this too unless all items of the step
# are done: the next one needs what they make.
ended() {
    local table=$1 code=$2 item state failed=() others=()
    "$PYTHON" -m pyanamo items -t "$table" --columns itemID,ItemState >"$work/items" ||
        fail "the items of $table can't be read: see above"
    while IFS=$'\t' read -r item state; do
        case $state in
            ItemState | done) ;; # The first line is the columns' names.
            failed) failed+=("$item") ;;
            *) others+=("$item ($state)") ;;
        esac
    done <"$work/items"
    if ((${#failed[@]} > 0)); then
        printf '%s\n' "$step: failed in $table: ${failed[*]}: python -m pyanamo failures -t $table \
tells why; then python -m pyanamo restart -t $table --failed, and run this again" >&2
    fi
    if ((${#others[@]} > 0)); then
        printf '%s\n' "$step: not done in $table: ${others[*]}: one that is locked is another \
pilot's, or todo again when its lease ends; python -m pyanamo unhold puts a held one back" >&2
    fi
    ((${#failed[@]} + ${#others[@]} == 0)) || fail "$table isn't done: see above"
    ((code == 0)) || fail "a pilot of $table ended with exit code $code: see above"
}

# pilots TABLE FLAG...: run two pilots at once until nothing is left to do in a step.
pilots() {
    local table=$1 pids=() pid code=0
    shift
    for _ in 1 2; do
        "$PYTHON" pyanamo.py -t "$table" --fail-on-item-failure "$@" &
        pids+=("$!")
    done
    where_are_the_samples "While they work on $table:"
    for pid in "${pids[@]}"; do
        wait "$pid" || code=$?
    done
    ended "$table" "$code"
}

main() {
    (($# == 1)) || misused 'a folder is needed'
    local folder=$1 counts code=0
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
    "$PYTHON" pyanamo.py -t Merge --fail-on-item-failure || code=$?
    ended Merge "$code"
    where_are_the_samples 'Merged:'
    counts=$RESULTS/merged/cohort.counts.tsv
    [[ -f $counts ]] || fail "Merge is done, but there is no $counts: it was done with another folder \
or its results are gone: drop the tables (python -m pyanamo drop -t ${STEPS[*]}), and run this again"
    printf '\n'
    cat -- "$counts"
    printf '\n'
    bash "$here/compare-with-truth.sh" "$RESULTS/merged/cohort.vcf.gz" "$COHORT/truth.vcf.gz"
}

main "$@"
