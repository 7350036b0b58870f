#!/bin/sh
# Kills the tracker at random moments while users announce, 500 times for each database by default, and writes
# docs/proofs/crash.md: twenty minutes.
#   usage: prove_crash.sh [kills for each database]
set -eu
cd "$(dirname -- "$0")/.."
report=$(mktemp)
trap 'rm -f "$report"' EXIT
cargo test --quiet --release --locked -p evenkeel --test it --no-run
commit=$(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')
verdict=passed
EVENKEEL_CRASH_ROUNDS=${1:-500} EVENKEEL_CRASH_REPORT=$report \
    cargo test --quiet --release --locked -p evenkeel --test it crash::books || verdict="**failed**"
mkdir -p docs/proofs
{
    echo "# Books after kills"
    echo
    echo "\`just prove-crash\` writes this file. Clients of one user announce over HTTP as fast as they are answered; the program is"
    echo "killed (SIGKILL) 0 to 2.5 s after it is ready, and started again. Eight clients are there from the beginning, and one more"
    echo "begins every 50 ms on a torrent of its own. After each kill no more may be booked than was moved; in the end each session"
    echo "announces once more, and the sums must be equal to the byte."
    echo
    echo "A session goes on from its stored baseline. One that began in the flush window before a kill has none: it begins anew, and"
    echo "what it had moved until it is heard of again, \`unbased_bytes\`, is never booked. That no other session is among these is"
    echo "checked: each of them was first answered after the last batch that the database has."
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $commit"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
    echo "* verdict: $verdict"
    echo
    echo "| database | kills | announces answered | exact sessions | bytes uploaded, as booked | bytes downloaded, as booked | sessions that began anew | unbased_bytes | bytes too many |"
    echo "|---|--:|--:|--:|--:|--:|--:|--:|--:|"
    sort "$report"
    echo
    echo "SQLite's \`integrity_check\` finds nothing. Not in this run: a loss of power, for which the PostgreSQL server of the tests"
    echo "does not synchronise."
} >docs/proofs/crash.md
cat docs/proofs/crash.md
[ "$verdict" = passed ]
