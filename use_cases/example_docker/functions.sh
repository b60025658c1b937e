# shellcheck shell=bash
#
# What the steps of the variant-calling workflow have in common; each sources this first.
#
# A task may run twice, also at the same time, and may be stopped at any moment. So a step works in
# a folder of its own below SCRATCH, $work, which goes when it ends, also where SIGTERM ends it (only
# SIGKILL leaves it behind), and a result gets its name when it is whole. The tools that take long
# run in the background, with `finish` after them: Bash minds a signal at once only while it waits.

set -euo pipefail
export LC_ALL=C # the same order and the same letters everywhere
unset CDPATH    # with it cd may print where it goes

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
step=$(basename -- "$0")
parts=() # folders beside results that aren't whole yet
# shellcheck source-path=SCRIPTDIR source=job-conf.sh
source "$here/job-conf.sh"

# fail MESSAGE: end the task; the last line of stderr says why.
fail() {
    printf '%s: %s\n' "$step" "$1" >&2
    exit 1
}

# What isn't a number would be an option of a tool, or a part of an expression.
[[ $THREADS =~ ^[1-9][0-9]{0,2}$ ]] ||
    fail "THREADS is '$THREADS': a whole number from 1 to 999 is expected"
[[ $MIN_QUALITY =~ ^[0-9]+(\.[0-9]+)?$ ]] ||
    fail "MIN_QUALITY is '$MIN_QUALITY': a number from 0 on is expected"

# misused MESSAGE: end it, as it was called wrongly. $usage is the step's.
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

# start_work: make $work, and see to it that it goes in the end.
start_work() {
    trap clean_up EXIT
    trap 'exit 129' HUP
    trap 'exit 130' INT
    trap 'exit 143' TERM
    work=$(cd -- "$SCRATCH" && mktemp -d -- "$PWD/pyanamo-$step.XXXXXX") ||
        fail "can't write to SCRATCH, $SCRATCH: make room there, or name another folder"
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

# finish WHAT: wait for the command or pipeline that was just put in the background; it must succeed.
finish() {
    wait "$!" || fail "$1 failed, with exit code $?: what it said is above$(room_left)"
}

# room_left: where there is next to none in $work, print that: not all tools do.
room_left() {
    local left
    left=$(df -Pk -- "$work" | awk 'NR == 2 { print $4 }')
    ((left >= 1024)) || printf '; %s KB are left in SCRATCH, %s' "$left" "$SCRATCH"
}

# fetch ADDRESS HINT: set $fetched to a file's path, that of a copy in $work if it is in S3. Where it
# is missing the message ends with the hint.
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
        [[ -f $fetched ]] || fail "no file, but something else: $fetched"
        [[ -r $fetched ]] || fail "not readable: $fetched: its mode and owner keep user $(id -un) out"
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

# fetch_with_reference ENDING...: see to it that the files with these endings are beside it.
fetch_with_reference() {
    local ending
    for ending; do
        fetch "$REFERENCE$ending" "make-cohort.sh shows how the indexes of a reference are made"
    done
}

# check_end FILE ADDRESS: a BGZF file ends with an empty block, by which it is known to be whole (SAM
# format, 4.1.2). Where it is missing htslib only warns, and takes what there is for all.
readonly BGZF_END=1f8b08040000000000ff0600424302001b0003000000000000000000
check_end() {
    local end
    end=$(tail -c 28 -- "$1" | od -An -v -tx1 | tr -d ' \n') || fail "reading $2 failed: see above"
    [[ $end == "$BGZF_END" ]] || fail "not whole, or not made by bgzip: $2: its end is missing"
}

# publish FILE FOLDER NAME: a local folder or one of S3; the file is there whole, or not at all.
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
    # Only within a file system is a rename all or nothing, and SCRATCH may be in another.
    part=$(mktemp -d -- "$folder/.part.XXXXXX") || fail "can't write to $folder"
    parts+=("$part")
    cp -- "$file" "$part/$name" &
    wait "$!" || fail "can't write $folder/$name: see above"
    mv -f -- "$part/$name" "$folder/$name" || fail "can't write $folder/$name: see above"
    rmdir -- "$part"
}

# Names become parts of paths and commands: nothing but these, and no dot or hyphen in front.
readonly NAME='^[A-Za-z0-9_][A-Za-z0-9_.-]*$'
readonly NAME_RULE="letters, digits, '_', '.' and '-', no '.' or '-' in front"

# check_sample NAME
check_sample() {
    [[ $1 =~ $NAME ]] ||
        misused "not a sample's name: '$1': $NAME_RULE"
}

# read_samples: set samples to the names in COHORT_SAMPLES, each of which is there once.
read_samples() {
    local sample number=0 seen=' ' shown
    fetch "$COHORT_SAMPLES" 'COHORT_SAMPLES in job-conf.sh says where the names are'
    mapfile -t samples <"$fetched" # also a last line without a line end
    ((${#samples[@]} > 0)) || fail "no samples in $COHORT_SAMPLES: a name a line is expected"
    for sample in "${samples[@]}"; do
        printf -v shown '%q in %s, line %s' "$sample" "$COHORT_SAMPLES" "$((number += 1))"
        [[ $sample != *$'\r' ]] || fail "not a sample's name: $shown: \
the line ends as on Windows, with CR LF: take the CRs out, with sed -i 's/\r\$//'"
        [[ $sample =~ $NAME ]] || fail "not a sample's name: $shown: $NAME_RULE"
        [[ $seen != *" $sample "* ]] || fail "twice in the list: $shown"
        seen+="$sample "
    done
}

# split_chromosomes LIST: set chromosomes to the names of a comma-separated list.
split_chromosomes() {
    local name seen=,
    [[ $1 =~ ^[A-Za-z0-9_.,-]*$ ]] || misused "not a list of chromosomes: '$1'"
    # The comma at the end keeps an empty last name, so that it is seen to be wrong.
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

# length_in_reference CHROM: print its length, or nothing where it isn't there.
length_in_reference() {
    awk -F '\t' -v name="$1" '$1 == name { print $2 }' "$reference.fai"
}
