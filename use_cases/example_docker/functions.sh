# shellcheck shell=bash
#
# Functions that all steps of the variant-calling workflow share. Each step sources this file first.
#
# A task may run twice, even at the same time, and may be stopped at any moment. So each step works in its
# own temporary folder in SCRATCH, $work. The folder is deleted when the step ends, except after SIGKILL. A
# result gets its name when it is complete. Tools that take long run in the background, followed by
# `finish`, because Bash handles signals at once only while it waits.

set -euo pipefail
export LC_ALL=C # the same order and the same letters everywhere
unset CDPATH    # with it, cd may print its target

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
step=$(basename -- "$0")
parts=() # folders with results that aren't complete yet
# shellcheck source-path=SCRIPTDIR source=job-conf.sh
source "$here/job-conf.sh"

# fail MESSAGE: end the task; the last line of stderr says why.
fail() {
    printf '%s: %s\n' "$step" "$1" >&2
    exit 1
}

# Anything else could become an option of a tool, or part of an expression.
[[ $THREADS =~ ^[1-9][0-9]{0,2}$ ]] ||
    fail "THREADS is '$THREADS': a whole number from 1 to 999 is expected"
[[ $MIN_QUALITY =~ ^[0-9]+(\.[0-9]+)?$ ]] ||
    fail "MIN_QUALITY is '$MIN_QUALITY': a number from 0 on is expected"

# misused MESSAGE: end the step after wrong usage. Each step sets $usage.
misused() {
    # shellcheck disable=SC2154
    printf '%s\n%s: %s\n' "$usage" "$step" "$1" >&2
    exit 2
}

# result TEXT: a line that PyAnamo keeps in the item.
result() {
    printf 'PyAnamo:\t%s\n' "$1"
}

# need TOOL...: end the task unless all are on the PATH.
need() {
    local tool missing=() packages=()
    for tool; do
        command -v "$tool" >/dev/null && continue
        missing+=("$tool")
        case $tool in
            wgsim) packages+=(samtools) ;;
            bgzip) packages+=(tabix) ;;
            aws) packages+=(awscli) ;;
            *) packages+=("$tool") ;;
        esac
    done
    ((${#missing[@]} == 0)) ||
        fail "missing: ${missing[*]} (Debian, Ubuntu: apt-get install $(
            printf '%s\n' "${packages[@]}" | sort -u | paste -sd ' '
        ))"
}

# start_work: create $work, and make sure that it is deleted at the end.
start_work() {
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    work=$(cd -- "$SCRATCH" && mktemp -d -- "$PWD/pyanamo-$step.XXXXXX") ||
        fail "can't write to SCRATCH, $SCRATCH: free some space there, or choose another folder"
}

clean_up() {
    local code=$? running
    trap '' HUP INT TERM
    # All processes of all pipelines: [1]+ PID Running COMMAND, and PID | COMMAND below it.
    running=$(jobs -l | awk '{ print $1 ~ /^\[/ ? $2 : $1 }')
    # shellcheck disable=SC2086
    [[ -z $running ]] || kill $running 2>/dev/null || true
    wait
    rm -rf -- "${work:-}" ${parts[@]+"${parts[@]}"}
    exit "$code"
}

# finish WHAT: wait for the last background command or pipeline; it must succeed.
finish() {
    wait "$!" || fail "$1 failed with exit code $?: see above$(room_left)"
}

# room_left: report if $work is almost full, since not all tools do.
room_left() {
    local left
    left=$(df -Pk -- "$work" | awk 'NR == 2 { print $4 }')
    ((left >= 1024)) || printf '; %s KB are left in SCRATCH, %s' "$left" "$SCRATCH"
}

# fetch ADDRESS HINT: set $fetched to the path of a file; a file in S3 is copied to $work. If it is
# missing, the error message ends with the hint.
fetch() {
    local address=$1 hint=$2
    fetched=$address
    if [[ $address == s3://* ]]; then
        need aws
        fetched=$work/${address##*/}
        [[ -e $fetched ]] && return
        aws s3 cp --only-show-errors "$address" "$fetched" &
        wait "$!" || fail "can't fetch $address: see above; $hint"
    else
        [[ -e $fetched ]] || fail "missing, or not readable: $fetched: $hint"
        [[ -f $fetched ]] || fail "not a regular file: $fetched"
        [[ -r $fetched ]] || fail "not readable by user $(id -un): $fetched: check its mode and owner"
    fi
}

# fetch_reference: set $reference to its path; its index, .fai, is beside it.
fetch_reference() {
    fetch "$REFERENCE" \
        "REFERENCE in job-conf.sh says where it is; make-cohort.sh makes one to try this with"
    reference=$fetched
    [[ $reference != *.gz ]] || check_end "$reference" "$REFERENCE"
    fetch_with_reference .fai
}

# fetch_with_reference ENDING...: fetch the files beside the reference with these endings.
fetch_with_reference() {
    local ending
    for ending; do
        fetch "$REFERENCE$ending" "make-cohort.sh shows how the indexes of a reference are made"
    done
}

# check_end FILE ADDRESS: check that a BGZF file is complete. A complete file ends with an empty block
# (SAM format, 4.1.2). If it is missing, htslib only warns, and reads the file as if it were complete.
readonly BGZF_END=1f8b08040000000000ff0600424302001b0003000000000000000000
check_end() {
    local end
    end=$(tail -c 28 -- "$1" | od -An -v -tx1 | tr -d ' \n') || fail "reading $2 failed: see above"
    [[ $end == "$BGZF_END" ]] || fail "not complete, or not made by bgzip: $2: its end is missing"
}

# publish FILE FOLDER NAME: copy a file to a local or S3 folder. It appears complete or not at all.
publish() {
    local file=$1 folder=$2 name=$3 part
    if [[ $folder == s3://* ]]; then
        need aws
        aws s3 cp --only-show-errors "$file" "$folder/$name" &
        wait "$!" || fail "can't write $folder/$name: see above"
        return
    fi
    mkdir -p -- "$folder" || fail "can't make the folder $folder"
    [[ ! -d $folder/$name ]] || fail "in the way: the folder $folder/$name"
    # A rename is atomic only within a file system, and SCRATCH may be on another one.
    part=$(mktemp -d -- "$folder/.part.XXXXXX") || fail "can't write to $folder"
    parts+=("$part")
    cp -- "$file" "$part/$name" &
    wait "$!" || fail "can't write $folder/$name: see above"
    mv -f -- "$part/$name" "$folder/$name" || fail "can't write $folder/$name: see above"
    rmdir -- "$part"
}

# Names become parts of paths and commands, so only these characters are allowed.
readonly NAME='^[A-Za-z0-9_][A-Za-z0-9_.-]*$'
readonly NAME_RULE="letters, digits, '_', '.' and '-', no '.' or '-' in front"

# check_sample NAME: end the step if this is not a sample's name.
check_sample() {
    [[ $1 =~ $NAME ]] ||
        misused "not a sample's name: '$1': $NAME_RULE"
}

# read_samples: set samples to the names in COHORT_SAMPLES. Names must be unique.
read_samples() {
    local sample number=0 seen=' ' shown
    fetch "$COHORT_SAMPLES" 'COHORT_SAMPLES in job-conf.sh says where the names are'
    mapfile -t samples <"$fetched" # also reads a last line without a newline
    ((${#samples[@]} > 0)) || fail "no samples in $COHORT_SAMPLES: one name per line is expected"
    for sample in "${samples[@]}"; do
        printf -v shown '%q in %s, line %s' "$sample" "$COHORT_SAMPLES" "$((number += 1))"
        [[ $sample != *$'\r' ]] || fail "not a sample's name: $shown: \
the line ends with CR LF, as on Windows: remove the CRs with sed -i 's/\r\$//'"
        [[ $sample =~ $NAME ]] || fail "not a sample's name: $shown: $NAME_RULE"
        [[ $seen != *" $sample "* ]] || fail "twice in the list: $shown"
        seen+="$sample "
    done
}

# split_chromosomes LIST: set chromosomes to the names of a comma-separated list.
split_chromosomes() {
    local name seen=,
    [[ $1 =~ ^[A-Za-z0-9_.,-]*$ ]] || misused "not a list of chromosomes: '$1'"
    # The extra comma keeps an empty last name, so that it is reported.
    IFS=, read -r -a chromosomes <<<"$1,"
    for name in "${chromosomes[@]}"; do
        [[ $name =~ $NAME ]] || misused "not a chromosome's name: '$name' in '$1'"
        [[ $seen != *",$name,"* ]] || misused "twice in the list: $name in '$1'"
        seen+=$name,
    done
}

# check_chromosomes: all of them must be in the reference.
check_chromosomes() {
    local name
    for name in "${chromosomes[@]}"; do
        [[ -n $(length_in_reference "$name") ]] || fail "not in the reference $REFERENCE: $name"
    done
}

# length_in_reference CHROM: print the length of a chromosome; print nothing if it is missing.
length_in_reference() {
    awk -F '\t' -v name="$1" '$1 == name { print $2 }' "$reference.fai"
}
