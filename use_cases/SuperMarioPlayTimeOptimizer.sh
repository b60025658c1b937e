#!/usr/bin/env bash
#
# A made-up workload: finds the fastest way through a level by trying all of them.
#
#     bash SuperMarioPlayTimeOptimizer.sh LEVEL DIFFICULTIES
#     bash SuperMarioPlayTimeOptimizer.sh 3 Easy,Hard
#
# A level is eight stretches of road, and some of them have a pit. Mario walks, runs or
# jumps along each stretch. Running is fastest, but running and jumping cost breath, and
# only walking restores it. If he does not jump over a pit, he falls in, and climbing out
# takes time. A harder level has more pits, and they are deeper.

set -u

readonly STRETCHES=8
readonly FULL_BREATH=5

# The three moves: their names, their hundredths of a second per metre, and the breath
# they take.
readonly WALK=0 JUMP=2
readonly NAMES=(walk run jump)
readonly PACE=(30 12 20)
readonly EFFORT=(-2 1 2)

usage() {
    echo "$1" >&2
    echo 'Usage: bash SuperMarioPlayTimeOptimizer.sh LEVEL DIFFICULTIES' >&2
    echo 'LEVEL: 1 to 999999999. DIFFICULTIES: Easy, Normal, Hard or several, as in Easy,Hard' >&2
    exit 2
}

# Lays out the road: sets length[] and pit[], given the level and the percentage of
# stretches with a pit. The random numbers depend only on the level, so a level is always
# the same road, and a pit of an easy level is also a pit of the hard one.
build() {
    local random=$1 pits=$2 i
    for ((i = 0; i < STRETCHES; i++)); do
        ((random = (random * 1103515245 + 12345) % 2147483648))
        ((length[i] = 10 + random / 65536 % 40))
        ((random = (random * 1103515245 + 12345) % 2147483648))
        ((pit[i] = random / 65536 % 100 < pits))
    done
}

# Tries every plan, given the time that a fall takes. Sets best to the shortest time, in
# hundredths of a second, and best_plan to its plan. A plan is a number whose base-3 digits
# are the moves.
search() {
    local fall=$1 plan moves i move breath elapsed
    best=-1
    for ((plan = 0; plan < 3 ** STRETCHES; plan++)); do
        ((moves = plan, breath = FULL_BREATH, elapsed = 0))
        for ((i = 0; i < STRETCHES; i++)); do
            ((move = moves % 3, moves /= 3, breath -= EFFORT[move]))
            ((breath < 0)) && continue 2
            ((move == WALK && breath > FULL_BREATH)) && breath=$FULL_BREATH
            ((elapsed += length[i] * PACE[move]))
            ((pit[i] && move != JUMP)) && ((elapsed += fall))
        done
        ((best < 0 || elapsed < best)) && ((best = elapsed, best_plan = plan))
    done
}

report() {
    local moves=$best_plan i
    printf 'Level %d %s: %d.%02d s:' "$1" "$2" $((best / 100)) $((best % 100))
    for ((i = 0; i < STRETCHES; i++)); do
        printf ' %s' "${NAMES[moves % 3]}"
        ((moves /= 3))
    done
    printf '\n'
}

optimise() {
    local pits fall
    case $2 in
        Easy) pits=25 fall=200 ;;
        Normal) pits=50 fall=400 ;;
        Hard) pits=75 fall=800 ;;
    esac
    build "$1" "$pits"
    search "$fall"
    report "$1" "$2"
}

(($# == 2)) || usage 'A level and one or more difficulties are needed.'
[[ $1 =~ ^[1-9][0-9]{0,8}$ ]] || usage "Not a level: '$1'"

# The extra comma keeps an empty last name, so that it is reported.
IFS=, read -r -a difficulties <<<"$2,"
for difficulty in "${difficulties[@]}"; do
    [[ $difficulty =~ ^(Easy|Normal|Hard)$ ]] || usage "Not a difficulty: '$difficulty'"
done

for difficulty in "${difficulties[@]}"; do
    optimise "$1" "$difficulty"
done
