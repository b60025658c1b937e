#!/usr/bin/env bash
#
# One task: checksums and compresses one file.
#
#     bash checksum-and-compress.sh ROOT OUT FILE
#
# FILE is relative to ROOT. Writes OUT/FILE.gz and OUT/FILE.sha256, and prints the checksum line.
# `sha256sum -c` checks it when it is run in ROOT. Both files appear complete or not at all, the
# checksum last, so the task can be killed or run again at any time.

set -euo pipefail

fail() {
    echo "checksum-and-compress.sh: $*" >&2
    exit 1
}

sha256() {
    if command -v sha256sum >/dev/null; then
        sha256sum "$@"
    else
        shasum -a 256 "$@"
    fi
}

if (($# != 3)); then
    echo 'Usage: bash checksum-and-compress.sh ROOT OUT FILE' >&2
    exit 2
fi
root=$1
out=$2
file=$3

[[ -f $root/$file ]] || fail "not a file: $root/$file"

# With ./ in front, a name can't be mistaken for an option, or - for standard input.
line=$(cd -- "$root" && sha256 "./$file")
checksum=${line%% *}
checksum=${checksum#\\} # It starts with a backslash if the name has one.

folder=$out/$file
folder=${folder%/*}
mkdir -p -- "$folder"

# In the same folder, because a rename is atomic only within a file system.
temporary=$(mktemp -d "$folder/.part.XXXXXX")
trap 'rm -rf -- "$temporary"' EXIT

# -n omits the time, so that the same file always gives the same bytes.
gzip -nc <"$root/$file" >"$temporary/gz"
unpacked=$(gzip -dc <"$temporary/gz" | sha256)
[[ ${unpacked%% *} == "$checksum" ]] || fail "changed while it was read: $root/$file"
printf '%s\n' "$line" >"$temporary/sha256"

# If this is a folder, mv would move the file into it.
for suffix in gz sha256; do
    [[ ! -d $out/$file.$suffix ]] || fail "in the way: the folder $out/$file.$suffix"
done
mv -f -- "$temporary/gz" "$out/$file.gz"
mv -f -- "$temporary/sha256" "$out/$file.sha256"

printf '%s\n' "$line"
