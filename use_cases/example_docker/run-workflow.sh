#!/usr/bin/env bash
#
# Runs the variant-calling workflow on the cohort of make-cohort.sh, with two pilots at once.
#
#     bash run-workflow.sh FOLDER
#
# The steps are the tables Align, Call and Merge. As for all commands, environment variables say where
# the tables are (PYANAMO_LOCAL, AWS_ENDPOINT_URL_DYNAMODB, ...). Task files go to FOLDER, and results
# to FOLDER/results. After each step the script shows the progress of the samples. At the end it
# compares the calls with the known variants. The exit code is 1 if an item fails or the calls aren't
# good enough. The default CALLER is bcftools. Folders are relative to the repository, where it runs.

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash run-workflow.sh FOLDER'
readonly STEPS=(Align Call Merge)
: "${PYTHON:=python3}"

where_are_the_samples() {
    printf '\n%s\n' "$1"
    "$PYTHON" -m pyanamo samples -t "${STEPS[@]}"
}

# ended TABLE CODE: check a table after its pilots ended with this exit code. If an item isn't done,
# end this script, because the next step needs the results of all items.
ended() {
    local table=$1 code=$2 item state failed=() others=()
    "$PYTHON" -m pyanamo items -t "$table" --columns itemID,ItemState >"$work/items" ||
        fail "the items of $table can't be read: see above"
    while IFS=$'\t' read -r item state; do
        case $state in
            ItemState | done) ;; # The first line has the column names.
            failed) failed+=("$item") ;;
            *) others+=("$item ($state)") ;;
        esac
    done <"$work/items"
    if ((${#failed[@]} > 0)); then
        printf '%s\n' "$step: failed in $table: ${failed[*]}: python -m pyanamo failures -t $table \
shows why; then run python -m pyanamo restart -t $table --failed, and this script again" >&2
    fi
    if ((${#others[@]} > 0)); then
        printf '%s\n' "$step: not done in $table: ${others[*]}: a locked item belongs to \
another pilot, or is todo again when its lease expires; python -m pyanamo unhold puts a held one back" >&2
    fi
    ((${#failed[@]} + ${#others[@]} == 0)) || fail "$table isn't done: see above"
    ((code == 0)) || fail "a pilot of $table ended with exit code $code: see above"
}

# pilots TABLE FLAG...: run two pilots at once until the items of a step have ended.
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
    # The settings of functions.sh aren't exported: tasks have their own.
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
