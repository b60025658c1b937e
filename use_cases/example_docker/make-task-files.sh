#!/usr/bin/env bash
#
# Writes the task files of the variant-calling workflow, one a step.
#
#     bash make-task-files.sh FOLDER
#
# FOLDER gets align.txt, an item a sample; call.txt, a nested item a sample with a task a chromosome;
# and merge.txt, an item for the cohort. Import them with -d '|' and, for call.txt, -n ','. The samples
# are those in COHORT_SAMPLES, the chromosomes CHROMOSOMES; see job-conf.sh.

source "$(dirname -- "${BASH_SOURCE[0]}")/functions.sh"

usage='Usage: bash make-task-files.sh FOLDER'

# From the folder where pilots run, which has the same files as this repository.
readonly SCRIPTS=use_cases/example_docker

main() {
    (($# == 1)) || misused 'a folder is needed'
    local folder=$1 sample
    split_chromosomes "$CHROMOSOMES"
    start_work
    fetch "$COHORT_SAMPLES" 'COHORT_SAMPLES in job-conf.sh says where the names are'
    mkdir -p -- "$folder"
    echo 'itemID|TaskID|TaskScript' >"$folder/align.txt"
    echo 'itemID|TaskID|TaskScript|TaskArgs' >"$folder/call.txt"
    while read -r sample; do
        check_sample "$sample"
        echo "$sample|$sample|bash $SCRIPTS/align.sh $sample" >>"$folder/align.txt"
        echo "$sample|$sample|bash $SCRIPTS/HaplotypeCaller $sample|$CHROMOSOMES" >>"$folder/call.txt"
    done <"$fetched"
    printf '%s\n' 'itemID|TaskID|TaskScript' \
        "Cohort|Cohort|bash $SCRIPTS/merge.sh cohort $CHROMOSOMES" >"$folder/merge.txt"
}

main "$@"
