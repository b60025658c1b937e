#!/usr/bin/env bash
#
# The container's command: downloads a workflow's scripts, and starts the pilot that runs them.
#
#     Fetch_and_Run.sh ARCHIVE [FLAG OF THE PILOT ...]
#     Fetch_and_Run.sh s3://BUCKET/scripts.tar.gz --spot-notice
#
# ARCHIVE is a .tar.gz, .tgz, .tar or .zip in S3, or - to use the container's own scripts. It is
# unpacked into a new folder in the current one, and the pilot runs there. So in task files, give the
# paths of scripts in the archive. Environment variables:
#
#     PYANAMO_TABLE           the table (required; all others are optional)
#     PYANAMO_ITEMS           items at a time (default: 1)
#     PYANAMO_NESTS           nested tasks at a time, per item (default: 1)
#     PYANAMO_WALL_TIME       start no more tasks after this time: 3600, 90m, 2h
#     S3_BUCKET               where whole logs go: NAME, or s3://NAME/PREFIX
#     AWS_REGION              where the table is; AWS_DEFAULT_REGION is set to it, unless it is set
#     PYANAMO_ARCHIVE_SHA256  the checksum that the archive must have; the pilot gets the one that it has
#     PIPELINE                the folder that is first on the tasks' PATH (default: that of the scripts)
#
# The exit code is that of the pilot (see pyanamo.py --help). If the pilot was not started, the exit code is
# 1 if the scripts can't be fetched or unpacked, 75 if they can't be fetched for the moment, 2 for wrong
# usage, 130 and 143 if stopped by SIGINT and SIGTERM, and no files are left. The pilot's folder stays
# until the container is deleted.

set -euo pipefail

# What the AWS CLI says if S3, the network or the job's credentials fail for the moment.
passing='Unable to locate credentials|ExpiredToken|retrieving (credentials|metadata)|Unable to load .*credentials'
passing+='|[Cc]ould not connect|[Cc]onnection (was|reset|aborted|broken)|[Tt]imed? ?out|IncompleteRead'
passing+='|SlowDown|Throttl|RequestTime|InternalError|ServiceUnavailable|\((429|5[0-9][0-9])\)'

home=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd)
folder=

fail() {
    printf 'Fetch_and_Run.sh: %s\n' "$1" >&2
    exit "${2-1}"
}

stop() {
    trap '' TERM INT
    exec 2>/dev/null # Bash reports killed processes.
    local running
    running=$(jobs -p)
    # It has no work to finish, so don't wait for it.
    [[ -z $running ]] || kill -KILL "$running" || true
    wait
    exit "$1"
}

clean_up() {
    [[ -z $folder ]] || rm -rf -- "$folder"
}

# Bash handles signals at once while it waits, but only after a foreground command has ended.
run() {
    "$@" &
    wait "$!"
}

fetch() { # FILE
    local command=(aws s3 cp --only-show-errors)
    local said=$1.said
    if run "${command[@]}" "$archive" "$1" >"$said" 2>&1; then
        cat -- "$said" >&2
        return
    fi
    cat -- "$said" >&2
    [[ ! $(<"$said") =~ $passing ]] \
        || fail "$archive can't be fetched for the moment; the exit code 75 tells AWS Batch to try again" 75
    fail "$archive can't be fetched: check that it is there, that the job's role has s3:GetObject on it, and that $PWD has the space"
}

check() { # FILE
    local found
    run sha256sum "$1" >"$1.sha256" || fail "$archive: its SHA-256 can't be computed"
    read -r found _ <"$1.sha256"
    found=${found#\\} # It starts with a backslash if the name has one.
    export PYANAMO_ARCHIVE_SHA256=$found # The pilot records it in the items.
    [[ -z $sha256 || $found == "$sha256" ]] \
        || fail "$archive has the SHA-256 $found, but PYANAMO_ARCHIVE_SHA256 is $sha256: one of them is out of date"
}

# The kernel ignores signals without a handler for process 1 of a container.
trap clean_up EXIT
trap 'stop 143' TERM
trap 'stop 130' INT

(($# > 0)) || fail 'ARCHIVE is missing: Fetch_and_Run.sh ARCHIVE [FLAG OF THE PILOT ...], where ARCHIVE is s3://BUCKET/KEY.tar.gz (or .tgz, .tar, .zip), or - for none' 2
archive=$1
shift
if [[ $archive =~ ^s3://[^/]+/.*[^/](\.tar\.gz|\.tgz|\.tar|\.zip)$ ]]; then
    suffix=${BASH_REMATCH[1]}
elif [[ $archive != - ]]; then
    fail "ARCHIVE is '$archive': give s3://BUCKET/KEY.tar.gz (or .tgz, .tar, .zip), or - for none" 2
fi
[[ -n ${PYANAMO_TABLE-} ]] || fail 'PYANAMO_TABLE is not set: give the name of the table' 2
sha256=${PYANAMO_ARCHIVE_SHA256-}
sha256=${sha256,,}
if [[ -n $sha256 ]]; then
    [[ $sha256 =~ ^[0-9a-f]{64}$ ]] \
        || fail "PYANAMO_ARCHIVE_SHA256 is '$PYANAMO_ARCHIVE_SHA256': give the 64 hex digits that sha256sum prints" 2
    [[ $archive != - ]] || fail 'PYANAMO_ARCHIVE_SHA256 is set, but ARCHIVE is -: give one or the other' 2
fi
for setting in PYANAMO_ITEMS PYANAMO_NESTS; do
    # The pilot checks this too, but only after the archive was fetched.
    [[ ${!setting:-1} =~ ^0*[1-9][0-9]{0,8}$ ]] \
        || fail "$setting is '${!setting}': give a whole number from 1 on" 2
done
needed=(python)
[[ $archive == - ]] || needed+=(aws sha256sum)
for program in "${needed[@]}"; do
    command -v "$program" >/dev/null \
        || fail "$program is missing: it isn't on the PATH, which is $PATH"
done

if [[ -n ${AWS_REGION-} ]]; then
    # The AWS CLI v1 and boto3 read only this one.
    export AWS_REGION AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-$AWS_REGION}
fi
folder=$(mktemp -d "$PWD/PyAnamo.XXXXXX") \
    || fail "no folder can be made in $PWD: give the container a work folder that user $(id -u) can write to"
scripts=$folder/scripts
mkdir "$scripts"
if [[ $archive == - ]]; then
    # The container's own files are read-only, but a pilot may write files to its folder.
    ln -s "$home/use_cases" "$home"/*.sh "$scripts"
    pipeline=$home/use_cases/example_docker
else
    mkdir "$folder/fetched"
    file=$folder/fetched/archive$suffix
    fetch "$file"
    check "$file"
    run python "$home/use_cases/example_docker/unpack.py" "$file" "$scripts" "$archive" || exit 1
    rm -r -- "$folder/fetched"
    pipeline=$scripts
fi

pilot=(python "$home/pyanamo.py" -t "$PYANAMO_TABLE")
[[ -z ${PYANAMO_ITEMS-} ]] || pilot+=(-i "$PYANAMO_ITEMS")
[[ -z ${PYANAMO_NESTS-} ]] || pilot+=(-n "$PYANAMO_NESTS")
[[ -z ${PYANAMO_WALL_TIME-} ]] || pilot+=(-w "$PYANAMO_WALL_TIME")
[[ -z ${S3_BUCKET-} ]] || pilot+=(-b "$S3_BUCKET")
[[ -z ${AWS_REGION-} ]] || pilot+=(-r "$AWS_REGION")
export PIPELINE=${PIPELINE:-$pipeline}
cd -- "$scripts"

# From here on the pilot handles signals.
trap - TERM INT
exec "${pilot[@]}" "$@"
