#!/usr/bin/env bash
#
# Writes the task files of the variant-calling workflow, one per step.
#
#     bash make-task-files.sh FOLDER
#
# It writes three files to FOLDER: align.txt with one item per sample; call.txt with one nested item per
# sample and one task per chromosome; merge.txt with one item for the cohort. Import them with -d '|'
# and, for call.txt, -n ','. COHORT_SAMPLES and CHROMOSOMES give the samples and chromosomes; see
# job-conf.sh.

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash make-task-files.sh FOLDER'

# Relative to the folder where pilots run, which has the same files as this repository.
readonly SCRIPTS=use_cases/example_docker

main() {
    (($# == 1)) || misused 'a folder is needed'
    local folder=$1 sample name
    split_chromosomes "$CHROMOSOMES"
    start_work
    read_samples
    echo 'itemID|TaskID|TaskScript' >"$work/align.txt"
    echo 'itemID|TaskID|TaskScript|TaskArgs' >"$work/call.txt"
    for sample in "${samples[@]}"; do
        echo "$sample|$sample|bash $SCRIPTS/align.sh $sample" >>"$work/align.txt"
        echo "$sample|$sample|bash $SCRIPTS/HaplotypeCaller $sample|$CHROMOSOMES" >>"$work/call.txt"
    done
    printf '%s\n' 'itemID|TaskID|TaskScript' \
        "Cohort|Cohort|bash $SCRIPTS/merge.sh cohort $CHROMOSOMES" >"$work/merge.txt"
    for name in align call merge; do
        publish "$work/$name.txt" "$folder" "$name.txt"
    done
}

main "$@"
