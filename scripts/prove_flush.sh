#!/bin/sh
# Books a hundred thousand announces at once in SQLite and in PostgreSQL, and writes docs/proofs/flush.md: what that costs
# the database. Some minutes.
#   usage: prove_flush.sh [bookings, 100,000 by default]
set -eu
cd "$(dirname -- "$0")/.."
report=$(mktemp)
trap 'rm -f "$report"' EXIT
cargo test --quiet --release --locked -p evenkeel --lib --no-run
verdict=passed
EVENKEEL_FLUSH_BOOKINGS=${1:-100000} EVENKEEL_FLUSH_REPORT=$report \
    cargo test --quiet --release --locked -p evenkeel --lib a_large_flush -- --test-threads 1 || verdict="**failed**"
mkdir -p docs/proofs
{
    echo "# What a flush costs"
    echo
    echo "\`just prove-flush\` writes this file. A flush books announces of all users, ten torrents each, in one transaction: for each"
    echo "booking a row of the books and one of a session, and besides the sums of each user, and counts and sums of each torrent"
    echo "and its hour. The tables hold five such flushes before. *New* rows are put beside those, *changed* ones are there already,"
    echo "all over the tables. CPU time is that of the database: the thread that SQLite runs on, all processes of the PostgreSQL"
    echo "server. It must be below 3 s."
    echo
    echo "* date: $(date -u '+%Y-%m-%d %H:%M') UTC"
    echo "* commit: $(git rev-parse --short HEAD)$(git diff --quiet HEAD -- crates Cargo.lock || echo ', with changes')"
    echo "* machine: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(nproc) cores, Linux $(uname -r)"
    echo "* verdict: $verdict"
    echo
    echo "| database | bookings | CPU time | for each | took |"
    echo "|---|--:|--:|--:|--:|"
    sort "$report"
} >docs/proofs/flush.md
cat docs/proofs/flush.md
[ "$verdict" = passed ]
